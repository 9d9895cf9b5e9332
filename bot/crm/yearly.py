"""On which days a day of the year is kept (周年日): 29 February, lunar dates, leap months.

The one home of these rules, read in both directions: which days of the year a calendar day keeps
(birthdays of today), and how many days it is to the next time of each (birthdays of next week).
29 February is kept on the 28th in common years; the 30th of a lunar month on the 29th when the
month is short; and a lunar day is not kept again in a leap month, which repeats the month before.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from lunar_python import LunarMonth, Solar

#: A day of the year: month and day.
Pair = tuple[int, int]

_OLDEST_YEARS = 40
_LUNAR_MONTH_LONG = 30


@dataclass(frozen=True)
class Kept:
    """A calendar day and one (month, day) that is kept on it."""

    on: date
    month: int
    day: int
    is_lunar: bool


def days_between(first: date, last: date) -> Iterator[date]:
    """Every day from first to last, both included."""
    for offset in range((last - first).days + 1):
        yield first + timedelta(days=offset)


def kept_between(first: date, last: date) -> list[Kept]:
    """Every (month, day), solar and lunar, with the day in the window on which it is kept."""
    found: list[Kept] = []
    for on in days_between(first, last):
        found.append(Kept(on, on.month, on.day, False))
        if _keeps_leap_day(on):
            found.append(Kept(on, 2, 29, False))
        found.extend(Kept(on, month, day, True) for month, day in _lunar_kept(on))
    return found


def earlier_years(first: date, last: date) -> list[tuple[date, date]]:
    """Pairs (day in the window, the same day of an earlier year)."""
    pairs: list[tuple[date, date]] = []
    for on in days_between(first, last):
        for year in range(on.year - _OLDEST_YEARS, on.year):
            if (on.month, on.day) != (2, 29) or isleap(year):
                pairs.append((on, on.replace(year=year)))
            if _keeps_leap_day(on) and isleap(year):
                pairs.append((on, date(year, 2, 29)))
    return pairs


def solar_day(year: int, month: int, day: int) -> date:
    """The date on which a solar day of the year is kept: the month's last one if it is short."""
    return date(year, month, min(day, monthrange(year, month)[1]))


def lunar_day(year: int, month: int, day: int) -> date:
    """The solar date of a lunar month and day in a lunar year."""
    first, length = _lunar_month(year, month)
    return first + timedelta(days=min(day, length) - 1)


@lru_cache(maxsize=64)
def solar_days(day: date) -> Mapping[Pair, int]:
    """Days from `day` to the next time of each solar (month, day); today is 0."""
    found: dict[Pair, int] = {}
    for ahead in range(367):
        then = day + timedelta(days=ahead)
        found.setdefault((then.month, then.day), ahead)
        if _keeps_leap_day(then):
            found.setdefault((2, 29), ahead)
    return found


@lru_cache(maxsize=64)
def lunar_days(day: date) -> Mapping[Pair, int]:
    """Days from `day` to the next time of each lunar (month, day); leap months do not count."""
    found: dict[Pair, int] = {}
    # The lunar year before this one reaches into February, the next one begins after it.
    for year in (day.year - 1, day.year, day.year + 1):
        for month in range(1, 13):
            for number in range(1, _LUNAR_MONTH_LONG + 1):
                ahead = (lunar_day(year, month, number) - day).days
                if ahead >= 0:
                    found.setdefault((month, number), ahead)
    return found


def _keeps_leap_day(on: date) -> bool:
    return (on.month, on.day) == (2, 28) and not isleap(on.year)


@lru_cache(maxsize=2048)
def _lunar_kept(on: date) -> tuple[Pair, ...]:
    """The lunar dates kept on a day; none in a leap month (a negative number here)."""
    lunar = Solar.fromYmd(on.year, on.month, on.day).getLunar()
    month, day = int(lunar.getMonth()), int(lunar.getDay())
    if month < 0:
        return ()
    if day == _LUNAR_MONTH_LONG - 1:
        tomorrow = on + timedelta(days=1)
        after = Solar.fromYmd(tomorrow.year, tomorrow.month, tomorrow.day).getLunar()
        if int(after.getDay()) == 1:
            return ((month, day), (month, _LUNAR_MONTH_LONG))
    return ((month, day),)


@lru_cache(maxsize=256)
def _lunar_month(year: int, month: int) -> tuple[date, int]:
    """The solar date of a lunar month's first day, and how many days the month has."""
    lunar = LunarMonth.fromYm(year, month)
    first = Solar.fromJulianDay(lunar.getFirstJulianDay())
    return date(first.getYear(), first.getMonth(), first.getDay()), lunar.getDayCount()
