"""On which days a yearly date is kept (周年日): 29 February, lunar dates, leap months."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from lunar_python import Solar

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
        if (on.month, on.day) == (2, 28) and not isleap(on.year):
            found.append(Kept(on, 2, 29, False))
        found.extend(Kept(on, month, day, True) for month, day in _lunar(on))
    return found


def earlier_years(first: date, last: date) -> list[tuple[date, date]]:
    """Pairs (day in the window, the same day of an earlier year)."""
    pairs: list[tuple[date, date]] = []
    for on in days_between(first, last):
        leap_too = (on.month, on.day) == (2, 28) and not isleap(on.year)
        for year in range(on.year - _OLDEST_YEARS, on.year):
            if (on.month, on.day) != (2, 29) or isleap(year):
                pairs.append((on, on.replace(year=year)))
            if leap_too and isleap(year):
                pairs.append((on, date(year, 2, 29)))
    return pairs


@lru_cache(maxsize=2048)
def _lunar(on: date) -> tuple[tuple[int, int], ...]:
    """The lunar dates kept on a day.

    A leap month (a negative number here) repeats the month before it, whose days were kept
    already. A birthday on the 30th is kept on the 29th where the month has no 30th.
    """
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
