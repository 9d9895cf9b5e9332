"""Days to the next birthday or wedding day (生日、结婚纪念日), solar and lunar.

A day of the year is a (month, day) pair. For a given business day every pair has its number of days
to the next time; the pairs that match a condition are then ranges of pairs, which an index over
(month, day) serves. On which days a pair is kept is said in `bot.crm.yearly`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, SmallInteger, and_, false, literal, or_, tuple_

from bot.crm.yearly import Pair

_TESTS: dict[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


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
