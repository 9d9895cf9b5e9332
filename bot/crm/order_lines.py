"""The lines of an order or a cart (商品行), read from an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.crm import event_fields
from bot.crm.event_fields import MOST_FEN
from bot.errors import UserError

MOST_LINES = 200
_NAMES = ("sku", "name", "category", "quantity", "amount_fen")

Line = dict[str, Any]


def read(event: Mapping[str, Any], *, least_fen: int = -MOST_FEN) -> list[Line]:
    """Up to 200 lines {line_no, sku, name, category, quantity, amount_fen}.

    `amount_fen` is the line's, not the piece's; below 0 it is a discount. UserError names the line.
    """
    lines = event.get("lines")
    if not isinstance(lines, list) or len(lines) > MOST_LINES:
        raise UserError(f"lines 要是列表，最多 {MOST_LINES} 行。", field="lines")
    return [_line(number, line, least_fen) for number, line in enumerate(lines, 1)]


def known(lines: Any) -> Any:
    """Lines as they came, without what nobody asked for."""
    if not isinstance(lines, list):
        return None
    return [
        {name: line[name] for name in _NAMES if name in line}
        for line in lines
        if isinstance(line, Mapping)
    ]


def named(lines: list[Line]) -> str:
    """What a customer's story calls these goods: "对戒", "对戒等 3 件"."""
    names = [line["name"] for line in lines]
    return names[0] if len(names) == 1 else f"{names[0]}等 {len(names)} 件" if names else "商品"


def _line(number: int, line: object, least_fen: int) -> Line:
    try:
        if not isinstance(line, Mapping):
            raise UserError("要是对象。")
        quantity = 1 if line.get("quantity") is None else None
        return {
            "line_no": number,
            "sku": event_fields.optional_text(line, "sku", limit=128),
            "name": event_fields.short_text(line, "name", limit=200),
            "category": event_fields.optional_text(line, "category", limit=60),
            "quantity": quantity or event_fields.whole(line, "quantity", low=1, high=100_000),
            "amount_fen": event_fields.whole(line, "amount_fen", low=least_fen, high=MOST_FEN),
        }
    except UserError as error:
        raise UserError(f"lines 第 {number} 行：{error.message_zh}", field="lines") from None
