"""Which lines of an order came back: the rule read plainly, in any order of arrival."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from bot.clock import business_day
from sop.anchors import purchases as anchors
from tagging import conditions, scores
from tests.bot.crm.events import NOW, accept, event

_LINES = text("SELECT name, is_returned FROM purchase_line ORDER BY purchase_id, line_no")


def _line(name, fen, sku=None, quantity=1, category=None):
    said = {"name": name, "category": category or name, "quantity": quantity, "amount_fen": fen}
    return said | ({"sku": sku} if sku else {})


RING = _line("对戒", 600_000, "R1", 2)
CHAIN = _line("项链", 100_000, "N1")
CARE = _line("保养", 0)


def _purchase(id="e1", lines=(RING, CHAIN, CARE), fen=700_000, **given_fields):
    given_fields |= {"order_no": "O1", "lines": list(lines), "amount_fen": fen}
    return event("purchase", id, **given_fields)


def _refund(id, fen, lines=None, order_no="O1"):
    return event(
        "refund",
        id,
        order_no=order_no,
        amount_fen=fen,
        **({} if lines is None else {"lines": lines}),
    )


def _returned(session):
    return [row.name for row in session.execute(_LINES) if row.is_returned]


@pytest.mark.parametrize(
    ("lines", "returned"),
    [
        ([{"sku": "N1", "quantity": 1, "amount_fen": 80_000}], ["项链"]),
        ([{"sku": "N1"}], ["项链"]),
        ([{"name": "项链"}], ["项链"]),
        ([{"name": "保养"}], ["保养"]),
        ([{"sku": "R1", "quantity": 1}], []),
        ([{"sku": "R1", "quantity": 1}, {"sku": "R1", "quantity": 1}], ["对戒"]),
        ([{"sku": "R1", "quantity": -2, "amount_fen": -600_000}], ["对戒"]),
        ([{"sku": "R1", "amount_fen": 600_000}], ["对戒"]),
        ([{"sku": "R1", "amount_fen": 599_999}], []),
        ([{"name": "保养", "amount_fen": 0}], []),
        ([{"sku": "X9", "name": "项链", "quantity": 9}], []),
        ([{"sku": 7, "name": ["项链"], "quantity": "1"}, "项链", None, {}], []),
        ([{"sku": "N1", "quantity": "many"}], ["项链"]),
        ([{"sku": "N1", "quantity": True, "amount_fen": 1}], []),
        ([], []),
        (None, []),
    ],
)
def test_a_line_comes_back_with_its_pieces_or_its_money(session, lines, returned):
    accept(session, _purchase(), _refund("r1", 1_000, lines))
    assert _returned(session) == returned


def test_the_category_of_what_came_back_is_bought_no_more(session):
    accept(session, _purchase())
    (contact_id,) = session.scalars(text("SELECT contact_id FROM purchase"))
    day = business_day(NOW)

    def bought():
        scores.refresh(session, day, [contact_id])
        row = session.execute(
            text("SELECT bought_categories, favourite_category, total_spend_fen FROM contact_score")
        ).one()
        leaf = {"field": "missing_category", "op": "=", "value": "对戒"}
        misses = conditions.readings(session, leaf, contact_id, day)[0].holds
        found = anchors.purchased(day.replace(year=2000), day, {"category": "对戒"})
        anniversaries = anchors.purchase_anniversary(
            day, day.replace(year=day.year + 2), {"category": "对戒"}
        )
        counted = [len(session.execute(one).all()) for one in (found, anniversaries)]
        return [*row, misses, *counted]

    assert bought() == [["保养", "对戒", "项链"], "对戒", 700_000, False, 1, 2]
    accept(session, _refund("r1", 300_000, [{"sku": "R1", "quantity": 1}]))
    assert bought() == [["保养", "对戒", "项链"], "对戒", 400_000, False, 1, 2]
    accept(session, _refund("r2", 300_000, [{"sku": "R1", "quantity": 1}]))
    assert bought() == [["保养", "项链"], "项链", 100_000, True, 0, 0]
    # What is given back without naming goods takes no category, until nothing is left.
    accept(session, _refund("r3", 99_999))
    assert bought() == [["保养", "项链"], "项链", 1, True, 0, 0]
    accept(session, _refund("r4", 1))
    assert bought() == [[], None, 0, False, 0, 0]


def test_a_corrected_order_is_compared_with_its_refunds_again(session):
    accept(session, _purchase(), _refund("r1", 100, [{"sku": "N1", "quantity": 1}]))
    assert _returned(session) == ["项链"]
    two = _line("项链", 200_000, "N1", 2)
    accept(session, _purchase("e2", (two,), 200_000, at=1))
    assert _returned(session) == []
    accept(session, _refund("r2", 100, [{"sku": "N1", "quantity": 1}]))
    assert _returned(session) == ["项链"]


_NAMES = ("对戒", "项链")
_sku = st.sampled_from((None, "A", "B"))
_pieces = st.integers(1, 3)
_fen = st.sampled_from((-100, 0, 100, 200))
_bought = st.builds(_line, st.sampled_from(_NAMES), _fen, _sku, _pieces)
_back = st.fixed_dictionaries(
    {"sku": _sku, "name": st.sampled_from((None, *_NAMES))},
    optional={"quantity": _pieces, "amount_fen": st.sampled_from((0, 100, 200))},
)


def _plainly(bought, back):
    """The names of the lines that came back, one line at a time."""
    found = []
    for line in bought:
        same = [
            one
            for one in bought
            if one.get("sku") == line.get("sku")
            and (line.get("sku") or one["name"] == line["name"])
        ]
        names = {one["name"] for one in same}
        about = [
            one
            for one in back
            if (one["sku"] is not None and one["sku"] == line.get("sku"))
            or (one["sku"] is None and one["name"] in names)
        ]
        pieces = sum(one.get("quantity", 0 if "amount_fen" in one else 1) for one in about)
        fen = sum(one.get("amount_fen", 0) for one in about)
        paid = sum(one["amount_fen"] for one in same)
        if pieces >= sum(one["quantity"] for one in same) or 0 < paid <= fen:
            found.append(line["name"])
    return found


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    bought=st.lists(_bought, min_size=1, max_size=4),
    refunds=st.lists(st.lists(_back, max_size=3), max_size=3),
    data=st.data(),
)
def test_any_lines_in_any_order_of_arrival_come_back_as_read_plainly(
    session, bought, refunds, data
):
    told = [_refund(f"r{n}", 1, lines) for n, lines in enumerate(refunds)]
    # Another order's refunds of the same goods say nothing.
    told.append(_refund("other", 1, [{"sku": "A", "quantity": 9}, {"name": "对戒"}], "O2"))
    told.append(_purchase("e1", bought, 1_000_000))
    before = session.begin_nested()
    for one in data.draw(st.permutations(told)):
        accept(session, one)
    back = [line for lines in refunds for line in lines]
    assert _returned(session) == _plainly(bought, back)
    before.rollback()
