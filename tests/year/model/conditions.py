"""Audiences of the presets, read in plain Python (条件)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from tests.year.model.calendar import festival
from tests.year.model.person import Person
from tests.year.model.scores import Score

Own = tuple[tuple[str, int, int], ...]


def holds(condition: Any, person: Person, score: Score, day: date, own: Own) -> bool:
    """Whether a person is in the audience on the night of `day`."""
    if condition is None:
        return True
    if "all" in condition:
        return all(holds(part, person, score, day, own) for part in condition["all"])
    if "any" in condition:
        return any(holds(part, person, score, day, own) for part in condition["any"])
    if "not" in condition:
        return not holds(condition["not"], person, score, day, own)
    value, op = condition["value"], condition["op"]
    wanted = value if isinstance(value, list) else [value]
    return _FIELDS[condition["field"]](op, wanted, person, score, day, own)


def _tag(op: str, wanted: list[Any], person: Person, *_: Any) -> bool:
    return (wanted[0] in person.tags) == (op == "=")


def _count(op: str, wanted: list[Any], person: Person, score: Score, *_: Any) -> bool:
    return score.count >= wanted[0] if op == ">=" else score.count == wanted[0]


def _bought(op: str, wanted: list[Any], person: Person, score: Score, *_: Any) -> bool:
    return bool(score.categories & set(wanted)) == (op in ("=", "in"))


def _missing(op: str, wanted: list[Any], person: Person, score: Score, *_: Any) -> bool:
    return score.count > 0 and bool(set(wanted) - score.categories)


def _tier(op: str, wanted: list[Any], person: Person, score: Score, *_: Any) -> bool:
    return score.tier in wanted


def _festival(
    op: str, wanted: list[Any], person: Person, score: Score, day: date, own: Own
) -> bool:
    return any(
        held_on - timedelta(days=7) <= order.on <= held_on
        for order in score.orders
        for name in wanted
        for year in range(max(day.year - 5, 2021), day.year + 1)
        for held_on in [festival(name, year, own)]
    )


_FIELDS: dict[str, Callable[..., bool]] = {
    "has_tag": _tag,
    "purchase_count": _count,
    "bought_category": _bought,
    "missing_category": _missing,
    "tier": _tier,
    "bought_in_festival": _festival,
}
