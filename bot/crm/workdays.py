"""Working days (工作日) with the adjusted ones (调休): the published years, and what HQ writes.

`calendar_day` holds the days somebody has spoken of; all others are what their weekday says. A
year of which nothing is published goes by its weekdays; `unpublished` says so before it begins.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from lunar_python.util import HolidayUtil
from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.orm import Session

from bot.crm.models import CalendarDay

YEARS_BEHIND, YEARS_AHEAD = 1, 1
_WEEKEND = 6
#: The notice for the next year comes in October or November.
_NOTICE_MONTH = 11

_EXTEND = text(
    """
    INSERT INTO calendar_day (day, is_workday, name)
    SELECT r.day, r.is_workday, r.name
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (day date, is_workday bool, name text)
    ON CONFLICT (day) DO UPDATE SET is_workday = excluded.is_workday, name = excluded.name
    WHERE NOT calendar_day.is_edited
    AND (calendar_day.is_workday, calendar_day.name)
        IS DISTINCT FROM (excluded.is_workday, excluded.name)
    RETURNING day
    """
)


def extend(session: Session, day: date) -> int:
    """Write the published days of the years around `day`; returns how many are new or changed."""
    rows = [
        {"day": on.isoformat(), "is_workday": is_workday, "name": name}
        for year in range(day.year - YEARS_BEHIND, day.year + YEARS_AHEAD + 1)
        for on, is_workday, name in published(year)
    ]
    return len(session.execute(_EXTEND, {"rows": json.dumps(rows, ensure_ascii=False)}).all())


def published(year: int) -> list[tuple[date, bool, str]]:
    """The published days of a year as (day, is it a working day, name); nothing known: empty."""
    found = HolidayUtil.getHolidays(year) or []
    return [(date.fromisoformat(one.getDay()), one.isWork(), one.getName()) for one in found]


def is_workday(session: Session, day: date) -> bool:
    """Whether people work on `day`."""
    said = session.scalar(select(CalendarDay.is_workday).where(CalendarDay.day == day))
    return day.isoweekday() < _WEEKEND if said is None else said


def workday_clause(day: Any) -> ColumnElement[bool]:
    """Whether a column of dates is a working day, in SQL; the same answer as `is_workday`."""
    # Whatever the day is made of belongs to the query around, however deep this stands in it.
    said = (
        select(CalendarDay.is_workday)
        .where(CalendarDay.day == day)
        .correlate_except(CalendarDay)
        .scalar_subquery()
    )
    return func.coalesce(said, func.date_part("isodow", day) < _WEEKEND)


def unpublished(session: Session, day: date) -> int | None:
    """The year whose working days somebody has to write now; None: nothing is missing."""
    years = [day.year] + ([day.year + 1] if day.month >= _NOTICE_MONTH else [])
    for year in years:
        first, last = date(year, 1, 1), date(year, 12, 31)
        known = select(CalendarDay.day).where(CalendarDay.day.between(first, last))
        if not session.scalar(select(known.exists())):
            return year
    return None
