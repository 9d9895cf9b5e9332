"""What a person has lying about: carts, coupons, points."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from bot.crm.models import Cart, Coupon, PointsChange
from tests.tagging.worlds import orders
from tests.tagging.worlds.leaves import NEAR_OPS, Leaf, any_near, has_any, names, numbers

TEMPLATES = ("生日礼券", "感谢礼券")
_numbers = count(1)
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_left = st.none() | st.integers(-3, 40)

FACTS: dict[str, st.SearchStrategy[Any]] = {
    # Minutes from the filling of the cart to the end of the day.
    "carts": st.lists(
        st.tuples(
            st.integers(-100, 6000) | st.sampled_from((0, 60, 1440, 2880)),
            st.sampled_from(("added", "added", "bought", "removed")),
        ),
        max_size=2,
    ),
    "coupons": st.lists(
        st.tuples(
            _left,
            st.sampled_from(("issued", "issued", "redeemed", "expired")),
            st.none() | st.sampled_from(TEMPLATES),
        ),
        max_size=2,
    ),
    "points": st.lists(st.tuples(_left, st.integers(0, 2)), max_size=2),
}


def _end(day: date) -> datetime:
    tomorrow = day + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=ZoneInfo("Asia/Shanghai"))


def _after(day: date, left: int | None) -> date | None:
    return None if left is None else day + timedelta(days=left)


def rows(town: Any, id_: int, one: Any, day: date) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Carts, coupons and points."""
    for minutes, state in one["carts"]:
        opened_at = _end(day) - timedelta(minutes=minutes)
        yield (
            Cart,
            {
                "source": "mall",
                "cart_id": f"C{next(_numbers)}",
                "contact_id": id_,
                "state": state,
                "opened_at": opened_at,
                "opened_on": opened_at.date(),
                "changed_at": opened_at,
                "event_id": "e",
            },
        )
    for left, state, template in one["coupons"]:
        yield (
            Coupon,
            {
                "issuer": "mall",
                "coupon_no": f"N{next(_numbers)}",
                "contact_id": id_,
                "template": template,
                "state": state,
                "expires_on": _after(day, left),
            },
        )
    for left, remaining in one["points"]:
        yield (
            PointsChange,
            {
                "source_event_id": town.event(),
                "source": "pos",
                "contact_id": id_,
                "delta": 100,
                "expires_on": _after(day, left),
                "changed_at": _AT,
                "changed_on": _AT.date(),
                "event_id": "e",
                "remaining": remaining,
            },
        )


def leaves() -> Leaf:
    """Values near the facts."""
    left = st.integers(0, 45)
    return st.one_of(
        numbers("cart_open_hours", st.integers(0, 110), NEAR_OPS),
        numbers("coupon_expiring_days", left, NEAR_OPS),
        numbers("points_expiring_days", left, NEAR_OPS),
        names("has_coupon", TEMPLATES),
    )


def _cart(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    bought = [orders.bought_at(town, each, day) for each in orders.kept(one)]
    hours = [
        minutes // 60
        for minutes, state in one["carts"]
        if state == "added"
        and minutes >= 0
        and not any(at >= _end(day) - timedelta(minutes=minutes) for at in bought)
    ]
    return any_near(hours, op, value)


def _coupon(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    days = [
        left
        for left, state, _ in one["coupons"]
        if state == "issued" and left is not None and left >= 0
    ]
    return any_near(days, op, value)


def _points(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    days = [left for left, rest in one["points"] if rest > 0 and left is not None and left >= 0]
    return any_near(days, op, value)


def _has_coupon(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    held = {
        template
        for left, state, template in one["coupons"]
        if state == "issued" and (left is None or left >= 0)
    }
    return has_any(held, op, value)


READ = {
    "cart_open_hours": _cart,
    "coupon_expiring_days": _coupon,
    "points_expiring_days": _points,
    "has_coupon": _has_coupon,
}
