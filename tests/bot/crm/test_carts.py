"""Carts: the newest report says how one stands, the first since it was emptied when it opened."""

from __future__ import annotations

from itertools import permutations

import pytest
from sqlalchemy import select

from bot.crm.models import Cart, Contact, TimelineEntry
from tests.bot.crm.events import START, accept, error_of, event, line, rows, the


def cart(id, state, at=0, cart_id="C1", who=None, **given):
    lines = {"lines": [line()]} if state == "added" else {}
    return event("cart", id, who, at=at, cart_id=cart_id, state=state, **(lines | given))


def test_a_cart_is_open_since_the_first_adding_after_it_was_emptied(session):
    told = [
        cart("c1", "added", 1),
        cart("c2", "removed", 2),
        cart("c3", "added", 3, lines=[line("项链", "项链", 50_000)]),
        cart("c4", "added", 4, lines=[line("项链", "项链", 50_000), line(category=None)]),
    ]
    for order in permutations(told):
        before = session.begin_nested()
        for one in order:
            accept(session, one)
        found = the(session, Cart)
        assert (found.state, found.amount_fen, found.categories) == ("added", 150_000, ["项链"])
        assert (found.first_item, len(found.lines)) == ("项链", 2)
        assert (found.opened_at - START).total_seconds() == 180
        assert str(found.opened_on) == "2026-10-22"
        before.rollback()


def test_a_paid_cart_is_not_open_and_keeps_what_lay_in_it(session):
    accept(session, cart("c1", "added", 1), cart("c2", "bought", 2))
    found = the(session, Cart)
    assert (found.state, found.first_item, found.amount_fen) == ("bought", "对戒", 100_000)


def test_a_cart_belongs_to_whom_its_newest_report_names(session):
    accept(session, cart("c2", "added", 2, who={"member_no": "M2"}))
    accept(session, cart("c1", "added", 1))
    owner = the(session, Cart).contact_id
    names = session.scalars(select(TimelineEntry.contact_id)).all()
    assert session.get(Contact, owner) is not None
    assert names == [owner]


def test_two_shops_may_use_one_cart_number(session):
    accept(session, cart("c1", "added"), cart("c1", "added") | {"source": "mall"})
    assert {one.source for one in rows(session, Cart)} == {"pos", "mall"}


def test_a_filled_cart_is_told_once_in_the_story(session):
    accept(session, cart("c1", "added", 1), cart("c2", "added", 2), cart("c3", "removed", 3))
    told = the(session, TimelineEntry)
    assert (told.kind, told.text) == ("cart", "加购了 对戒，¥1,000")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"state": "opened"}, "state 要是 added、bought、removed 之一。"),
        ({"state": None}, "state 不能为空。"),
        ({"cart_id": ""}, "cart_id 不能为空。"),
        ({"cart_id": "x" * 129}, "cart_id 最多 128 个字。"),
        ({"lines": []}, "加购时 lines 不能为空。"),
        ({"lines": None}, "lines 要是列表，最多 200 行。"),
        ({"lines": [line(amount_fen=-1)]}, "lines 第 1 行：amount_fen 要在 0 到"),
        ({"amount_fen": 1.5}, "amount_fen 要是整数。"),
        ({"amount_fen": True}, "amount_fen 要是整数。"),
    ],
)
def test_a_malformed_cart_is_refused_with_one_sentence(session, wrong, sentence):
    assert error_of(session, cart("c1", "added") | wrong).startswith(sentence)
    assert rows(session, Cart) == []
