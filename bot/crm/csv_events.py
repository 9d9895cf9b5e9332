"""Rows of a CSV file as events (表格变事件): members, orders of several rows, guides."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from bot.crm import csv_cells
from bot.crm.csv_rows import Line
from bot.errors import UserError

#: Orders of a file and of the till are the same orders: the file bears the till's name unless it
#: has a column that says another.
SOURCE = "csv"
ORDER_SOURCE = "pos"

WHO_HEADS = {
    "会员号": "member_no",
    "会员卡号": "member_no",
    "member_no": "member_no",
    "手机号": "mobile",
    "手机": "mobile",
    "mobile": "mobile",
    "phone": "mobile",
    "unionid": "unionid",
    "external_userid": "external_userid",
    "商城账号": "mall_id",
    "mall_id": "mall_id",
    "openid": "openid",
}
MEMBER_HEADS = WHO_HEADS | {
    "姓名": "name",
    "name": "name",
    "会员等级": "level",
    "等级": "level",
    "level": "level",
    "积分": "points",
    "points": "points",
    "生日": "birthday",
    "birthday": "birthday",
    "农历生日": "birthday_is_lunar",
    "birthday_is_lunar": "birthday_is_lunar",
    "结婚纪念日": "wedding_day",
    "wedding_day": "wedding_day",
    "入会日期": "registered_on",
    "注册日期": "registered_on",
    "registered_on": "registered_on",
}
PURCHASE_HEADS = WHO_HEADS | {
    "订单号": "order_no",
    "order_no": "order_no",
    "购买时间": "purchased_at",
    "下单时间": "purchased_at",
    "purchased_at": "purchased_at",
    "occurred_at": "purchased_at",
    "来源": "source",
    "source": "source",
    "门店编码": "store",
    "门店": "store",
    "store": "store",
    "导购": "guide",
    "guide": "guide",
    "渠道": "channel",
    "channel": "channel",
    "优惠券": "coupon",
    "coupon": "coupon",
    "订单金额": "amount",
    "amount": "amount",
    "订单金额(分)": "amount_fen",
    "amount_fen": "amount_fen",
    "商品编码": "sku",
    "sku": "sku",
    "商品名称": "line_name",
    "商品": "line_name",
    "line_name": "line_name",
    "品类": "category",
    "category": "category",
    "数量": "quantity",
    "quantity": "quantity",
    "商品金额": "line_amount",
    "line_amount": "line_amount",
    "商品金额(分)": "line_amount_fen",
    "line_amount_fen": "line_amount_fen",
}
GUIDE_HEADS = {
    "账号": "userid",
    "userid": "userid",
    "姓名": "name",
    "name": "name",
    "门店编码": "store",
    "门店": "store",
    "store": "store",
    "店长": "is_manager",
    "manager": "is_manager",
    "is_manager": "is_manager",
}
_WHO = tuple(dict.fromkeys(WHO_HEADS.values()))

_USERID = re.compile(r"[A-Za-z0-9_.@-]{1,64}")

Item = tuple[list[Line], dict[str, Any] | str]


def members(lines: Iterable[Line], now: datetime) -> Iterator[Item]:
    """One `member` event per row."""
    for line in lines:
        try:
            yield [line], _member(line.cells, now)
        except UserError as error:
            yield [line], error.message_zh


def purchases(lines: Iterable[Line], now: datetime) -> Iterator[Item]:
    """One `purchase` event per order; the rows of an order stand together."""
    seen: set[int] = set()
    for order, group in itertools.groupby(lines, key=lambda line: _order_of(line.cells)):
        rows = list(group)
        if hash(order) in seen:
            yield rows, "同一订单的行要放在一起。"
            continue
        seen.add(hash(order))
        try:
            yield rows, _purchase(rows)
        except UserError as error:
            yield rows, error.message_zh


def guides(lines: Iterable[Line], now: datetime) -> Iterator[Item]:
    """One guide per row."""
    for line in lines:
        cells = line.cells
        try:
            if not _USERID.fullmatch(cells.get("userid", "")):
                raise UserError("账号不正确：最多 64 个字母、数字或 -_.@。")
            if not 0 < len(cells.get("name", "")) <= 60:
                raise UserError("姓名不能为空，最多 60 个字。")
            yield (
                [line],
                {
                    "userid": cells["userid"],
                    "name": cells["name"],
                    "store": cells.get("store"),
                    "is_manager": csv_cells.yes(cells, "is_manager", "店长"),
                },
            )
        except UserError as error:
            yield [line], error.message_zh


def _member(cells: Mapping[str, str], now: datetime) -> dict[str, Any]:
    event: dict[str, Any] = {
        name: cells[name] for name in ("member_no", "mobile", "name", "level") if name in cells
    }
    for name in ("birthday", "wedding_day", "registered_on"):
        if name in cells:
            event[name] = csv_cells.day(cells[name])
    if "points" in cells:
        event["points"] = csv_cells.whole(cells["points"], "积分")
    if csv_cells.yes(cells, "birthday_is_lunar", "农历生日"):
        event["birthday_is_lunar"] = True
    return as_event("member", event, cells, now.isoformat(), SOURCE, dated=False)


def _purchase(rows: list[Line]) -> dict[str, Any]:
    first = rows[0].cells
    event: dict[str, Any] = {
        name: first[name]
        for name in ("order_no", "store", "guide", "channel", "coupon")
        if name in first
    }
    lines = [_line(row.cells) for row in rows if "line_name" in row.cells]
    total = csv_cells.fen(first, "amount", "订单金额")
    if total is None:
        if not lines:
            raise UserError("订单金额不能为空。")
        total = sum(line["amount_fen"] for line in lines)
    event |= {"lines": lines, "amount_fen": total}
    return as_event(
        "purchase",
        event,
        first,
        csv_cells.moment(first.get("purchased_at", ""), "购买时间"),
        first.get("source", ORDER_SOURCE),
    )


def as_event(
    kind: str,
    event: Mapping[str, Any],
    cells: Mapping[str, str],
    at: str,
    source: str,
    *,
    dated: bool = True,
) -> dict[str, Any]:
    """A whole event; its id comes from its content, so the same row twice is one event. (The
    importer seals the id, for the content may hold a mobile number.)

    `dated`: the moment is the file's, and a part of the content; else it is that of the import.
    """
    content = {"type": kind, "who": {name: cells[name] for name in _WHO if name in cells}, **event}
    if dated:
        content["occurred_at"] = at
    written = json.dumps(content, ensure_ascii=False, sort_keys=True)
    name = hashlib.sha256(f"{source}\n{written}".encode()).hexdigest()[:32]
    return content | {"id": f"csv:{kind}:{name}", "source": source, "occurred_at": at}


def _line(cells: Mapping[str, str]) -> dict[str, Any]:
    line: dict[str, Any] = {"name": cells["line_name"]}
    line |= {name: cells[name] for name in ("sku", "category") if name in cells}
    if "quantity" in cells:
        line["quantity"] = csv_cells.whole(cells["quantity"], "数量")
    return line | {"amount_fen": csv_cells.fen(cells, "line_amount", "商品金额") or 0}


def _order_of(cells: Mapping[str, str]) -> tuple[str, str]:
    return cells.get("source", ORDER_SOURCE), cells.get("order_no", "")
