"""The festival calendar (节日): computed for the coming years, corrected by HQ where it likes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta

from lunar_python import Lunar, LunarYear
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from bot.crm.models import FestivalDay

YEARS_AHEAD = 3

# A year HQ has touched one festival of keeps that festival as HQ wrote it.
_EXTEND = text(
    """
    INSERT INTO festival_day (name, held_on)
    SELECT r.name, r.held_on
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (name text, held_on date)
    WHERE NOT EXISTS (
        SELECT FROM festival_day f WHERE f.name = r.name AND f.is_edited
        AND f.held_on BETWEEN r.held_on - 150 AND r.held_on + 150)
    ON CONFLICT (name, held_on) DO NOTHING
    RETURNING id
    """
)


def _solar(month: int, day: int) -> Callable[[int], date]:
    return lambda year: date(year, month, day)


def _lunar(month: int, day: int) -> Callable[[int], date]:
    def held_on(year: int) -> date:
        solar = Lunar.fromYmd(year, month, day).getSolar()
        return date(solar.getYear(), solar.getMonth(), solar.getDay())

    return held_on


def _new_years_eve(year: int) -> date:
    # The last lunar month has 29 or 30 days, so the eve is counted back from the festival.
    return _lunar(1, 1)(year) - timedelta(days=1)


def _sunday(month: int, number: int) -> Callable[[int], date]:
    def held_on(year: int) -> date:
        first = date(year, month, 1)
        return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (number - 1))

    return held_on


#: Every festival there is, with the day it is held on in a (lunar, for lunar ones) year.
FESTIVALS: dict[str, Callable[[int], date]] = {
    "元旦": _solar(1, 1),
    "除夕": _new_years_eve,
    "春节": _lunar(1, 1),
    "元宵": _lunar(1, 15),
    "情人节": _solar(2, 14),
    "白色情人节": _solar(3, 14),
    "三八": _solar(3, 8),
    "五一": _solar(5, 1),
    "母亲节": _sunday(5, 2),
    "520": _solar(5, 20),
    "儿童节": _solar(6, 1),
    "端午": _lunar(5, 5),
    "父亲节": _sunday(6, 3),
    "七夕": _lunar(7, 7),
    "中秋": _lunar(8, 15),
    "教师节": _solar(9, 10),
    "国庆": _solar(10, 1),
    "重阳": _lunar(9, 9),
    "双十一": _solar(11, 11),
    "双十二": _solar(12, 12),
    "平安夜": _solar(12, 24),
    "圣诞": _solar(12, 25),
}


def extend(session: Session, day: date) -> int:
    """Write the festivals of this and the following years that are missing; returns how many."""
    rows = [
        {"name": name, "held_on": held_on(year).isoformat()}
        for year in range(day.year, day.year + YEARS_AHEAD)
        for name, held_on in FESTIVALS.items()
    ]
    return len(session.execute(_EXTEND, {"rows": json.dumps(rows, ensure_ascii=False)}).all())


def next_festival(session: Session, day: date, name: str | None = None) -> FestivalDay | None:
    """The next festival on or after `day`: any, or the one of this name."""
    wanted = select(FestivalDay).where(FestivalDay.held_on >= day)
    if name is not None:
        wanted = wanted.where(FestivalDay.name == name)
    return session.scalars(wanted.order_by(FestivalDay.held_on, FestivalDay.id).limit(1)).first()


def lunar_day(year: int, month: int, day: int) -> date:
    """The solar date of a lunar month and day in a lunar year.

    The thirtieth of a month that has 29 days this year is kept on the 29th, as families do.
    """
    for one in LunarYear.fromYear(year).getMonths():
        if one.getYear() == year and one.getMonth() == month:
            return _lunar(month, min(day, one.getDayCount()))(year)
    raise ValueError(f"there is no lunar month {month}")
