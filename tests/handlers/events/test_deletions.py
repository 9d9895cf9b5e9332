"""Many customers lost on one day: the manager hears of it once, for each direction."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import delete

from bot.crm.models import Guide, Operator
from bot.db import transaction
from bot.wecom.events import ContactRemoved, GuideRemoved
from handlers import events
from handlers.events import follow
from tests.factories import Make
from tests.talk import CORP, GUIDE, Talk, talk

__all__ = ["talk"]


@pytest.fixture
def friends(talk: Talk) -> list[str]:
    """Twelve customers of 王芳, whose store has 刘洋 for a manager."""
    names = [f"wmFriend{n}" for n in range(12)]
    with transaction(talk.sessions) as session:
        make = Make(session)
        boss = make.guide(userid="liuyang", name="刘洋")
        boss.store_id, boss.is_manager = talk.store_id, True
        guide = session.get_one(Guide, talk.guide_id)
        for name in names:
            make.follow(guide, make.contact(None, external_userid=name, name=name))
    return names


def _lose(talk: Talk, who: str) -> None:
    event = GuideRemoved(created_at=talk.now(), to_user=CORP, userid=GUIDE, external_userid=who)
    _end(talk, event)


def _delete(talk: Talk, who: str, source: str | None = None) -> None:
    event = ContactRemoved(
        created_at=talk.now(), to_user=CORP, userid=GUIDE, external_userid=who, source=source
    )
    _end(talk, event)


def _end(talk: Talk, event: GuideRemoved | ContactRemoved) -> None:
    follow.end_follow(talk.bot, event)
    for _ in range(2):
        follow.alert_deletions(talk.bot, event)


def _told(talk: Talk) -> list[tuple[str, str]]:
    talk.settle()
    return [
        (str(one.who), str(one.payload["content"]["content"]).split(" ", 1)[1])
        for one in talk.effects("app_message")
    ]


def test_the_fifth_customer_who_deletes_a_guide_is_told_to_the_manager_once(
    talk: Talk, friends: list[str]
) -> None:
    for who in friends[:4]:
        _lose(talk, who)
    assert _told(talk) == []
    for who in friends[4:7]:
        _lose(talk, who)
    assert _told(talk) == [("liuyang", "有 5 位客户删除了导购 王芳，请了解一下情况。")]


def test_a_guide_who_deletes_customers_is_counted_by_herself(
    talk: Talk, friends: list[str]
) -> None:
    for who in friends[:4]:
        _lose(talk, who)
    for who in friends[4:9]:
        _delete(talk, who)
    assert _told(talk) == [("liuyang", "导购 王芳 删除了 5 位客户，请了解一下情况。")]


def test_customers_who_are_handed_over_are_nobodys_loss(talk: Talk, friends: list[str]) -> None:
    for who in friends:
        _delete(talk, who, "DELETE_BY_TRANSFER")
    assert _told(talk) == []


def test_without_a_manager_hq_hears_of_it(talk: Talk, friends: list[str]) -> None:
    with transaction(talk.sessions) as session:
        session.execute(delete(Guide).where(Guide.userid == "liuyang"))
        session.add(Operator(username="hq", name="总部", userid="liuyang"))
        session.add(Operator(username="away", name="离职", userid="wangfang", is_active=False))
    for who in friends[:5]:
        _lose(talk, who)
    assert [who for who, _ in _told(talk)] == ["liuyang"]


def test_both_ends_of_a_relation_are_looked_at(talk: Talk) -> None:
    for kind in (GuideRemoved, ContactRemoved):
        assert follow.alert_deletions in events.HANDLERS[kind]
    # Somebody the book does not know is no reason to fail.
    event = GuideRemoved(
        created_at=talk.now(), to_user=CORP, userid=GUIDE, external_userid="wmNobody"
    )
    follow.alert_deletions(talk.bot, replace(event, external_userid="wmNobodyElse"))
