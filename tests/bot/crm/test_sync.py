"""Sync reads everything once, goes on after a kill, and repairs what callbacks did not tell."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from bot.crm import roster, sync
from bot.crm.models import Contact, FollowRelation, Guide, RosterSync, Store
from bot.sandbox import actors
from tests.talk import CUSTOMER, GUIDE, Talk, rows, talk

__all__ = ["talk"]


def _sync(talk: Talk, progress=lambda text: None) -> sync.SyncCounts:
    bot = talk.bot
    return sync.sync(bot.gateway, bot.sessions, bot.clock, secret_key="key", progress=progress)


def _reconcile(talk: Talk) -> int:
    return sync.reconcile_relations(talk.bot.gateway, talk.bot.sessions, talk.bot.clock)


def _many(talk: Talk, count: int) -> None:
    for number in range(count):
        customer = f"wmMany{number:03}"
        talk.town.add_customer(f"客户{number}", external_userid=customer)
        talk.town.befriend(GUIDE, customer)


def _states(talk: Talk) -> dict[str, str]:
    with talk.sessions() as session:
        found = session.execute(
            select(Contact.external_userid, FollowRelation.state).join(
                FollowRelation, FollowRelation.contact_id == Contact.id
            )
        )
        return dict(found.all())


def test_a_sync_reads_guides_stores_and_customers(talk: Talk) -> None:
    talk.befriend()
    talk.befriend("liuyang")
    counts = _sync(talk)
    assert (counts.guides, counts.contacts, counts.relations) == (2, 1, 2)
    [store] = rows(talk.sessions, select(Store))
    assert store.department_id is not None
    guides = {guide.userid: guide for guide in rows(talk.sessions, select(Guide))}
    assert guides["liuyang"].store_id == store.id
    assert guides["liuyang"].name == "刘洋"
    [person] = rows(talk.sessions, select(Contact))
    assert (person.name, person.gender) == ("韩梅", 2)
    assert person.guide_id in {guide.id for guide in guides.values()}
    assert _sync(talk) == counts


def test_a_killed_sync_goes_on_where_it_was(talk: Talk) -> None:
    _many(talk, 230)

    class Killed(Exception):
        pass

    def kill(text: str) -> None:
        if "跟进关系 100" in text:
            raise Killed

    with pytest.raises(Killed):
        _sync(talk, kill)
    before = len(talk.town.calls("externalcontact/batch/get_by_user"))
    assert _sync(talk).relations == 230
    assert len(talk.town.calls("externalcontact/batch/get_by_user")) - before == 2
    [run] = rows(talk.sessions, select(RosterSync))
    assert run.finished_at is not None
    assert run.row_count == 230


def test_the_night_finds_adds_and_deletions_no_callback_told(talk: Talk) -> None:
    _many(talk, 3)
    _sync(talk)
    talk.befriend()
    actors.guide_deletes_customer(talk.town, GUIDE, "wmMany000")
    assert _reconcile(talk) == 1  # a relation this young may not be in WeCom's list yet
    talk.pass_time(hours=1)
    assert _reconcile(talk) == 1
    assert _states(talk) == {
        "wmMany000": "ended", "wmMany001": "active", "wmMany002": "active", CUSTOMER: "active",
    }  # fmt: skip
    assert _reconcile(talk) == 0


def test_a_customer_who_deleted_the_guide_is_no_difference(talk: Talk) -> None:
    talk.befriend()
    _sync(talk)
    talk.pass_time(hours=1)
    with talk.sessions() as session, session.begin():
        roster.end_follow(
            session, userid=GUIDE, external_userid=CUSTOMER, by="customer", at=talk.now()
        )
    assert _reconcile(talk) == 0
    assert _states(talk) == {CUSTOMER: "ended"}
