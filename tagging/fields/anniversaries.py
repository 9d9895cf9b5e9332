"""Days to the next birthday or wedding day (生日、结婚纪念日), solar and lunar.

A day of the year is a (month, day) pair. For a given business day every pair has its number of days
to the next time; the pairs that match a condition are then ranges of pairs, which an index over
(month, day) serves. 29 February is kept on the 28th in common years; the 30th of a lunar month on
the 29th when the month is short, and a lunar birthday is not kept again in a leap month.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from lunar_python import LunarMonth, Solar
from sqlalchemy import ColumnElement, SmallInteger, and_, false, literal, or_, tuple_

Pair = tuple[int, int]

_TESTS: dict[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@lru_cache(maxsize=64)
def solar_days(day: date) -> Mapping[Pair, int]:
    """Days from `day` to the next time of each solar (month, day); today is 0."""
    found: dict[Pair, int] = {}
    for ahead in range(367):
        then = day + timedelta(days=ahead)
        found.setdefault((then.month, then.day), ahead)
        is_leap = (then + timedelta(days=1)).month == then.month
        if (then.month, then.day) == (2, 28) and not is_leap:
            found.setdefault((2, 29), ahead)
    return found


@lru_cache(maxsize=64)
def lunar_days(day: date) -> Mapping[Pair, int]:
    """Days from `day` to the next time of each lunar (month, day); leap months do not count."""
    found: dict[Pair, int] = {}
    # The lunar year before this one reaches into February, the next one begins after it.
    for year in (day.year - 1, day.year, day.year + 1):
        for month in range(1, 13):
            first, length = _lunar_month(year, month)
            for number in range(1, 31):
                ahead = (first - day).days + min(number, length) - 1
                if ahead >= 0:
                    found.setdefault((month, number), ahead)
    return found


@lru_cache(maxsize=256)
def _lunar_month(year: int, month: int) -> tuple[date, int]:
    """The solar date of a lunar month's first day, and how many days the month has."""
    lunar = LunarMonth.fromYm(year, month)
    first = Solar.fromJulianDay(lunar.getFirstJulianDay())
    return date(first.getYear(), first.getMonth(), first.getDay()), lunar.getDayCount()


def matching(days: Mapping[Pair, int], op: str, value: Any) -> list[tuple[Pair, Pair]]:
    """The pairs whose number of days matches, as ranges from first to last pair."""
    if op == "between":
        fits = {pair for pair, ahead in days.items() if value[0] <= ahead <= value[1]}
    else:
        fits = {pair for pair, ahead in days.items() if _TESTS[op](ahead, value)}
    ranges: list[tuple[Pair, Pair]] = []
    is_open = False
    for pair in sorted(days):
        if pair not in fits:
            is_open = False
        elif is_open:
            ranges[-1] = (ranges[-1][0], pair)
        else:
            ranges.append((pair, pair))
            is_open = True
    return ranges


def within(month: Any, number: Any, ranges: list[tuple[Pair, Pair]]) -> ColumnElement[bool]:
    """(month, number) lies in one of the ranges."""
    tests: list[ColumnElement[bool]] = []
    for first, last in ranges:
        if first == last:
            tests.append(and_(month == first[0], number == first[1]))
        else:
            tests.append(
                and_(tuple_(month, number) >= _pair(first), tuple_(month, number) <= _pair(last))
            )
    return or_(*tests) if tests else false()


def _pair(pair: Pair) -> Any:
    return tuple_(literal(pair[0], SmallInteger), literal(pair[1], SmallInteger))
