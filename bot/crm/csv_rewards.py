"""Rows of a CSV file as events (表格变事件): coupons, points and visits; and guides' days off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

from bot.crm import csv_cells
from bot.crm.csv_events import ORDER_SOURCE, WHO_HEADS, Item, as_event
from bot.crm.csv_rows import Line
from bot.crm.models import CouponState
from bot.errors import UserError

_WHEN_AND_WHERE = WHO_HEADS | {
    "时间": "occurred_at",
    "发生时间": "occurred_at",
    "occurred_at": "occurred_at",
    "来源": "source",
    "source": "source",
}
COUPON_HEADS = _WHEN_AND_WHERE | {
    "券号": "coupon_no",
    "优惠券号": "coupon_no",
    "coupon_no": "coupon_no",
    "券名": "template",
    "优惠券": "template",
    "template": "template",
    "状态": "state",
    "state": "state",
    "面额": "value",
    "value": "value",
    "面额(分)": "value_fen",
    "value_fen": "value_fen",
    "到期日": "expires_on",
    "expires_on": "expires_on",
    "订单号": "order_no",
    "order_no": "order_no",
}
POINTS_HEADS = _WHEN_AND_WHERE | {
    "积分变动": "delta",
    "变动": "delta",
    "delta": "delta",
    "积分余额": "balance",
    "余额": "balance",
    "balance": "balance",
    "到期日": "expires_on",
    "expires_on": "expires_on",
    "原因": "reason",
    "reason": "reason",
}
VISIT_HEADS = _WHEN_AND_WHERE | {
    "门店编码": "store",
    "门店": "store",
    "store": "store",
    "类型": "kind",
    "kind": "kind",
}
DAY_OFF_HEADS = {
    "账号": "userid",
    "导购": "userid",
    "userid": "userid",
    "休息日": "day",
    "日期": "day",
    "day": "day",
}

_STATES = {
    "已发放": CouponState.ISSUED,
    "已核销": CouponState.REDEEMED,
    "已使用": CouponState.REDEEMED,
    "已过期": CouponState.EXPIRED,
}
_USUAL_VISIT = "到店"


def coupons(lines: Iterable[Line], now: datetime) -> Iterator[Item]:
    """One `coupon` event per row; without a state it was issued."""
    return _each(lines, _coupon)


def points(lines: Iterable[Line], now: datetime) -> Iterator[Item]:
    """One `points` event per row."""
    return _each(lines, _points)


def visits(lines: Iterable[Line], now: datetime) -> Iterator[Item]:
    """One `visit` event per row."""
    return _each(lines, _visit)


def days_off(lines: Iterable[Line], now: datetime) -> Iterator[Item]:
    """One day off of one guide per row."""
    return _each(lines, _day_off)


def _each(
    lines: Iterable[Line], make: Callable[[Mapping[str, str]], dict[str, Any]]
) -> Iterator[Item]:
    for line in lines:
        try:
            yield [line], make(line.cells)
        except UserError as error:
            yield [line], error.message_zh


def _coupon(cells: Mapping[str, str]) -> dict[str, Any]:
    event: dict[str, Any] = {
        name: cells[name] for name in ("coupon_no", "template", "order_no") if name in cells
    }
    state = cells.get("state", CouponState.ISSUED.value)
    event["state"] = _STATES.get(state, state)
    worth = csv_cells.fen(cells, "value", "面额")
    if worth is not None:
        event["value_fen"] = worth
    if "expires_on" in cells:
        event["expires_on"] = csv_cells.day(cells["expires_on"])
    return _event("coupon", event, cells)


def _points(cells: Mapping[str, str]) -> dict[str, Any]:
    event: dict[str, Any] = {"delta": csv_cells.whole(cells.get("delta", ""), "积分变动")}
    if "balance" in cells:
        event["balance"] = csv_cells.whole(cells["balance"], "积分余额")
    if "expires_on" in cells:
        event["expires_on"] = csv_cells.day(cells["expires_on"])
    if "reason" in cells:
        event["reason"] = cells["reason"]
    return _event("points", event, cells)


def _visit(cells: Mapping[str, str]) -> dict[str, Any]:
    event = {"store": cells.get("store", ""), "kind": cells.get("kind", _USUAL_VISIT)}
    return _event("visit", event, cells)


def _event(kind: str, event: Mapping[str, Any], cells: Mapping[str, str]) -> dict[str, Any]:
    at = csv_cells.moment(cells.get("occurred_at", ""), "时间")
    return as_event(kind, event, cells, at, cells.get("source", ORDER_SOURCE))


def _day_off(cells: Mapping[str, str]) -> dict[str, Any]:
    if "userid" not in cells:
        raise UserError("账号不能为空。")
    written = cells.get("day", "")
    try:
        day = date.fromisoformat(csv_cells.day(written))
    except ValueError:
        raise UserError(f"休息日“{written[:30]}”不是日期，例如 2026-11-21。") from None
    return {"userid": cells["userid"], "day": day.isoformat()}
