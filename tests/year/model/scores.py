"""Value, stage and warning of a person (评分), by sorting: as the tables of the rules say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from math import ceil

from tests.year.model.person import Person, Purchase

#: The bounds between fifths of all buyers, by measure; empty before the first night.
Cuts = dict[str, list[int]]
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


def cuts_of(people: Iterable[Person], day: date) -> Cuts:
    """The bounds of the night of `day`."""
    kept = [orders for person in people if (orders := person.kept)]
    return {
        "recency": _cuts([(day - max(o.on for o in orders)).days for orders in kept]),
        "frequency": _cuts([len(orders) for orders in kept]),
        "monetary": _cuts([sum(o.net for o in orders) for orders in kept]),
    }


def of(person: Person, day: date, cuts: Cuts, before: Score | None) -> Score:
    """A person's score on `day`; `before` is what it was until now."""
    orders = person.kept
    last = max((order.on for order in orders), default=None)
    stage, since = _stage(person, len(orders), last, day)
    if before is not None and before.stage == stage and before.stage_since is not None:
        since = before.stage_since
    total = sum(order.net for order in orders)
    one = Score(orders, total, len(orders), last, stage, min(since, day))
    grades = (0, 0, 0)
    if last is not None and cuts.get("recency"):
        grades = (
            5 - _above((day - last).days, cuts["recency"]),
            1 + _above(one.count, cuts["frequency"]),
            1 + _above(total, cuts["monetary"]),
        )
    one.monetary = grades[2]
    one.tier = _tier(person, one, grades, day)
    _warn(person, one, day, before)
    return one


def _stage(person: Person, count: int, last: date | None, day: date) -> tuple[str, date]:
    if person.relations and not person.live:
        return "churned", max(one.ended_at.date() for one in person.relations if one.ended_at)
    followed = person.live[0].followed_at.date() if person.live else None
    if last is None:
        waited = (day - followed).days if followed else 0
        if followed is None or waited <= 180:
            return "new", followed or day
        if waited <= 730:
            return "dormant", followed + timedelta(days=181)
        return "churned", followed + timedelta(days=731)
    gone = (day - last).days
    if gone > 730:
        return "churned", last + timedelta(days=731)
    if gone > 365:
        return "dormant", last + timedelta(days=366)
    return ("loyal" if count >= 3 else "active"), last


def _cuts(values: list[int]) -> list[int]:
    """The four bounds between fifths: the smallest value that so many do not lie above."""
    ordered = sorted(values)
    return [ordered[ceil(len(ordered) * fifth / 5) - 1] for fifth in (1, 2, 3, 4) if ordered]


def _above(value: int, cuts: list[int]) -> int:
    return sum(value > cut for cut in cuts)


def _tier(person: Person, one: Score, grades: tuple[int, int, int], day: date) -> str:
    average = one.total_fen // one.count if one.count else 0
    seen = [visit.at.date() for visit in person.visits] + [at.date() for at, _ in person.views]
    quiet = (day - max(seen)).days if seen else 9999
    engaged = 100 if quiet <= 90 else 50 if quiet <= 180 else 0
    points = (*(20 * grade for grade in grades), min(100, average * 100 // 2_000_000), 0, engaged)
    total = sum(_WEIGHTS)
    score = (sum(w * p for w, p in zip(_WEIGHTS, points, strict=True)) + total // 2) // total
    return next((name for name, least in _BOUNDS if score >= least), "C")


def _warn(person: Person, one: Score, day: date, before: Score | None) -> None:
    deleted = [
        gone.ended_at.date()
        for gone in person.relations
        if gone.ended_by == "customer" and gone.ended_at and (day - gone.ended_at.date()).days <= 90
    ]
    is_there = person.guide is not None and one.stage not in ("dormant", "churned")
    if deleted and is_there and (one.last_on is None or one.last_on <= max(deleted)):
        one.risk, one.risk_since = "deleted", max(deleted)
        return
    if one.stage not in ("active", "loyal") or one.last_on is None:
        return
    gone = (day - one.last_on).days
    days = sorted({order.on for order in one.orders})
    gaps = sorted((later - earlier).days for earlier, later in pairwise(days))
    if len(gaps) >= 2:
        pause = max(gaps[ceil(len(gaps) / 2) - 1] * 200 // 100, 60)
        if gone > pause:
            one.risk, one.risk_since = "gap", one.last_on + timedelta(days=pause + 1)
            return
    year, earlier = (
        sum(o.net for o in one.orders if low < (day - o.on).days + 1 <= low + 365)
        for low in (0, 365)
    )
    if gone > 60 and earlier >= 500_000 and year * 100 < earlier * 50:
        was = before.risk_since if before is not None and before.risk == "spend" else None
        one.risk, one.risk_since = "spend", was or day
