"""Cells of a CSV file as people write them (单元格): money, numbers, yes or no, days and times."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation

from bot.clock import SHANGHAI
from bot.errors import UserError

_YES = {"是", "y", "yes", "true", "1", "√"}
_NO = {"", "否", "n", "no", "false", "0"}
_DAY_SIGNS = str.maketrans({"/": "-", ".": "-", "年": "-", "月": "-", "日": None})


def fen(cells: Mapping[str, str], column: str, shown: str) -> int | None:
    """Yuan with at most two decimals ("12,800.00", "¥99"), or fen from the column `…_fen`."""
    if f"{column}_fen" in cells:
        return whole(cells[f"{column}_fen"], f"{shown}(分)")
    if column not in cells:
        return None
    try:
        amount = Decimal(re.sub(r"[,，¥￥\s]", "", cells[column])) * 100
        if not amount.is_finite() or amount != amount.to_integral_value() or abs(amount) > 10**15:
            raise InvalidOperation
    except InvalidOperation:
        raise UserError(f"{shown}“{cells[column][:30]}”不是金额，例如 12800.00。") from None
    return int(amount)


def whole(cell: str, shown: str) -> int:
    """An integer, with or without separators of thousands; UserError names it as `shown`."""
    if not re.fullmatch(r"-?[0-9]{1,15}", cell.replace(",", "")):
        raise UserError(f"{shown}“{cell[:30]}”不是整数。")
    return int(cell.replace(",", ""))


def yes(cells: Mapping[str, str], column: str, shown: str) -> bool:
    """Whether a cell says yes; an empty one says no."""
    word = cells.get(column, "").lower()
    if word not in _YES | _NO:
        raise UserError(f"{shown}“{word[:30]}”要写“是”或“否”。")
    return word in _YES


def day(cell: str) -> str:
    """ "1990/5/20" and "5月20日" as ISO writes them; nonsense is left for intake to refuse."""
    parts = cell.split(" ")[0].translate(_DAY_SIGNS).strip("-").split("-")
    return "-".join(part.zfill(2) for part in parts)


def moment(cell: str, shown: str) -> str:
    """A time as people write it, Shanghai's unless it says otherwise."""
    written, _, clock = cell.replace("T", " ").partition(" ")
    try:
        found = datetime.fromisoformat(f"{day(written)} {clock.strip() or '00:00'}".strip())
    except ValueError:
        raise UserError(f"{shown}“{cell[:30]}”不是时间，例如 2026-11-21 10:00。") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=SHANGHAI)
    return found.isoformat()
