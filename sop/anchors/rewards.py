"""Day 0 from coupons and points (优惠券与积分): when they come, and when they run out."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Text, case, cast, func, literal
from sqlalchemy.sql.elements import ColumnElement

from bot.crm.models import Coupon, CouponState, PointsChange
from sop.anchors.rows import Anchors, Params, anchors, on, yuan


def coupon_expiring(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the last day of a coupon that has not been used."""
    return anchors(
        Coupon.contact_id,
        Coupon.expires_on,
        _coupon_words().op("||")(literal(" ", Text)).op("||")(on(Coupon.expires_on, " 到期")),
    ).where(
        Coupon.state == CouponState.ISSUED.value,
        Coupon.expires_on.between(first, last),
        *_of_template(params),
    )


def coupon_received(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the day a coupon was given."""
    return anchors(
        Coupon.contact_id,
        Coupon.issued_on,
        on(Coupon.issued_on, " 收到 ").op("||")(_coupon_words()),
        at=Coupon.issued_at,
    ).where(
        Coupon.issued_on.between(first, last),
        Coupon.state == CouponState.ISSUED.value,
        *_of_template(params),
    )


def points_expiring(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the last day of points that are not spent; all of that day count together."""
    left = func.sum(PointsChange.remaining)
    fact = (
        cast(left, Text)
        .op("||")(literal(" 积分 ", Text))
        .op("||")(on(PointsChange.expires_on, " 到期"))
    )
    return (
        anchors(PointsChange.contact_id, PointsChange.expires_on, fact)
        .where(PointsChange.remaining > 0, PointsChange.expires_on.between(first, last))
        .group_by(PointsChange.contact_id, PointsChange.expires_on)
        .having(left >= params.get("min_points", 1))
    )


def points_received(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is a day on which points came; its moment is that of the last of them."""
    got = func.sum(PointsChange.delta)
    fact = (
        on(PointsChange.changed_on, " 到账 ")
        .op("||")(cast(got, Text))
        .op("||")(literal(" 积分", Text))
    )
    return (
        anchors(
            PointsChange.contact_id,
            PointsChange.changed_on,
            fact,
            at=func.max(PointsChange.changed_at),
        )
        .where(PointsChange.delta > 0, PointsChange.changed_on.between(first, last))
        .group_by(PointsChange.contact_id, PointsChange.changed_on)
        .having(got >= params.get("min_points", 1))
    )


def _coupon_words() -> ColumnElement[Any]:
    """ "生日礼券 ¥200"; a coupon of another system may have neither name nor value."""
    name = func.coalesce(Coupon.template, literal("优惠券", Text))
    value = case(
        (
            func.coalesce(Coupon.value_fen, 0) > 0,
            literal(" ", Text).op("||")(yuan(Coupon.value_fen)),
        ),
        else_=literal("", Text),
    )
    return name.op("||")(value)


def _of_template(params: Params) -> list[ColumnElement[bool]]:
    if params.get("template") is None:
        return []
    return [Coupon.template == params["template"]]
