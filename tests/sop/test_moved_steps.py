"""Moved and overdue steps (顺延与补做): what waits is not withdrawn for having waited."""

from __future__ import annotations

from datetime import date, timedelta

from bot.clock import at
from bot.crm import workdays
from tests.sop.plans import night, publish, spec, step, tasks

# A Monday; the Spring Festival of 2026 is free from the 15th to the 23rd of February.
MONDAY = date(2026, 2, 9)
FREE, BACK = date(2026, 2, 18), date(2026, 2, 24)


def _bought(make, guide, on):
    contact = make.contact(guide, followed_on=date(2026, 1, 2))
    make.purchase(contact, on=on)
    return contact


def test_several_customers_move_over_a_holiday_in_one_night_and_keep_their_step(session, make):
    workdays.extend(session, MONDAY)
    guide = make.guide()
    for _ in range(3):
        _bought(make, guide, FREE - timedelta(days=1))
    moved = step("回访", 1, workdays=True, if_missed="move")
    publish(session, spec("购后", {"kind": "purchased"}, moved), on=date(2026, 1, 2))
    for offset in range(7):
        night(session, FREE + timedelta(days=offset))
    found = [(one.wanted_on, one.due_on, one.planned_on, one.state) for one in tasks(session)]
    assert found == [(FREE, BACK, BACK, "open")] * 3


def test_a_step_moved_to_its_seventh_day_is_opened_and_not_withdrawn(session, make):
    guide = make.guide(rest_weekdays=[1, 2, 3, 4, 5, 6])
    _bought(make, guide, MONDAY)
    publish(
        session,
        spec("购后", {"kind": "purchased"}, step("回访", 0, if_missed="move")),
        on=date(2026, 1, 2),
    )
    for offset in range(7):
        night(session, MONDAY + timedelta(days=offset))
    (task,) = tasks(session)
    sunday = MONDAY + timedelta(days=6)
    assert (task.wanted_on, task.due_on, task.state) == (MONDAY, sunday, "open")
    assert task.planned_on == sunday


def test_a_step_nobody_could_do_expires_with_its_reason(session, make):
    guide = make.guide(rest_weekdays=[1, 2, 3, 4, 5, 6, 7])
    _bought(make, guide, MONDAY)
    publish(session, spec("购后", {"kind": "purchased"}, step("回访")), on=date(2026, 1, 2))
    for offset in range(5):
        night(session, MONDAY + timedelta(days=offset))
    (task,) = tasks(session)
    assert task.state == "expired"
    assert "休息" in task.state_reason
    assert task.ended_at == at(MONDAY + timedelta(days=4), 2, 10)
