"""What a value in a condition may be: its operators, its check and its words.

A check says in one sentence what is wrong; what passes it is safe to bind: no number outside its
column, no text PostgreSQL refuses.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from bot.errors import UserError

NUMBER_OPS = ("=", "!=", ">", ">=", "<", "<=", "between")
SET_OPS = ("=", "!=", "in", "not_in")
HAS_OPS = ("=", "!=")

#: For facts of which there may be several (carts, coupons): "not" is said by a `not` around it.
NEAR_OPS = ("=", ">", ">=", "<", "<=", "between")
RANGE_OPS = (">", ">=", "<", "<=", "between")

#: The operators whose value is a list.
LIST_OPS = frozenset({"between", "in", "not_in"})

NUMBER_WORDS = {
    "=": "为",
    "!=": "不是",
    ">": "超过",
    ">=": "不少于",
    "<": "少于",
    "<=": "不超过",
}

_LONGEST_TEXT = 100
_MOST_VALUES = 200
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1990, 2100


def _one_or_span(one: Callable[[str, Any], Any], label: str, op: str, value: Any) -> Any:
    """What `one` says of the value, or of both ends of a span, which must be in order."""
    if op != "between":
        return one(label, value)
    if not isinstance(value, list) or len(value) != 2:
        raise UserError(f"“{label}”的“between”要写成 [下限, 上限]。", field="value")
    low, high = (one(label, end) for end in value)
    if low > high:
        raise UserError(f"“{label}”的下限 {low} 大于上限 {high}。", field="value")
    return [low, high]


@dataclass(frozen=True)
class Number:
    """A whole number between two bounds, with its unit."""

    least: int
    most: int
    unit: str = ""
    words: Callable[[int], str] | None = None
    ops: tuple[str, ...] = NUMBER_OPS

    def check(self, label: str, op: str, value: Any) -> Any:
        """The value, if it fits; raises `UserError` naming the field otherwise."""
        return _one_or_span(self._one, label, op, value)

    def _one(self, label: str, value: Any) -> int:
        # True is an int to Python, not to people.
        if isinstance(value, bool) or not isinstance(value, int):
            raise UserError(f"“{label}”的值须是整数，不能是 {shown(value)}。", field="value")
        if not self.least <= value <= self.most:
            raise UserError(
                f"“{label}”的值须在 {self.least} 到 {self.most} 之间，不能是 {value}。",
                field="value",
            )
        return value

    def show(self, value: Any) -> str:
        """The number as people say it."""
        if self.words is not None:
            return self.words(int(value))
        return f"{value} {self.unit}".rstrip()


@dataclass(frozen=True)
class Choice:
    """One of a fixed set of keys, each with its Chinese word."""

    options: Mapping[str, str]
    ops: tuple[str, ...] = SET_OPS

    def check(self, label: str, op: str, value: Any) -> Any:
        """The value, if every key is known; raises `UserError` with the nearest one otherwise."""
        for one in as_texts(label, op, value):
            if one not in self.options:
                raise UserError(
                    f"“{label}”没有“{one}”这个选项{nearest(one, self.options)}。", field="value"
                )
        return value

    def show(self, value: Any) -> str:
        """The Chinese word of a key."""
        return self.options.get(str(value), str(value))


@dataclass(frozen=True)
class Words:
    """Free text, or a name that must be known: `names` is the list of `Lookup` that knows it."""

    names: str | None = None
    ops: tuple[str, ...] = SET_OPS

    def check(self, label: str, op: str, value: Any) -> Any:
        """The value, if it is short text; whether the name is known is the lookup's question."""
        as_texts(label, op, value)
        return value

    def show(self, value: Any) -> str:
        """The text itself."""
        return str(value)


@dataclass(frozen=True)
class Kilometers:
    """A distance in kilometers, with at most one decimal."""

    most: int = 20_000
    ops: tuple[str, ...] = RANGE_OPS

    def check(self, label: str, op: str, value: Any) -> Any:
        """The value, if it fits; raises `UserError` naming the field otherwise."""
        return _one_or_span(self._one, label, op, value)

    def _one(self, label: str, value: Any) -> float:
        # Comparing first keeps "not a number" and the infinite ones out.
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value <= self.most or round(value, 1) != value:
            raise UserError(
                f"“{label}”的值须是 0 到 {self.most} 之间的公里数，最多一位小数，"
                f"不能是 {shown(value)}。",
                field="value",
            )
        return float(value)

    def show(self, value: Any) -> str:
        """3 公里, 2.5 公里."""
        return f"{value:g} 公里"


