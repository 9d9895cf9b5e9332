"""Points: what is spent takes from what expires first; the balance is the newest one told."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import permutations
from random import Random

import pytest
from sqlalchemy import select

from bot.crm.models import ContactMerge, Member, PointsChange, TimelineEntry
from tests.bot.crm.events import accept, error_of, event, member, rows, the

DAY = 24 * 60
FIRST = date(2026, 10, 22)


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


def test_points_that_expired_unsaid_do_not_pay_for_what_comes_later(session):
    told = [
        points("gone", 100, expires_on="2026-10-25"),
        points("kept", 80, expires_on="2026-12-31"),
        points("before", -30, 1),
        points("after", -50, 29 * DAY),
    ]
    for order in permutations(told):
        before = session.begin_nested()
        for one in order:
            accept(session, one)
        assert left(session) == {"gone": 70, "kept": 30}
        before.rollback()


def test_a_lapse_that_is_told_takes_what_lapsed_and_nothing_else(session):
    told = [
        points("gone", 100, expires_on="2026-10-25"),
        points("kept", 80, expires_on="2026-12-31"),
        points("used", -30, 1),
        points("lapse", -70, 29 * DAY, reason="积分过期"),
    ]
    for order in permutations(told):
        before = session.begin_nested()
        for one in order:
            accept(session, one)
        assert left(session) == {"gone": 0, "kept": 80}
        before.rollback()


def test_lots_agree_with_spending_them_one_by_one(session):
    """The closed form against a till that takes each spending from the soonest lot that holds."""
    random = Random(5)
    for number in range(12):
        who = {"member_no": f"R{number}"}
        lots = {
            f"w{number}-{place}": [random.randrange(1, 60), random.choice([None, 3, 9, 20])]
            for place in range(4)
        }
        spent = [(random.randrange(1, 60), random.randrange(1, 26)) for _ in range(4)]
        for id, (delta, days) in lots.items():
            until = {} if days is None else {"expires_on": (FIRST + timedelta(days)).isoformat()}
            accept(session, points(id, delta, 0, who, **until))
        for place, (delta, days) in enumerate(spent):
            accept(session, points(f"s{number}-{place}", -delta, days * DAY, who))
        for delta, days in sorted(spent, key=lambda one: one[1]):
            for id in sorted(lots, key=lambda one: (lots[one][1] or 99, one)):
                if lots[id][1] is None or lots[id][1] >= days:
                    used = min(delta, lots[id][0])
                    lots[id][0] -= used
                    delta -= used
        found = left(session)
        assert {id: found[id] for id in lots} == {id: kept for id, (kept, _) in lots.items()}


def test_the_story_tells_of_points_won_used_and_lapsed(session):
    accept(
        session,
        points("a", 1_200, reason="消费返利", expires_on="2026-12-31", balance=1_500),
        points("b", -300, 1),
        points("c", -200, 2, reason="积分过期"),
        points("d", 0, 3, balance=9),
    )
    told = session.scalars(select(TimelineEntry.text).order_by(TimelineEntry.occurred_at)).all()
    assert told == [
        "获得 1,200 积分（消费返利），2026年12月31日到期，余额 1,500",
        "使用 300 积分",
        "过期 200 积分",
    ]


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
