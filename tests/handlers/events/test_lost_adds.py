"""An add whose callback was lost is found by reading WeCom, and brings what adds bring, once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import select, text

from bot.crm import sync
from bot.crm.models import Guide
from bot.outbox import Outbox
from handlers.events import HANDLERS
from handlers.refresh import refresh_changed
from sop.models import Enrollment
from tagging import tags
from tagging.models import ChannelTag, Tag, TagAssignment
from tests.factories import Make
from tests.sop.plans import publish, spec
from tests.talk import CUSTOMER, GUIDE, Talk, rows, talk

__all__ = ["talk"]


def _code(talk: Talk, state: str = "cashier", name: str = "收银台") -> str:
    """A code with a tag of its own; returns the tag's id in WeCom."""
    with talk.sessions() as session, session.begin():
        make = Make(session)
        code = make.channel_code(session.get(Guide, talk.guide_id), state=state, name=name)
        tag = make.tag(f"渠道/{name}")
        tag_id = tag.id
        session.add(ChannelTag(channel_code_id=code.id, tag_id=tag_id))
        session.flush()
        tags.push_new_tags(session)
    talk.settle()
    [wecom_id] = rows(talk.sessions, select(Tag.wecom_id).where(Tag.id == tag_id))
    assert wecom_id
    return str(wecom_id)


def _plan(talk: Talk) -> None:
    with talk.sessions() as session:
        audience = {"field": "has_tag", "op": "=", "value": "渠道/收银台"}
        publish(session, spec("新客首月", {"kind": "followed"}, audience=audience))


def _befriend(talk: Talk, userid: str = GUIDE, **given: Any) -> None:
    talk.town.befriend(userid, CUSTOMER, at=talk.now(), **given)


def _night(talk: Talk) -> None:
    """The comparison with WeCom, and what follows for those it changed."""
    sync.reconcile_relations(talk.bot.gateway, talk.bot.sessions, talk.bot.clock)
    _lane(talk)


def _lane(talk: Talk) -> None:
    while refresh_changed(talk.bot):
        pass


def _late(talk: Talk, event: Any) -> None:
    for function in HANDLERS[type(event)]:
        function(talk.bot, event)
    _lane(talk)


def _marks(talk: Talk) -> list[tuple[str, list[str]]]:
    """The tags that were marked so far: (guide, tags)."""
    with talk.sessions() as session, session.begin():
        tags.push_pending(session)
    api = "externalcontact/mark_tag"
    kept = rows(talk.sessions, select(Outbox.body).where(Outbox.api == api).order_by(Outbox.id))
    return [(one["userid"], one["add_tag"]) for one in map(json.loads, kept)]


def test_a_customer_found_by_the_night_has_the_tags_of_the_code_she_came_by(talk: Talk) -> None:
    tag = _code(talk)
    _plan(talk)
    event = replace(talk.added(None), state="cashier")
    _befriend(talk, state="cashier")
    _night(talk)
    [assignment] = rows(talk.sessions, select(TagAssignment))
    assert (assignment.source, assignment.assigned_at) == ("channel", event.created_at)
    assert _marks(talk) == [(GUIDE, [tag])]
    assert len(rows(talk.sessions, select(Enrollment))) == 1


def test_the_callback_that_comes_after_all_changes_nothing_more(talk: Talk) -> None:
    tag = _code(talk)
    _plan(talk)
    event = replace(talk.added(None), state="cashier")
    _befriend(talk, state="cashier")
    _night(talk)
    talk.settle()
    assert _marks(talk) == [(GUIDE, [tag])]
    # A person has taken the tag away meanwhile.
    with talk.sessions() as session, session.begin():
        session.execute(text("DELETE FROM tag_assignment"))
    for _ in range(2):
        _late(talk, event)
    _night(talk)
    assert rows(talk.sessions, select(TagAssignment)) == []
    assert _marks(talk) == [(GUIDE, [tag])]
    assert len(rows(talk.sessions, select(Enrollment))) == 1


def test_whose_callback_came_in_time_the_night_finds_nothing_to_do(talk: Talk) -> None:
    tag = _code(talk)
    event = replace(talk.added(None), state="cashier")
    _befriend(talk, state="cashier")
    _late(talk, event)
    assert _marks(talk) == [(GUIDE, [tag])]
    talk.settle()
    _night(talk)
    with talk.sessions() as session, session.begin():
        session.execute(text("INSERT INTO changed_contact SELECT id, now() FROM contact"))
    _lane(talk)
    assert _marks(talk) == [(GUIDE, [tag])]


def test_a_second_guide_found_by_the_night_sees_the_tags_the_customer_has(talk: Talk) -> None:
    tag = _code(talk)
    event = replace(talk.added(None), state="cashier")
    _befriend(talk, state="cashier")
    _late(talk, event)
    assert _marks(talk) == [(GUIDE, [tag])]
    talk.settle()
    talk.pass_time(minutes=5)
    with talk.sessions() as session, session.begin():
        Make(session).guide(userid="liuyang")
    _befriend(talk, "liuyang")
    _night(talk)
    assert ("liuyang", [tag]) in _marks(talk)
    talk.settle()
    before = _marks(talk)
    _night(talk)
    assert _marks(talk) == before


def test_who_comes_back_by_another_code_gets_its_tags_too(talk: Talk) -> None:
    first, second = _code(talk), _code(talk, "window", "橱窗")
    _befriend(talk, state="cashier")
    _night(talk)
    talk.pass_time(minutes=15)
    with talk.town.write() as db:
        db.execute("DELETE FROM relation")
    _night(talk)
    talk.pass_time(minutes=5)
    _befriend(talk, state="window")
    _night(talk)
    assert len(rows(talk.sessions, select(TagAssignment))) == 2
    assert _marks(talk) == [(GUIDE, [first]), (GUIDE, [first, second])]
