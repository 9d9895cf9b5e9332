"""Two reports of one moment: which of them holds does not depend on which came first."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import select, text

from bot.crm.models import Coupon, Member, PointsChange, Purchase, TimelineEntry
from tests.bot.crm.events import accept, event, line, member, purchase, the


def endings(session, told, look):
    """What `look` sees after each order in which the events may come."""
    found = []
    for order in itertools.permutations(told):
        before = session.begin_nested()
        for one in order:
            accept(session, one)
        found.append(look())
        before.rollback()
    return found


def of(source, one):
    return one | {"source": source}


@pytest.mark.parametrize(
    ("told", "look"),
    [
        (
            [of("pos", member("1", name="王芳")), of("erp", member("1", name="李娜"))],
            lambda session: the(session, Member).name,
        ),
        (
            [
                of(source, event("points", "1", delta=0, balance=balance))
                for source, balance in (("pos", 5), ("mall", 7))
            ],
            lambda session: the(session, Member).points,
        ),
        (
            [
                of("pos", event("points", "1", delta=10)),
                of("mall", event("points", "1", delta=10)),
                of("mall", event("points", "2", delta=-15)),
            ],
            lambda session: session.execute(
                select(PointsChange.source, PointsChange.remaining)
                .where(PointsChange.delta > 0)
                .order_by(PointsChange.source)
            ).all(),
        ),
        (
            [
                of(
                    source,
                    event("coupon", "1", coupon_no="DG0000000000", state="issued", template=name),
                )
                for source, name in (("pos", "生日券"), ("mall", "到店券"))
            ],
            lambda session: the(session, Coupon).template,
        ),
    ],
)
def test_two_sources_that_count_alike_do_not_make_the_order_of_arrival_matter(session, told, look):
    first, *others = endings(session, told, lambda: look(session))
    assert all(one == first for one in others)


def test_the_story_of_an_order_corrected_in_the_same_moment_tells_the_amount_that_holds(session):
    told = [purchase("e1", "O1", 100), purchase("e2", "O1", 200)]

    def look():
        return the(session, Purchase).amount_fen, the(session, TimelineEntry).text

    assert endings(session, told, look) == [(200, "购买 对戒，¥2")] * 2


def test_the_story_of_a_cart_filled_twice_in_one_moment_tells_the_later_event(session):
    told = [
        event("cart", f"e{n}", cart_id="C", state="added", lines=[line(amount_fen=n * 100)])
        for n in (1, 2)
    ]
    look = text("SELECT t.text, c.amount_fen FROM timeline_entry t, cart c")
    found = endings(session, told, lambda: session.execute(look).one())
    assert found == [("加购了 对戒，¥2", 200)] * 2
