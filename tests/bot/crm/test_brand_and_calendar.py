"""Settings are checked by name; festivals stand on the right days."""

from __future__ import annotations

from datetime import date, time

import pytest

from bot.crm import brand, calendar, yearly
from bot.crm.models import FestivalDay
from bot.errors import UserError
from tests.factories import Make


def test_a_brand_not_loaded_has_the_defaults(session):
    found = brand.settings(session)
    assert (found.tasks_per_guide, found.touch_gap_days, found.morning) == (20, 3, time(8, 47))
    assert (found.lifecycle.active_days, found.lifecycle.loyal_purchases) == (180, 3)


def test_what_is_written_holds_and_the_rest_is_default(session):
    Make(session).brand(tasks_per_guide=5, lifecycle={"active_days": 90}, categories=["对戒"])
    found = brand.settings(session)
    assert (found.tasks_per_guide, found.lifecycle.active_days) == (5, 90)
    assert (found.lifecycle.dormant_days, found.categories) == (365, ("对戒",))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"task_per_guide": 5}, "task_per_guide"),
        ({"tasks_per_guide": True}, "tasks_per_guide"),
        ({"tasks_per_guide": 0}, "tasks_per_guide"),
        ({"touch_gap_days": "3"}, "touch_gap_days"),
        ({"quiet_hours": "21:00"}, "quiet_hours"),
        ({"quiet_hours": "09:00-09:00"}, "quiet_hours"),
        ({"quiet_hours": "21:00-25:00"}, "quiet_hours"),
        ({"morning": 527}, "morning"),
        ({"lifecycle": {"active_days": 400}}, "lifecycle"),
        ({"lifecycle": 3}, "lifecycle"),
        ({"lifecycle": {"days": 3}}, "lifecycle.days"),
        ({"categories": ["对戒", "对戒"]}, "categories"),
        ({"categories": "对戒"}, "categories"),
    ],
)
def test_a_wrong_setting_is_named(given, named):
    with pytest.raises(UserError, match=named):
        brand.validate(given)


@pytest.mark.parametrize(
    ("name", "held_on"),
    [
        ("春节", date(2027, 2, 6)),
        ("除夕", date(2027, 2, 5)),
        ("七夕", date(2026, 8, 19)),
        ("中秋", date(2028, 10, 3)),
        ("母亲节", date(2026, 5, 10)),
        ("父亲节", date(2027, 6, 20)),
        ("情人节", date(2026, 2, 14)),
    ],
)
def test_festivals_stand_on_their_days(session, name, held_on):
    calendar.extend(session, date(2026, 11, 21))
    assert calendar.next_festival(session, held_on, name).held_on == held_on


def test_extending_twice_adds_nothing_and_leaves_what_hq_moved(session):
    session.add(FestivalDay(name="七夕", held_on=date(2026, 8, 22), is_edited=True))
    session.flush()
    assert calendar.extend(session, date(2026, 11, 21)) == 9 * len(calendar.FESTIVALS) - 1
    assert calendar.extend(session, date(2026, 11, 22)) == 0
    assert calendar.next_festival(session, date(2026, 8, 1), "七夕").held_on == date(2026, 8, 22)


def test_the_thirtieth_of_a_short_lunar_month_is_kept_on_its_last_day():
    assert yearly.lunar_day(2026, 8, 15) == date(2026, 9, 25)
    days = {yearly.lunar_day(2026, month, 30) for month in range(1, 13)}
    assert len(days) == 12
