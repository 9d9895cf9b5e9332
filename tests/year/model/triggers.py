"""Day 0 of each trigger for one person (触发), read from her facts."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from tests.year.model.calendar import festival, kept_on
from tests.year.model.conditions import Own
from tests.year.model.person import Person
from tests.year.model.scores import Score

#: Day 0, its moment, and the guide whose it is; None: it has none of its own.
Anchor = tuple[date, datetime | None, int | None]
_MIDNIGHT = time(0)


def anchors(
    trigger: dict[str, Any], person: Person, score: Score, day: date, own: Own
) -> dict[date, Anchor]:
    """Every day 0 that is known on `day`; of two on one day the later moment."""
    found: dict[date, Anchor] = {}
    for one in sorted(
        _TRIGGERS[trigger["kind"]](trigger, person, score, day, own),
        key=lambda one: (one[0], one[1] or datetime.combine(one[0], _MIDNIGHT), -(one[2] or 0)),
    ):
        found[one[0]] = one
    return found


def _followed(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    for relation in person.live:
        yield relation.followed_at.date(), relation.followed_at, relation.guide


def _lost(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    if person.guide is None:
        for gone in person.relations:
            if gone.ended_by == "customer" and gone.ended_at is not None:
                yield gone.ended_at.date(), gone.ended_at, None


def _lead(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    if person.lead is not None:
        raised_at = person.lead.raised_at
        yield raised_at.date(), raised_at, person.lead.guide


def _booked(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    for one in person.appointments:
        if one.state == "booked" and one.slot_at is not None:
            yield one.slot_at.date(), None, one.guide


def _purchased(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    for order in score.orders:
        yield order.on, order.at, None


def _birthday(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    if person.birthday is None:
        return
    month, number, is_lunar = person.birthday
    for year in (day.year - 1, day.year, day.year + 1):
        yield kept_on(month, number, is_lunar=is_lunar, year=year), None, None


def _again(on: date, day: date, years: list[int] | None) -> Iterator[Anchor]:
    """The same calendar day in the later years around `day`."""
    for year in (day.year - 1, day.year, day.year + 1):
        if year <= on.year or (years and year - on.year not in years):
            continue
        is_leap_day = (on.month, on.day) == (2, 29)
        yield (
            (date(year, 2, 28) if is_leap_day and not isleap(year) else on.replace(year=year)),
            None,
            None,
        )


def _purchase_anniversary(
    trigger: Any, person: Person, score: Score, day: date, own: Own
) -> Iterator[Anchor]:
    for order in score.orders:
        if trigger.get("category") in (None, order.category):
            yield from _again(order.on, day, trigger.get("years"))


def _wedding(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    if person.wedding is not None:
        yield from _again(person.wedding, day, None)


def _member(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    if person.registered_on is not None:
        yield from _again(person.registered_on, day, None)


def _festival(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    for year in (day.year - 1, day.year, day.year + 1):
        yield festival(trigger["name"], year, own), None, None


def _date(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    yield date.fromisoformat(trigger["on"]), None, None


def _stage(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    if score.stage == trigger["stage"] and score.stage_since is not None:
        yield score.stage_since, None, None


def _idle(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    if score.last_on is not None:
        yield score.last_on + timedelta(days=trigger["days"]), None, None


def _at_risk(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    if score.risk_since is not None:
        yield score.risk_since, None, None


def _cart(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    for cart in person.carts:
        if cart.is_open and not any(order.at >= cart.at for order in score.orders):
            yield cart.at.date(), cart.at, None


def _coupon_expiring(
    trigger: Any, person: Person, score: Score, day: date, own: Own
) -> Iterator[Anchor]:
    for coupon in person.coupons:
        if coupon.state == "issued":
            yield coupon.expires_on, None, None


def _coupon_received(
    trigger: Any, person: Person, score: Score, day: date, own: Own
) -> Iterator[Anchor]:
    for coupon in person.coupons:
        if coupon.state == "issued" and coupon.template == trigger["template"]:
            yield coupon.issued_at.date(), coupon.issued_at, None


def _points_expiring(
    trigger: Any, person: Person, score: Score, day: date, own: Own
) -> Iterator[Anchor]:
    spent = -sum(change.delta for change in person.points if change.delta < 0)
    lots = sorted(
        (change for change in person.points if change.delta > 0),
        key=lambda lot: (lot.expires_on or date.max, lot.at, lot.id),
    )
    left: dict[date, int] = {}
    for lot in lots:
        used = min(spent, lot.delta)
        spent -= used
        if lot.expires_on is not None and lot.delta > used:
            left[lot.expires_on] = left.get(lot.expires_on, 0) + lot.delta - used
    for on, points in left.items():
        if points >= trigger.get("min_points", 1):
            yield on, None, None


def _points_received(
    trigger: Any, person: Person, score: Score, day: date, own: Own
) -> Iterator[Anchor]:
    for change in person.points:
        if change.delta > 0:
            yield change.at.date(), change.at, None


_TRIGGERS: dict[str, Callable[..., Iterator[Anchor]]] = {
    "followed": _followed,
    "purchased": _purchased,
    "birthday": _birthday,
    "purchase_anniversary": _purchase_anniversary,
    "wedding_anniversary": _wedding,
    "member_anniversary": _member,
    "festival": _festival,
    "date": _date,
    "stage_entered": _stage,
    "idle": _idle,
    "at_risk": _at_risk,
    "cart_open": _cart,
    "coupon_expiring": _coupon_expiring,
    "coupon_received": _coupon_received,
    "points_expiring": _points_expiring,
    "points_received": _points_received,
    "lost": _lost,
    "lead_raised": _lead,
    "appointment": _booked,
}
KNOWN = frozenset(_TRIGGERS)
