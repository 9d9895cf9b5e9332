"""A day that has not begun may be planned: today is left alone, its own night comes out right."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy import select

from bot.clock import at
from bot.crm.models import Brand
from sop import enrollment, planning
from sop import tasks as actions
from sop.models import Touch
from tests.sop.plans import TODAY, days_ago, enrollments, night, publish, spec, step, tasks

TOMORROW = TODAY + timedelta(days=1)
NOON = at(TODAY, 12)


@pytest.fixture
def crowded(session, make):
    """Four customers for two seats a day; each has a step today and one tomorrow."""
    session.get_one(Brand, 1).settings = {"tasks_per_guide": 2, "touch_gap_days": 1}
    guide = make.guide()
    for _ in range(4):
        make.contact(guide, followed_on=TODAY)
    publish(session, spec("新客", {"kind": "followed"}, step("问候"), step("回访", 1, priority=80)))
    return guide


def _ahead(session, day: date):
    enrollment.enroll_due(session, day)
    result = planning.plan(session, day, NOON)
    session.commit()
    return result


def _story(session):
    """All that a night decides, task by task."""
    return [
        (
            t.contact_id,
            t.step_key,
            t.state,
            t.planned_on,
            t.number,
            t.state_reason,
            t.held_by,
            t.why,
        )
        for t in sorted(tasks(session), key=lambda t: (t.contact_id, t.step_key))
    ]


def _touches(session):
    return sorted(tuple(row) for row in session.execute(select(Touch.contact_id, Touch.touched_on)))


def test_a_night_for_tomorrow_leaves_todays_list_as_it_is(session, crowded):
    night(session)
    before = [(t.id, t.number, t.why) for t in tasks(session, "open", day=TODAY)]
    assert len(before) == 2

    ahead = _ahead(session, TOMORROW)

    assert (ahead.opened, ahead.carried, ahead.expired, ahead.withdrawn) == (2, 0, 0, 0)
    assert [(t.id, t.number, t.why) for t in tasks(session, "open", day=TODAY)] == before
    assert [t.number for t in tasks(session, "open", day=TOMORROW)] == [1, 2]


def test_a_night_ahead_twice_adds_nothing(session, crowded):
    night(session)
    _ahead(session, TOMORROW)
    before = _story(session)
    assert _ahead(session, TOMORROW).opened == 0
    assert _story(session) == before


def test_the_real_night_comes_out_as_if_nobody_had_planned_ahead(session, crowded):
    night(session)
    (first, _) = tasks(session, "open")
    actions.complete(session, first.id, crowded.id, NOON)
    session.commit()
    plain = session.begin_nested()
    enrollment.enroll_due(session, TOMORROW)
    planning.plan(session, TOMORROW, at(TOMORROW, 2, 10))
    wanted, touched = _story(session), _touches(session)
    plain.rollback()

    for days in (1, 2, 30):
        _ahead(session, TODAY + timedelta(days=days))
    night(session, TOMORROW)

    assert [one for one in _story(session) if one[2] != "deferred" or one[5]] == [
        one for one in wanted if one[2] != "deferred" or one[5]
    ]
    assert _touches(session) == touched


def test_todays_night_takes_back_what_was_planned_ahead_before_it(session, crowded):
    _ahead(session, TOMORROW)
    assert tasks(session, "open", day=TODAY) == []
    night(session)
    assert [(t.why["step"], t.number) for t in tasks(session, "open", day=TODAY)] == [
        ("问候", 1),
        ("问候", 2),
    ]
    assert tasks(session, "open", day=TOMORROW) == []


def test_what_happens_today_comes_before_what_was_planned_ahead(session, make, crowded):
    night(session)
    contact = make.contact(make.guide(), followed_on=TODAY)
    session.get_one(Brand, 1).settings = {"touch_gap_days": 3}
    _ahead(session, TOMORROW)
    assert contact.id in {t.contact_id for t in tasks(session, "open", day=TOMORROW)}
    enrollment.enroll_due(session, TODAY, [contact.id])
    planning.plan(session, TODAY, NOON, [contact.id])
    session.commit()
    mine = [t for t in tasks(session, "open") if t.contact_id == contact.id]
    assert [(t.why["step"], t.planned_on) for t in mine] == [("问候", TODAY)]


def test_planning_far_ahead_ends_nothing_that_still_makes_sense(session, make, crowded):
    buyer = make.contact(crowded, followed_on=days_ago(200))
    make.purchase(buyer, on=TODAY)
    make.score(buyer, last_purchased_on=TODAY, purchase_count=1)
    recent = {"field": "days_since_purchase", "op": "<", "value": 5}
    publish(session, spec("回访", {"kind": "purchased"}, step("问好", 0), audience=recent))
    night(session)
    before = _story(session)
    assert {one[2] for one in before} == {"open", "deferred"}

    _ahead(session, TODAY + timedelta(days=60))

    after = {one[:2]: one for one in _story(session)}
    assert [after[one[:2]] for one in before if one[2] == "open"] == [
        one for one in before if one[2] == "open"
    ]
    assert not tasks(session, "expired", "withdrawn")
    assert len(enrollments(session, "active")) == 5
