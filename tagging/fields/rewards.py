"""Fields over carts, coupons and points (购物车、优惠券、积分) that are there now."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, cast, func, literal, or_, select

from bot.clock import at, business_day
from bot.crm.models import Cart, CartState, Contact, Coupon, CouponState, PointsChange, Purchase
from tagging.fields import wording
from tagging.fields.field import Field, Home, as_list, bounds, days_left
from tagging.fields.kinds import DAYS_LEFT, HOURS, NUMBER_WORDS, Words

CART = Home(Cart.__table__, Cart.contact_id == Contact.id, False)
COUPON = Home(Coupon.__table__, Coupon.contact_id == Contact.id, False)
POINTS = Home(PointsChange.__table__, PointsChange.contact_id == Contact.id, False)

_HOUR = timedelta(hours=1)
_IS_ISSUED = Coupon.state == CouponState.ISSUED.value
_IS_LEFT = PointsChange.remaining > 0


def cart_is_open() -> ColumnElement[bool]:
    """Something lies in the cart, and its owner has bought nothing since it was filled."""
    bought_since = (
        select(literal(1))
        .where(
            Purchase.contact_id == Cart.contact_id,
            Purchase.purchased_at >= Cart.opened_at,
            Purchase.amount_fen > Purchase.refunded_fen,
        )
        .correlate(Cart)
        .exists()
    )
    return and_(Cart.state == CartState.ADDED.value, Cart.opened_at.is_not(None), ~bought_since)


def _end(day: date) -> Any:
    return at(day + timedelta(days=1), 0)


def _open_hours(op: str, value: Any, day: date) -> ColumnElement[bool]:
    """Hours from the filling to the end of the day, as a range of moments and of indexed days."""
    least, most = bounds(op, value)
    latest = _end(day) - least * _HOUR
    tests = [cart_is_open(), Cart.opened_at <= latest, Cart.opened_on <= business_day(latest)]
    if most is not None:
        earliest = _end(day) - (most + 1) * _HOUR
        tests += [Cart.opened_at > earliest, Cart.opened_on >= business_day(earliest)]
    return and_(*tests)


def _longest_open(day: date) -> ColumnElement[Any]:
    seconds = func.date_part("epoch", literal(_end(day)) - Cart.opened_at)
    return cast(func.floor(func.max(seconds).filter(cart_is_open()) / 3600), Integer)


def _open_words(op: str, value: Any) -> str:
    if op == "between":
        return f"购物车放了 {value[0]} 到 {HOURS.show(value[1])}没买"
    return f"购物车放了{NUMBER_WORDS[op].removeprefix('为')} {HOURS.show(value)}没买"


def _coupon_words(op: str, value: Any) -> str:
    return f"有优惠券{_days_left(op, value)}"


def _points_words(op: str, value: Any) -> str:
    return f"有积分{_days_left(op, value)}"


def _days_left(op: str, value: Any) -> str:
    if op == "between":
        return f" {value[0]} 到 {value[1]} 天后到期"
    if op in ("=", "<=") and value == 0:
        return "今天到期"
    if op in ("=", "<="):
        return f" {value} 天{'内' if op == '<=' else '后'}到期"
    return f"离到期{NUMBER_WORDS[op]} {DAYS_LEFT.show(value)}"


def _soonest(expires_on: Any, holds: ColumnElement[bool]) -> Any:
    def fact(day: date) -> ColumnElement[Any]:
        coming = func.min(expires_on).filter(holds, expires_on >= day)
        return cast(coming - literal(day), Integer)

    return fact


def _has_coupon(op: str, value: Any, day: date) -> ColumnElement[bool]:
    return and_(_valid(day), Coupon.template.in_(as_list(value)))


def _valid(day: date) -> ColumnElement[bool]:
    return and_(_IS_ISSUED, or_(Coupon.expires_on.is_(None), Coupon.expires_on >= day))


def _has_words(op: str, value: Any) -> str:
    names = [f"“{one}”" for one in as_list(value)]
    if op in ("=", "in"):
        return f"手里有优惠券{wording.either(names)}"
    return f"手里没有优惠券{wording.listed(names)}" + ("中的任何一种" if op == "not_in" else "")


_expiring_coupon, _expiring_points = (
    days_left(Coupon.expires_on),
    days_left(PointsChange.expires_on),
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
    Field(
        "coupon_expiring_days",
        "距优惠券到期",
        DAYS_LEFT,
        COUPON,
        lambda op, value, day: and_(_IS_ISSUED, _expiring_coupon(op, value, day)),
        _soonest(Coupon.expires_on, _IS_ISSUED),
        gap="没有会到期的优惠券",
        phrase=_coupon_words,
        show=lambda days: f"最近的 {days} 天后到期",
        moves_with_time=True,
        example=("<=", 7),
    ),
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
    Field(
        "points_expiring_days",
        "距积分到期",
        DAYS_LEFT,
        POINTS,
        lambda op, value, day: and_(_IS_LEFT, _expiring_points(op, value, day)),
        _soonest(PointsChange.expires_on, _IS_LEFT),
        gap="没有会到期的积分",
        phrase=_points_words,
        show=lambda days: f"最近的 {days} 天后到期",
        moves_with_time=True,
        example=("<=", 30),
    ),
)
