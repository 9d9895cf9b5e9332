"""Day 0 of each trigger for one person (触发), read from her facts."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from tests.year.model.calendar import festival, kept_on
from tests.year.model.conditions import Own
from tests.year.model.facts import Person
from tests.year.model.scores import Score, known_orders

#: Day 0 and its moment, if it has one.
Anchor = tuple[date, datetime | None]
_MIDNIGHT = time(0)


def anchors(
    trigger: dict[str, Any], person: Person, score: Score, day: date, own: Own
) -> dict[date, datetime | None]:
    """Every day 0 that is known on the night of `day`; of two on one day the later moment."""
    found: dict[date, datetime | None] = {}
    for on, at in sorted(
        _TRIGGERS[trigger["kind"]](trigger, person, score, day, own),
        key=lambda one: (one[0], one[1] or datetime.combine(one[0], _MIDNIGHT)),
    ):
        found[on] = at
    return found


def _followed(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    yield person.followed_at.date(), person.followed_at


def _purchased(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    for order in known_orders(person, day):
        yield order.on, order.at


def _birthday(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    month, number, is_lunar = person.birthday
    for year in (day.year - 1, day.year, day.year + 1):
        yield kept_on(month, number, is_lunar=is_lunar, year=year), None


def _again(on: date, day: date, years: list[int] | None) -> Iterator[Anchor]:
    """The same calendar day in the later years around `day`."""
    for year in (day.year - 1, day.year, day.year + 1):
        if year <= on.year or (years and year - on.year not in years):
            continue
        is_leap_day = (on.month, on.day) == (2, 29)
        yield (
            (date(year, 2, 28) if is_leap_day and not isleap(year) else on.replace(year=year)),
            None,
        )


def _purchase_anniversary(
    trigger: Any, person: Person, score: Score, day: date, own: Own
) -> Iterator[Anchor]:
    for order in known_orders(person, day):
        if trigger.get("category") in (None, order.category):
            yield from _again(order.on, day, trigger.get("years"))


def _wedding(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    if person.wedding is not None:
        yield from _again(person.wedding, day, None)


def _member(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    yield from _again(person.registered_on, day, None)


def _festival(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    for year in (day.year - 1, day.year, day.year + 1):
        yield festival(trigger["name"], year, own), None


def _date(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    yield date.fromisoformat(trigger["on"]), None


def _stage(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    if score.stage == trigger["stage"] and score.stage_since is not None:
        yield score.stage_since, None


def _idle(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    if score.last_on is not None:
        yield score.last_on + timedelta(days=trigger["days"]), None


def _at_risk(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    if score.risk_since is not None:
        yield score.risk_since, None


def _cart(trigger: Any, person: Person, score: Score, day: date, own: Own) -> Iterator[Anchor]:
    for cart in person.carts:
        is_open = cart.at.date() < day and not (cart.removed_on and cart.removed_on < day)
        if is_open and not any(order.at >= cart.at for order in known_orders(person, day)):
            yield cart.at.date(), cart.at


def _coupon_expiring(
    trigger: Any, person: Person, score: Score, day: date, own: Own
) -> Iterator[Anchor]:
    for coupon in person.coupons:
        is_used = coupon.redeemed_on is not None and coupon.redeemed_on < day
        is_over = coupon.is_own and coupon.expires_on < day
        if coupon.issued_at.date() < day and not (is_used or coupon.is_void or is_over):
            yield coupon.expires_on, None


def _coupon_received(
    trigger: Any, person: Person, score: Score, day: date, own: Own
) -> Iterator[Anchor]:
    for coupon in person.coupons:
        is_used = coupon.redeemed_on is not None and coupon.redeemed_on < day
        is_known = coupon.template == trigger["template"] and coupon.issued_at.date() < day
        if is_known and not is_used:
            yield coupon.issued_at.date(), coupon.issued_at


def _points_expiring(
    trigger: Any, person: Person, score: Score, day: date, own: Own
) -> Iterator[Anchor]:
    told = [change for change in person.points if change.at.date() < day]
    spent = -sum(change.delta for change in told if change.delta < 0)
    lots = sorted(
        (change for change in told if change.delta > 0),
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
            yield on, None


def _points_received(
    trigger: Any, person: Person, score: Score, day: date, own: Own
) -> Iterator[Anchor]:
    for change in person.points:
        if change.delta > 0 and change.at.date() < day:
            yield change.at.date(), change.at


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
}
KNOWN = frozenset(_TRIGGERS)
