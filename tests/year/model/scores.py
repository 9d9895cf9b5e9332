"""Value, stage and warning of a person (评分), by sorting: as the tables of the rules say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from math import ceil

from tests.year.model.facts import Person, Purchase

_WEIGHTS = (20, 20, 30, 15, 5, 10)
_BOUNDS = (("S", 80), ("A", 60), ("B", 35))


@dataclass
class Score:
    """What is known of a person on a day."""

    orders: list[Purchase]
    total_fen: int
    count: int
    last_on: date | None
    stage: str
    stage_since: date | None
    monetary: int = 0
    tier: str = "C"
    risk: str | None = None
    risk_since: date | None = None

    @property
    def categories(self) -> set[str]:
        return {order.category for order in self.orders}


def known_orders(person: Person, day: date) -> list[Purchase]:
    """The orders of the days before `day` of which something was kept."""
    return [o for o in person.purchases if o.on < day and o.net(day) > 0]


def of_everybody(people: Iterable[Person], day: date, before: dict[int, Score]) -> dict[int, Score]:
    """Everybody's score on the night of `day`; `before` is last night's."""
    found = {person.number: _totals(person, day) for person in people}
    buyers = [one for one in found.values() if one.count]
    measures = {
        "recency": [_days(one, day) for one in buyers],
        "frequency": [one.count for one in buyers],
        "monetary": [one.total_fen for one in buyers],
    }
    cuts = {name: _cuts(values) for name, values in measures.items()}
    for person in people:
        one = found[person.number]
        grades = (0, 0, 0)
        if one.count:
            grades = (
                5 - _above(_days(one, day), cuts["recency"]),
                1 + _above(one.count, cuts["frequency"]),
                1 + _above(one.total_fen, cuts["monetary"]),
            )
        one.monetary = grades[2]
        one.tier = _tier(person, one, grades, day)
        _warn(one, day, before.get(person.number))
    return found


def _totals(person: Person, day: date) -> Score:
    orders = known_orders(person, day)
    last = max((order.on for order in orders), default=None)
    stage, since = _stage(person, len(orders), last, day)
    total = sum(order.net(day) for order in orders)
    return Score(orders, total, len(orders), last, stage, since)


def _stage(person: Person, count: int, last: date | None, day: date) -> tuple[str, date | None]:
    followed = person.followed_at.date()
    if last is None:
        waited = (day - followed).days
        if followed >= day or waited <= 180:
            return "new", None
        if waited <= 730:
            return "dormant", followed + timedelta(days=181)
        return "churned", None
    gone = (day - last).days
    if gone > 730:
        return "churned", None
    if gone > 365:
        return "dormant", last + timedelta(days=366)
    return ("loyal" if count >= 3 else "active"), last


def _cuts(values: list[int]) -> list[int]:
    """The four bounds between fifths: the smallest value that so many do not lie above."""
    ordered = sorted(values)
    return [ordered[ceil(len(ordered) * fifth / 5) - 1] for fifth in (1, 2, 3, 4) if ordered]


def _above(value: int, cuts: list[int]) -> int:
    return sum(value > cut for cut in cuts)


def _days(one: Score, day: date) -> int:
    assert one.last_on is not None
    return (day - one.last_on).days


def _tier(person: Person, one: Score, grades: tuple[int, int, int], day: date) -> str:
    average = one.total_fen // one.count if one.count else 0
    seen = [on for on in person.visits if on < day]
    quiet = (day - max(seen)).days if seen else 9999
    engaged = 100 if quiet <= 90 else 50 if quiet <= 180 else 0
    points = (*(20 * grade for grade in grades), min(100, average * 100 // 2_000_000), 0, engaged)
    total = sum(_WEIGHTS)
    score = (sum(w * p for w, p in zip(_WEIGHTS, points, strict=True)) + total // 2) // total
    return next((name for name, least in _BOUNDS if score >= least), "C")


def _warn(one: Score, day: date, before: Score | None) -> None:
    if one.stage not in ("active", "loyal") or one.last_on is None:
        return
    gone = _days(one, day)
    days = sorted({order.on for order in one.orders})
    gaps = sorted((later - earlier).days for earlier, later in pairwise(days))
    if len(gaps) >= 2:
        pause = max(gaps[ceil(len(gaps) / 2) - 1] * 200 // 100, 60)
        if gone > pause:
            one.risk, one.risk_since = "gap", one.last_on + timedelta(days=pause + 1)
            return
    year, earlier = (
        sum(o.net(day) for o in one.orders if low < (day - o.on).days + 1 <= low + 365)
        for low in (0, 365)
    )
    if gone > 60 and earlier >= 500_000 and year * 100 < earlier * 50:
        kept = before is not None and before.risk == "spend" and before.last_on == one.last_on
        one.risk = "spend"
        one.risk_since = before.risk_since if kept and before is not None else day
