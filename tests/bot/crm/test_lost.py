"""The list of the lost: both directions, page by page."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.crm import lost
from bot.crm.lost import Direction
from bot.errors import UserError
from sop.models import Touch
from tests.factories import TODAY, Make

FIRST = TODAY - timedelta(days=30)


@pytest.fixture
def make(session):
    return Make(session)


def ended(session, make, guide, *, on=TODAY, by="customer", **given):
    contact = make.contact(None, **given)
    relation = make.follow(guide, contact, followed_on=on - timedelta(days=100))
    relation.state, relation.ended_on, relation.ended_by = "ended", on, by
    contact.guide_id = None
    session.flush()
    return contact


def test_a_line_tells_what_was_between_them(session, make):
    store = make.store(name="南京路店")
    guide, heir = make.guide(store, name="王芳"), make.guide(name="刘洋")
    contact = ended(session, make, guide, name="韩梅")
    make.purchase(contact, amount_fen=500, refunded_fen=100)
    for days in (5, 40):
        session.add(
            Touch(contact_id=contact.id, touched_on=TODAY - timedelta(days=days), channel="chat")
        )
    make.follow(heir, contact)

    [one] = lost.page(session, first=FIRST, last=TODAY).rows

    assert (one.name, one.guide_name, one.store_name) == ("韩梅", "王芳", "南京路店")
    assert (one.direction, one.ended_on, one.followed_days) == (Direction.CUSTOMER, TODAY, 100)
    assert (one.spent_fen, one.touched_on) == (400, TODAY - timedelta(days=5))
    assert one.now_with == "刘洋"


def test_the_list_can_be_narrowed_and_leaves_transfers_out(session, make):
    guide, other = make.guide(), make.guide()
    a = ended(session, make, guide)
    b = ended(session, make, other, by="guide")
    ended(session, make, guide, by="transfer")
    ended(session, make, guide, on=FIRST - timedelta(days=1))

    def found(**given):
        page = lost.page(session, first=FIRST, last=TODAY, **given)
        return {one.contact_id for one in page.rows}

    assert found() == {a.id, b.id}
    assert found(direction=Direction.GUIDE) == {b.id}
    assert found(store_id=guide.store_id) == {a.id}


def test_pages_hold_everybody_once(session, make):
    guide = make.guide()
    people = [ended(session, make, guide, on=TODAY - timedelta(days=n // 3)) for n in range(7)]
    seen, cursor = [], None
    for _ in range(4):
        page = lost.page(session, first=FIRST, last=TODAY, cursor=cursor, limit=2)
        seen += [one.contact_id for one in page.rows]
        cursor = page.cursor
    assert cursor is None
    assert sorted(seen) == sorted(person.id for person in people)
    assert len(seen) == 7


@pytest.mark.parametrize("cursor", ["x", "2026-13-01.1", "2026-11-21", "2026-11-21.1; DROP"])
def test_a_cursor_nobody_gave_is_refused(session, cursor):
    with pytest.raises(UserError, match="第一页"):
        lost.page(session, first=FIRST, last=TODAY, cursor=cursor)


def test_the_count_of_a_guides_day_is_by_direction(session, make):
    guide = make.guide()
    for by in ("customer", "customer", "guide"):
        ended(session, make, guide, by=by)
    ended(session, make, guide, on=TODAY - timedelta(days=1))
    assert lost.count_of_guide(session, guide.id, TODAY, Direction.CUSTOMER) == 2
    assert lost.count_of_guide(session, guide.id, TODAY, Direction.GUIDE) == 1
