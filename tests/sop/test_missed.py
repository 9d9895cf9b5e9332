"""What becomes of a step whose day cannot be: late, drop, move; days off, working days, hours."""

from __future__ import annotations

from datetime import time, timedelta

import pytest

from bot.clock import at
from bot.crm.models import CalendarDay, GuideDayOff
from bot.errors import UserError
from sop import tasks as actions
from sop import versions
from tests.sop.plans import TODAY, days_ago, night, publish, spec, step, tasks

FOLLOWED = {"kind": "followed"}
# 21 November 2026 is a Saturday.
SUNDAY, MONDAY, TUESDAY = (TODAY + timedelta(days=n) for n in (1, 2, 3))


def off(session, guide, *days):
    session.add_all(GuideDayOff(guide_id=guide.id, day=day) for day in days)
    session.flush()


def test_a_late_step_waits_for_the_guide_who_is_off_and_says_so(session, make):
    guide = make.guide(name="王芳")
    make.contact(guide, followed_on=TODAY)
    off(session, guide, TODAY)
    publish(session, spec("新客", FOLLOWED))
    night(session)
    (waits,) = tasks(session)
    assert (waits.state, waits.held_by) == ("deferred", "guide_off")
    assert waits.state_reason == "王芳 11月21日休息"
    night(session, SUNDAY)
    (opened,) = tasks(session, "open")
    assert (opened.due_on, opened.planned_on) == (TODAY, SUNDAY)


def test_a_weekday_of_rest_counts_every_week(session, make):
    guide = make.guide(rest_weekdays=[6, 7])
    make.contact(guide, followed_on=TODAY)
    publish(session, spec("新客", FOLLOWED))
    night(session)
    night(session, SUNDAY)
    assert tasks(session, "open") == []
    night(session, MONDAY)
    assert [t.planned_on for t in tasks(session, "open")] == [MONDAY]


def test_a_dropped_step_has_its_one_day(session, make):
    guide = make.guide(name="王芳")
    make.contact(guide, followed_on=TODAY)
    off(session, guide, TODAY)
    publish(session, spec("新客", FOLLOWED, step("祝福", if_missed="drop")))
    night(session)
    night(session, SUNDAY)
    (ended,) = tasks(session)
    assert (ended.state, ended.state_reason) == (
        "expired",
        "过了期限没有做（王芳 11月21日休息）",
    )


def test_a_dropped_step_of_a_missed_night_is_never_made(session, make):
    make.contact(make.guide(), followed_on=days_ago(1))
    steps = step("祝福", if_missed="drop"), step("补做")
    publish(session, spec("新客", FOLLOWED, *steps))
    night(session)
    assert [t.why["step"] for t in tasks(session)] == ["补做"]


def test_a_moved_step_goes_on_to_the_first_workable_day(session, make):
    guide = make.guide()
    make.contact(guide, followed_on=TODAY)
    off(session, guide, TODAY, MONDAY)
    moving = step("回访", if_missed="move", workdays=True, at="14:00")
    publish(session, spec("新客", FOLLOWED, moving))
    night(session)
    (task,) = tasks(session)
    assert (task.wanted_on, task.due_on, task.state) == (TODAY, TUESDAY, "deferred")
    assert task.due_at == at(TUESDAY, 14)
    assert task.expires_on == TUESDAY + timedelta(days=3)
    assert task.why["moved"] == {"from": TODAY.isoformat(), "reason": "导购当天休息"}
    for day in (SUNDAY, MONDAY, TUESDAY):
        night(session, day)
    assert [t.planned_on for t in tasks(session, "open")] == [TUESDAY]


def test_a_step_for_working_days_knows_the_adjusted_ones(session, make):
    make.contact(make.guide(), followed_on=TODAY)
    session.add(CalendarDay(day=SUNDAY, is_workday=True, name="调休"))
    publish(session, spec("新客", FOLLOWED, step("回访", workdays=True)))
    night(session)
    (waits,) = tasks(session)
    assert (waits.held_by, waits.state_reason) == ("guide_off", "11月21日不是工作日")
    night(session, SUNDAY)
    assert [t.planned_on for t in tasks(session, "open")] == [SUNDAY]


def test_a_week_without_a_workable_day_keeps_the_wanted_one(session, make):
    guide = make.guide(rest_weekdays=[1, 2, 3, 4, 5, 6, 7])
    make.contact(guide, followed_on=TODAY)
    publish(session, spec("新客", FOLLOWED, step("回访", if_missed="move")))
    night(session)
    assert [(t.due_on, t.held_by) for t in tasks(session)] == [(TODAY, "guide_off")]


@pytest.mark.parametrize(
    ("wanted", "kept"), [("09:30", (10, 0)), ("15:00", (15, 0)), ("20:30", (18, 30))]
)
def test_the_hour_lies_within_the_hours_of_the_guides_store(session, make, wanted, kept):
    store = make.store(opens_at=time(10), closes_at=time(19))
    make.contact(make.guide(store), followed_on=TODAY)
    publish(session, spec("新客", FOLLOWED, step("问候", at=wanted)))
    night(session)
    night(session)
    assert [t.due_at for t in tasks(session, "open")] == [at(TODAY, *kept)]


def test_a_store_open_over_midnight_changes_no_hour(session, make):
    store = make.store(opens_at=time(20), closes_at=time(2))
    make.contact(make.guide(store), followed_on=TODAY)
    publish(session, spec("新客", FOLLOWED, step("问候", at="12:00")))
    night(session)
    assert [t.due_at for t in tasks(session, "open")] == [at(TODAY, 12)]


def test_a_guide_may_still_put_off_a_dropped_step(session, make):
    make.contact(make.guide(), followed_on=TODAY)
    publish(session, spec("新客", FOLLOWED, step("祝福", if_missed="drop")))
    night(session)
    (task,) = tasks(session, "open")
    actions.move(session, task.id, task.guide_id, at(TODAY, 12), MONDAY)
    session.commit()
    night(session, SUNDAY)
    night(session, MONDAY)
    assert [t.planned_on for t in tasks(session, "open")] == [MONDAY]


@pytest.mark.parametrize(
    ("given", "words"), [({"if_missed": "never"}, "drop"), ({"workdays": 1}, "true 或 false")]
)
def test_a_wrong_word_is_refused(session, make, given, words):
    with pytest.raises(UserError, match=words):
        versions.save_draft(session, "新客", spec("新客", FOLLOWED, step("问候", **given)), "hq")


def test_the_written_form_keeps_them(session, make):
    steps = step("祝福", if_missed="drop"), step("回访", 7, if_missed="move", workdays=True)
    plan = spec("新客", FOLLOWED, *steps)
    draft = versions.save_draft(session, "新客", plan, "hq")
    assert versions.spec_of(session, draft.id) == plan
