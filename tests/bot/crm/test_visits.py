"""Visits and views: once each, with the newest day of each kept beside."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from bot.crm import activity, visits
from bot.crm.models import ContactActivity, MaterialView, TimelineEntry, Visit
from tests.bot.crm.events import NOW, accept, error_of, event, rows, the
from tests.factories import Make

DAY = 24 * 60


def visit(id="v1", at=0, **given):
    return event("visit", id, at=at, **({"store": "S1", "kind": "到店"} | given))


def view(id="w1", at=0, **given):
    return event("view", id, at=at, **({"material": "求婚指南", "seconds": 12} | given))


def test_the_newest_day_of_each_sign_is_kept_whatever_comes_first(session):
    accept(session, visit("v1", 3 * DAY), view("w1", 5 * DAY))
    accept(session, visit("v2", DAY), view("w2", 2 * DAY))
    found = session.get(ContactActivity, the(session, ContactActivity).contact_id)
    assert (found.visited_on, found.viewed_on) == (date(2026, 10, 25), date(2026, 10, 27))
    assert found.replied_on is None
    assert len(rows(session, Visit)) == len(rows(session, MaterialView)) == 2


def test_a_visit_to_a_store_that_is_loaded_later_finds_it(session):
    accept(session, visit())
    assert the(session, Visit).store_id is None
    store = Make(session).store(code="S1", name="南京路店")
    assert visits.adopt_stores(session) == 1
    assert the(session, Visit).store_id == store.id
    accept(session, visit("v2", 1, kind="沙龙"))
    assert "沙龙：南京路店" in {one.text for one in rows(session, TimelineEntry)}


def test_a_guide_may_note_a_visit_herself(session):
    contact = Make(session).contact()
    store = Make(session).store(code="S7")
    id = visits.mark(
        session,
        contact.id,
        store,
        at=NOW,
        appointment_id=5,
    )
    found = the(session, Visit)
    assert (found.id, found.source_event_id, found.appointment_id) == (id, None, 5)
    assert session.get(ContactActivity, contact.id).visited_on == date(2026, 11, 21)


def test_a_reply_is_a_sign_that_only_moves_forward(session):
    contact = Make(session).contact()
    for days in (0, -3):
        day = NOW.date() + timedelta(days=days)
        activity.seen(session, {contact.id: day}, "replied_on")
    session.expire_all()
    assert session.get(ContactActivity, contact.id).replied_on == NOW.date()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (visit(store=None), "store 不能为空。"),
        (visit(kind=""), "kind 不能为空。"),
        (visit(kind="x" * 41), "kind 最多 40 个字。"),
        (view(material=None), "material 不能为空。"),
        (view(seconds=-1), "seconds 要在 0 到"),
        (view(seconds="12"), "seconds 要是整数。"),
    ],
)
def test_a_malformed_sign_is_refused_with_one_sentence(session, wrong, sentence):
    assert error_of(session, wrong).startswith(sentence)
    assert rows(session, Visit) == rows(session, MaterialView) == []
