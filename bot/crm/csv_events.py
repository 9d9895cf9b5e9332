"""Rows of a CSV file as events (表格变事件): members, orders of several rows, guides."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from bot.clock import SHANGHAI
from bot.crm.csv_rows import Line
from bot.errors import UserError

#: Orders of a file and of the till are the same orders: the file bears the till's name unless it
#: has a column that says another.
SOURCE = "csv"
ORDER_SOURCE = "pos"

_WHO = {
    "会员号": "member_no",
    "会员卡号": "member_no",
    "member_no": "member_no",
    "手机号": "mobile",
    "手机": "mobile",
    "mobile": "mobile",
    "phone": "mobile",
    "unionid": "unionid",
    "external_userid": "external_userid",
}
MEMBER_HEADS = _WHO | {
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
PURCHASE_HEADS = _WHO | {
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

_USERID = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_YES = {"是", "y", "yes", "true", "1", "√"}
_NO = {"", "否", "n", "no", "false", "0"}
_DAY_SIGNS = str.maketrans({"/": "-", ".": "-", "年": "-", "月": "-", "日": None})

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
                    "is_manager": _yes(cells, "is_manager", "店长"),
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
            event[name] = _day(cells[name])
    if "points" in cells:
        event["points"] = _whole(cells["points"], "积分")
    if _yes(cells, "birthday_is_lunar", "农历生日"):
        event["birthday_is_lunar"] = True
    return _event("member", event, cells, now.isoformat(), SOURCE)


def _purchase(rows: list[Line]) -> dict[str, Any]:
    first = rows[0].cells
    event: dict[str, Any] = {
        name: first[name]
        for name in ("order_no", "store", "guide", "channel", "coupon")
        if name in first
    }
    lines = [_line(row.cells) for row in rows if "line_name" in row.cells]
    total = _fen(first, "amount", "订单金额")
    if total is None:
        if not lines:
            raise UserError("订单金额不能为空。")
        total = sum(line["amount_fen"] for line in lines)
    event |= {"lines": lines, "amount_fen": total}
    return _event(
        "purchase",
        event,
        first,
        _moment(first.get("purchased_at", "")),
        first.get("source", ORDER_SOURCE),
    )


def _event(
    kind: str, event: dict[str, Any], cells: Mapping[str, str], at: str, source: str
) -> dict[str, Any]:
    who = {
        name: cells[name]
        for name in ("external_userid", "unionid", "member_no", "mobile")
        if name in cells
    }
    content = {"type": kind, "who": who, **event}
    if kind == "purchase":
        content["occurred_at"] = at
    written = json.dumps(content, ensure_ascii=False, sort_keys=True)
    name = hashlib.sha256(f"{source}\n{written}".encode()).hexdigest()[:32]
    return content | {"id": f"csv:{kind}:{name}", "source": source, "occurred_at": at}


def _line(cells: Mapping[str, str]) -> dict[str, Any]:
    line: dict[str, Any] = {"name": cells["line_name"]}
    line |= {name: cells[name] for name in ("sku", "category") if name in cells}
    if "quantity" in cells:
        line["quantity"] = _whole(cells["quantity"], "数量")
    return line | {"amount_fen": _fen(cells, "line_amount", "商品金额") or 0}


def _order_of(cells: Mapping[str, str]) -> tuple[str, str]:
    return cells.get("source", ORDER_SOURCE), cells.get("order_no", "")


def _fen(cells: Mapping[str, str], column: str, shown: str) -> int | None:
    """Yuan with at most two decimals ("12,800.00", "¥99"), or fen from the column `…_fen`."""
    if f"{column}_fen" in cells:
        return _whole(cells[f"{column}_fen"], f"{shown}(分)")
    if column not in cells:
        return None
    try:
        fen = Decimal(re.sub(r"[,，¥￥\s]", "", cells[column])) * 100
        if not fen.is_finite() or fen != fen.to_integral_value() or abs(fen) > 10**15:
            raise InvalidOperation
    except InvalidOperation:
        raise UserError(f"{shown}“{cells[column][:30]}”不是金额，例如 12800.00。") from None
    return int(fen)


def _whole(cell: str, shown: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,15}", cell.replace(",", "")):
        raise UserError(f"{shown}“{cell[:30]}”不是整数。")
    return int(cell.replace(",", ""))


def _yes(cells: Mapping[str, str], column: str, shown: str) -> bool:
    word = cells.get(column, "").lower()
    if word not in _YES | _NO:
        raise UserError(f"{shown}“{word[:30]}”要写“是”或“否”。")
    return word in _YES


def _day(cell: str) -> str:
    """ "1990/5/20" and "5月20日" as ISO writes them; nonsense is left for intake to refuse."""
    parts = cell.split(" ")[0].translate(_DAY_SIGNS).strip("-").split("-")
    return "-".join(part.zfill(2) for part in parts)


def _moment(cell: str) -> str:
    """A time as people write it, Shanghai's unless it says otherwise."""
    day, _, clock = cell.replace("T", " ").partition(" ")
    try:
        moment = datetime.fromisoformat(f"{_day(day)} {clock.strip() or '00:00'}".strip())
    except ValueError:
        raise UserError(f"购买时间“{cell[:30]}”不是时间，例如 2026-11-21 10:00。") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=SHANGHAI)
    return moment.isoformat()
