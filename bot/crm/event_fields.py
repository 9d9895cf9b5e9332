"""Reading fields of what outsiders send (字段检查): one checked value, or one sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from bot.errors import UserError

#: Ten billion yuan: more than any order, far less than what a bigint holds a million times.
MOST_FEN = 10**12
# PostgreSQL stores neither; a sender who means them has a broken encoder.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_DAY = re.compile(r"(?:([0-9]{4})-)?([0-9]{1,2})-([0-9]{1,2})")
_OFFSET = re.compile(r"(Z|[+-][0-9]{2}:?[0-9]{2})$", re.IGNORECASE)


def short_text(source: Mapping[str, Any], name: str, *, limit: int) -> str:
    """A required text of at most `limit` characters, outer blanks taken off."""
    value = optional_text(source, name, limit=limit)
    if value is None:
        raise UserError(f"{name} 不能为空。", field=name)
    return value


def optional_text(source: Mapping[str, Any], name: str, *, limit: int) -> str | None:
    """A text, or None when it is missing or empty."""
    value = source.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise UserError(f"{name} 要是文字。", field=name)
    if _UNSTORABLE.search(value):
        raise UserError(f"{name} 里有无法保存的字符。", field=name)
    value = value.strip()
    if len(value) > limit:
        raise UserError(f"{name} 最多 {limit} 个字。", field=name)
    return value or None


def whole(source: Mapping[str, Any], name: str, *, low: int, high: int) -> int:
    """A required integer within bounds; 1.0, "1" and true are not integers."""
    value = source.get(name)
    if value is None:
        raise UserError(f"{name} 不能为空。", field=name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"{name} 要是整数。", field=name)
    if not low <= value <= high:
        raise UserError(f"{name} 要在 {low} 到 {high} 之间。", field=name)
    return value


def optional_whole(source: Mapping[str, Any], name: str, *, low: int, high: int) -> int | None:
    """An integer within bounds, or None when it is missing or null."""
    return None if source.get(name) is None else whole(source, name, low=low, high=high)


def flag(source: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """true or false; the default when it is missing or null."""
    value = source.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise UserError(f"{name} 要是 true 或 false。", field=name)
    return value


def word(source: Mapping[str, Any], name: str, choices: Sequence[str]) -> str:
    """One of a few words."""
    value = short_text(source, name, limit=64)
    if value not in choices:
        raise UserError(f"{name} 要是 {'、'.join(choices)} 之一。", field=name)
    return value


def optional_number(
    source: Mapping[str, Any], name: str, *, low: float, high: float
) -> float | None:
    """A number within bounds, or None."""
    value = source.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise UserError(f"{name} 要是 {low} 到 {high} 之间的数字。", field=name)
    return float(value)


def moment(source: Mapping[str, Any], name: str, *, latest: datetime) -> datetime:
    """A required ISO 8601 time with its offset, not before 1990 and not after `latest`."""
    value = short_text(source, name, limit=40)
    try:
        parsed = datetime.fromisoformat(value)
        if parsed.tzinfo is None or not _OFFSET.search(value):
            raise ValueError
        parsed = parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UserError(
            f"{name} 要是带时区的时间，例如 2026-11-21T10:00:00+08:00。", field=name
        ) from None
    if parsed.year < 1990 or parsed > latest:
        raise UserError(f"{name} 不能早于 1990 年，也不能在未来。", field=name)
    return parsed


def optional_date(source: Mapping[str, Any], name: str) -> date | None:
    """A calendar date YYYY-MM-DD, or None."""
    value = optional_text(source, name, limit=20)
    if value is None:
        return None
    try:
        parsed = date.fromisoformat(value)
    except ValueError:
        raise UserError(f"{name} 要是日期，例如 2026-11-21。", field=name) from None
    if not 1900 <= parsed.year <= 2100:
        raise UserError(f"{name} 的年份不对。", field=name)
    return parsed


def optional_day_of_year(
    source: Mapping[str, Any], name: str, *, is_lunar: bool = False
) -> tuple[int | None, int, int] | None:
    """A yearly day as (year or None, month, day): "1990-05-20" or "05-20"; lunar months have 30."""
    value = optional_text(source, name, limit=20)
    if value is None:
        return None
    found = _DAY.fullmatch(value)
    try:
        if found is None:
            raise ValueError
        year, month, day = (int(part) if part else None for part in found.groups())
        if month is None or day is None or (year is not None and not 1900 <= year <= 2100):
            raise ValueError
        if is_lunar and not (1 <= month <= 12 and 1 <= day <= 30):
            raise ValueError
        if not is_lunar:
            # Any leap year will do where the year is not known: 29 February is a birthday.
            date(year or 2000, month, day)
    except ValueError:
        raise UserError(f"{name} 要是日期，例如 1990-05-20 或 05-20。", field=name) from None
    return year, month, day


def shown(text: str) -> str:
    """A text as it can be sent back: half a character becomes the sign for an unreadable one."""
    return _UNSTORABLE.sub("\ufffd", text)


def check_storable(value: Any, *, depth: int = 0) -> None:
    """Refuse what a JSON column cannot keep: NUL, broken characters, too deep nesting."""
    if depth > 8:
        raise UserError("事件的层级太深。")
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise UserError("事件里有无法保存的字符。")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError("事件里的数字不正确。")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            check_storable(key, depth=depth)
            check_storable(inner, depth=depth + 1)
    elif isinstance(value, list):
        for inner in value:
            check_storable(inner, depth=depth + 1)