@dataclass(frozen=True)
class Flag:
    """Yes or no."""

    yes: str
    no: str
    ops: tuple[str, ...] = ("=",)

    def check(self, label: str, op: str, value: Any) -> Any:
        """The value, if it is true or false."""
        if not isinstance(value, bool):
            raise UserError(
                f"“{label}”的值须是 true 或 false，不能是 {shown(value)}。", field="value"
            )
        return value

    def show(self, value: Any) -> str:
        """What true or false means here."""
        return self.yes if value else self.no


@dataclass(frozen=True)
class DateSpan:
    """From one day to another, both included: ["2025-01-01", "2025-06-30"]."""

    ops: tuple[str, ...] = HAS_OPS

    def check(self, label: str, op: str, value: Any) -> Any:
        """The value, if both are days and in order."""
        if not isinstance(value, list) or len(value) != 2:
            raise UserError(f"“{label}”的值要写成 [开始日期, 结束日期]。", field="value")
        first, last = (self._one(label, one) for one in value)
        if first > last:
            raise UserError(f"“{label}”的开始日期 {first} 晚于结束日期 {last}。", field="value")
        return [first, last]

    def _one(self, label: str, value: Any) -> str:
        try:
            is_day = isinstance(value, str) and _DAY.fullmatch(value)
            day = date.fromisoformat(value) if is_day else None
        except ValueError:
            day = None
        if day is None or not _FIRST_YEAR <= day.year <= _LAST_YEAR:
            raise UserError(
                f"“{label}”的日期要写成 2025-01-31 这样，不能是 {shown(value)}。", field="value"
            )
        return day.isoformat()

    def show(self, value: Any) -> str:
        """2025年1月1日到2025年6月30日; one day is said once."""
        first, last = (date.fromisoformat(one) for one in value)
        words = [f"{one.year}年{one.month}月{one.day}日" for one in (first, last)]
        return words[0] if first == last else "到".join(words)


Kind = Number | Choice | Words | Kilometers | Flag | DateSpan


def as_texts(label: str, op: str, value: Any) -> list[str]:
    """The texts of a value: one, or for `in`/`not_in` a list that is not empty."""
    if op in LIST_OPS:
        if not isinstance(value, list) or not value:
            raise UserError(f"“{label}”的“{op}”要写成不为空的列表。", field="value")
        if len(value) > _MOST_VALUES:
            raise UserError(f"“{label}”最多列 {_MOST_VALUES} 个值。", field="value")
        values = value
    else:
        values = [value]
    for one in values:
        if not isinstance(one, str):
            raise UserError(f"“{label}”的值须是文字，不能是 {shown(one)}。", field="value")
        if not one.strip() or len(one) > _LONGEST_TEXT or "\x00" in one or not _is_unicode(one):
            raise UserError(f"“{label}”的值须是 1 到 {_LONGEST_TEXT} 个字的文字。", field="value")
    return list(values)


def _is_unicode(text: str) -> bool:
    """Half a surrogate pair is a str to Python, but no text to PostgreSQL."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def nearest(word: str, known: Collection[str]) -> str:
    """ "，是不是“…”？" with the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.4)
    return f"，是不是“{near[0]}”？" if near else ""


def shown(value: Any) -> str:
    """A wrong value, short enough for a sentence; text stands in quotes."""
    return f"“{clipped(value)}”" if isinstance(value, str) else clipped(repr(value))


def clipped(text: str) -> str:
    """At most 40 characters of a text."""
    return text if len(text) <= 40 else text[:39] + "…"


def money(fen: int) -> str:
    """5000000 → 5 万元, 1280050 → 12,800.50 元."""
    if fen and fen % 1_000_000 == 0:
        return f"{fen // 1_000_000:,} 万元"
    if fen % 100 == 0:
        return f"{fen // 100:,} 元"
    return f"{fen / 100:,.2f} 元"


# As many days as a shop can mean; more would run off the calendar.
DAYS = Number(0, 36_500, "天")
#: Days to something of which there may be several.
DAYS_LEFT = Number(0, 3_650, "天", ops=NEAR_OPS)
HOURS = Number(0, 8_760, "小时", ops=NEAR_OPS)
FEN = Number(0, 10**15, words=money)
COUNT = Number(0, 2_000_000_000, "次")
POINTS = Number(-2_000_000_000, 2_000_000_000, "分")
GRADE = Number(1, 5, "分")
