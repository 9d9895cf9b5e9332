"""Points: what is spent takes from what expires first; the balance is the newest one told."""

from __future__ import annotations

from itertools import permutations

import pytest
from sqlalchemy import select

from bot.crm.models import ContactMerge, Member, PointsChange
from tests.bot.crm.events import accept, error_of, event, member, rows, the


def points(id, delta, at=0, who=None, **given):
    return event("points", id, who, at=at, delta=delta, **given)


def left(session):
    session.expire_all()
    won = select(PointsChange).where(PointsChange.delta > 0)
    return {one.event_id: one.remaining for one in session.scalars(won)}


def test_spending_takes_the_lot_that_expires_first_whatever_comes_first(session):
    told = [
        points("never", 100, 1),
        points("late", 100, 2, expires_on="2027-12-31"),
        points("soon", 100, 3, expires_on="2026-12-31"),
        points("spent", -150, 4, reason="兑换礼品"),
    ]
    for order in permutations(told):
        before = session.begin_nested()
        for one in order:
            accept(session, one)
        assert left(session) == {"soon": 0, "late": 50, "never": 100}
        before.rollback()


def test_more_spent_than_won_leaves_nothing_and_not_less(session):
    accept(session, points("a", 10), points("b", -30, 1), points("c", 5, 2))
    assert left(session) == {"a": 0, "c": 0}


def test_the_balance_of_the_member_is_the_newest_told_by_either_event(session):
    told = [
        member("m1", points=10, at=1),
        points("p2", 5, 2, balance=15),
        member("m3", points=40, at=3),
        points("p4", -1, 4),
    ]
    for order in permutations(told):
        before = session.begin_nested()
        for one in order:
            accept(session, one)
        assert the(session, Member).points == 40
        before.rollback()


def test_points_of_two_numbers_of_one_person_are_one_pot(session):
    accept(session, points("a", 100, expires_on="2026-12-31"))
    accept(session, points("b", -30, 1, who={"mobile": "13800001234"}))
    assert left(session) == {"a": 100}
    accept(session, member("m1", mobile="13800001234"))
    assert left(session) == {"a": 70}
    assert session.scalars(select(ContactMerge)).one()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"delta": 0}, "delta 是 0 时要有 balance。"),
        ({"delta": "5"}, "delta 要是整数。"),
        ({"delta": 10**8 + 1}, "delta 要在"),
        ({"balance": -1}, "balance 要在 0 到"),
        ({"expires_on": "2026-10-21"}, "expires_on 不能早于积分变动的日期。"),
        ({"delta": -5, "expires_on": "2026-12-31"}, "只有增加积分时才能写 expires_on。"),
        ({"expires_on": "31.12.2026"}, "expires_on 要是日期"),
        ({"reason": "x" * 101}, "reason 最多 100 个字。"),
    ],
)
def test_a_malformed_change_is_refused_with_one_sentence(session, wrong, sentence):
    assert error_of(session, points("p1", 5) | wrong).startswith(sentence)
    assert rows(session, PointsChange) == []


def test_a_balance_alone_may_be_told(session):
    accept(session, points("p1", 0, balance=12))
    assert the(session, Member).points == 12
