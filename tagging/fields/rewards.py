"""Fields over carts, coupons and points (购物车、优惠券、积分) that are there now."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Integer,
    and_,
    cast,
    func,
    literal,
    literal_column,
    or_,
)

from bot.clock import at, business_day
from bot.crm import carts
from bot.crm.models import Cart, Contact, Coupon, CouponState, PointsChange
from tagging.fields import wording
from tagging.fields.field import Field, Home, as_list, bounds, days_left
from tagging.fields.kinds import DAYS_LEFT, HOURS, NUMBER_WORDS, Words

CART = Home(Cart.__table__, Cart.contact_id == Contact.id, False)
COUPON = Home(Coupon.__table__, Coupon.contact_id == Contact.id, False)
POINTS = Home(PointsChange.__table__, PointsChange.contact_id == Contact.id, False)

_HOUR = timedelta(hours=1)
_IS_ISSUED = Coupon.state == CouponState.ISSUED.value
_IS_LEFT = PointsChange.remaining > 0
_CART_IS_OPEN = literal_column(carts.IS_OPEN.format(cart="cart"), Boolean)


def _end(day: date) -> Any:
    return at(day + timedelta(days=1), 0)


def _open_hours(op: str, value: Any, day: date) -> ColumnElement[bool]:
    """Hours from the filling to the end of the day, as a range of moments and of indexed days."""
    least, most = bounds(op, value)
    latest = _end(day) - least * _HOUR
    tests = [_CART_IS_OPEN, Cart.opened_at <= latest, Cart.opened_on <= business_day(latest)]
    if most is not None:
        earliest = _end(day) - (most + 1) * _HOUR
        tests += [Cart.opened_at > earliest, Cart.opened_on >= business_day(earliest)]
    return and_(*tests)


def _longest_open(day: date) -> ColumnElement[Any]:
    seconds = func.date_part("epoch", literal(_end(day)) - Cart.opened_at)
    return cast(func.floor(func.max(seconds).filter(_CART_IS_OPEN) / 3600), Integer)


def _open_words(op: str, value: Any) -> str:
    if op == "between":
        return f"购物车放了 {value[0]} 到 {HOURS.show(value[1])}没买"
    return f"购物车放了{NUMBER_WORDS[op].removeprefix('为')} {HOURS.show(value)}没买"


def _days_left(op: str, value: Any) -> str:
    if op == "between":
        return f" {value[0]} 到 {value[1]} 天后到期"
    if op in ("=", "<=") and value == 0:
        return "今天到期"
    if op in ("=", "<="):
        return f" {value} 天{'内' if op == '<=' else '后'}到期"
    return f"离到期{NUMBER_WORDS[op]} {DAYS_LEFT.show(value)}"


def _has_coupon(op: str, value: Any, day: date) -> ColumnElement[bool]:
    return and_(_valid(day), Coupon.template.in_(as_list(value)))


def _valid(day: date) -> ColumnElement[bool]:
    return and_(_IS_ISSUED, or_(Coupon.expires_on.is_(None), Coupon.expires_on >= day))


def _has_words(op: str, value: Any) -> str:
    names = [f"“{one}”" for one in as_list(value)]
    if op in ("=", "in"):
        return f"手里有优惠券{wording.either(names)}"
    return f"手里没有优惠券{wording.listed(names)}" + ("中的任何一种" if op == "not_in" else "")


def _expiring(
    key: str, noun: str, home: Home, expires_on: Any, holds: ColumnElement[bool], days: int
) -> Field:
    """Days until the soonest of the contact's coupons or points ends, of those that still count."""
    ends = days_left(expires_on)

    def soonest(day: date) -> ColumnElement[Any]:
        return cast(func.min(expires_on).filter(holds, expires_on >= day) - literal(day), Integer)

    return Field(
        key,
        f"距{noun}到期",
        DAYS_LEFT,
        home,
        lambda op, value, day: and_(holds, ends(op, value, day)),
        soonest,
        gap=f"没有会到期的{noun}",
        phrase=lambda op, value: f"有{noun}{_days_left(op, value)}",
        show=lambda left: f"最近的 {left} 天后到期",
        moves_with_time=True,
        example=("<=", days),
    )


FIELDS = (
    Field(
        "cart_open_hours",
        "购物车未付款",
        HOURS,
        CART,
        _open_hours,
        _longest_open,
        gap="没有未付款的购物车",
        phrase=_open_words,
        show=lambda hours: f"最久的放了 {hours} 小时",
        moves_with_time=True,
        example=(">=", 24),
    ),
    _expiring("coupon_expiring_days", "优惠券", COUPON, Coupon.expires_on, _IS_ISSUED, 7),
    Field(
        "has_coupon",
        "手里的优惠券",
        Words(),
        COUPON,
        _has_coupon,
        lambda day: func.array_agg(Coupon.template.distinct()).filter(
            _valid(day), Coupon.template.is_not(None)
        ),
        gap="没有优惠券",
        is_many=True,
        phrase=_has_words,
        moves_with_time=True,
        example=("=", "生日礼券"),
    ),
    _expiring("points_expiring_days", "积分", POINTS, PointsChange.expires_on, _IS_LEFT, 30),
)
