"""Readers of settings (设置读取): each checks one written value and names what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import time
from typing import Any

from bot.errors import UserError

Reader = Callable[[str, Any], Any]

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_LINK = re.compile(r"https?://[^\s]+")
_LONGEST_LINK = 500
_LONGEST_NAME = 40


def read(given: object, readers: Mapping[str, Reader], prefix: str) -> dict[str, Any]:
    """The values of a mapping with known keys; raises UserError for an unknown one."""
    if not isinstance(given, Mapping):
        raise UserError(f"{prefix.rstrip('.') or 'settings'} 要是“名称: 值”的列表。")
    unknown = next((name for name in given if name not in readers), None)
    if unknown is not None:
        known = "、".join(readers)
        raise UserError(
            f"settings 里没有“{prefix}{unknown}”这一项，可以写：{known}。", field=str(unknown)
        )
    return {name: readers[name](f"{prefix}{name}", value) for name, value in given.items()}


def between(low: int, high: int) -> Reader:
    """A whole number within two bounds."""

    def read_number(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise UserError(f"{name} 要是 {low} 到 {high} 之间的整数。", field=name)
        return value

    return read_number


def clock(name: str, value: Any) -> time:
    """A time of day, "08:47"."""
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise UserError(f'{name} 要是时间，例如 "08:47"（请加引号）。', field=name)
    return time(int(found[1]), int(found[2]))


def span(name: str, value: Any) -> str:
    """A span of the day, "21:00-09:00"."""
    parts = value.split("-") if isinstance(value, str) else []
    if len(parts) != 2 or not all(_CLOCK.fullmatch(part.strip()) for part in parts):
        raise UserError(f'{name} 要是时间段，例如 "21:00-09:00"。', field=name)
    begins, ends = (clock(name, part.strip()) for part in parts)
    if begins == ends:
        raise UserError(f"{name} 的开始和结束不能相同。", field=name)
    return f"{begins:%H:%M}-{ends:%H:%M}"


def words(what: str, most: int) -> Reader:
    """A list of names, none twice."""

    def read_words(name: str, value: Any) -> tuple[str, ...]:
        is_list = isinstance(value, list) and len(value) <= most
        if not is_list or not all(isinstance(one, str) and one.strip() for one in value):
            raise UserError(f"{name} 要是{what}的列表，最多 {most} 个。", field=name)
        names = tuple(one.strip() for one in value)
        if len(set(names)) < len(names):
            raise UserError(f"{name} 里有重复的{what}。", field=name)
        return names

    return read_words


def numbered(what: str, most: int, number: Reader) -> Reader:
    """A mapping of the brand's own names to numbers, as of member levels."""

    def read_numbered(name: str, value: Any) -> dict[str, int]:
        if not isinstance(value, Mapping) or len(value) > most:
            raise UserError(f"{name} 要是“{what}: 数字”的列表，最多 {most} 个。", field=name)
        for key in value:
            if not isinstance(key, str) or not 0 < len(key.strip()) <= _LONGEST_NAME:
                raise UserError(
                    f"{name} 的{what}要是 1 到 {_LONGEST_NAME} 个字的文字。", field=name
                )
        return {key.strip(): number(f"{name}.{key}", one) for key, one in value.items()}

    return read_numbered


def link(name: str, value: Any) -> str:
    """A web address, or nothing."""
    if value == "":
        return ""
    is_text = isinstance(value, str) and len(value) <= _LONGEST_LINK
    if not is_text or not _LINK.fullmatch(value):
        raise UserError(f"{name} 要是网址，例如 https://example.com/a。", field=name)
    return str(value)
