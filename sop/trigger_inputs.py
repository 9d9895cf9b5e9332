"""The inputs of triggers (触发条件的填写项): what HQ may write, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from typing import Any

from bot.errors import UserError
from sop.anchors import STAGE_LABELS

Known = Mapping[str, Collection[str]]

_LARGEST_FEN = 10**12
_MOST_YEARS, _LAST_YEAR = 20, 60
_LONGEST = 100


@dataclass(frozen=True)
class Field:
    """One input of a trigger.

    `kind`: fen, date, stage, tag, festival, category, store, words, number, weekday, years, choice,
    flag.
    """

    key: str
    label: str
    kind: str
    is_required: bool = True
    #: The largest number; the smallest is 1.
    most: int = 0
    #: What may be chosen, with its words.
    options: Mapping[str, str] = field(default_factory=dict)
    #: Another input and the value it must have, else this one has no meaning.
    needs: tuple[str, str] | None = None

    @property
    def path(self) -> str:
        """Where its errors stand, as `UserError.field` says it."""
        return f"trigger.{self.key}"


def nearest(word: str, known: Collection[str]) -> str:
    """ "，是不是「x」？" when something known is close, else nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f"，是不是「{close[0]}」？" if close else ""


def checked(one: Field, value: Any, known: Known) -> Any:
    """The value as stored; raises UserError."""
    read = _READERS.get(one.kind)
    if read is not None:
        return read(one, value)
    if not isinstance(value, str):
        raise UserError(f"{one.label}要是文字", field=one.path)
    names = STAGE_LABELS if one.kind == "stage" else known.get(one.kind, ())
    if value not in names and (names or one.kind != "category"):
        raise UserError(f"没有「{value}」这个{one.label}{nearest(value, names)}", field=one.path)
    return value


def _fen(one: Field, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _LARGEST_FEN:
        raise UserError(f"{one.label}要是正整数", field=one.path)
    return value


def _number(one: Field, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= one.most:
        raise UserError(f"{one.label}要是 1 到 {one.most} 的整数", field=one.path)
    return value


def _years(one: Field, value: Any) -> list[int]:
    items = value if isinstance(value, list) else [value]
    if not 0 < len(items) <= _MOST_YEARS or any(
        isinstance(item, bool) or not isinstance(item, int) or not 1 <= item <= _LAST_YEAR
        for item in items
    ):
        raise UserError(f"{one.label}要写成 [1, 3] 这样，1 到 {_LAST_YEAR}", field=one.path)
    return sorted(set(items))


def _date(one: Field, value: Any) -> str:
    # YAML turns 2026-11-11 into a date by itself.
    if isinstance(value, date):
        return value.isoformat()[:10]
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise UserError(f"{one.label}要写成 2026-11-11 这样", field=one.path) from None


def _choice(one: Field, value: Any) -> str:
    if not isinstance(value, str) or value not in one.options:
        words = "、".join(f"{key}（{label}）" for key, label in one.options.items())
        raise UserError(f"{one.label}要是其中之一：{words}", field=one.path)
    return value


def _flag(one: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{one.label}要写 true 或 false", field=one.path)
    return value


def _words(one: Field, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value.strip()) <= _LONGEST:
        raise UserError(f"{one.label}要是文字，最多 {_LONGEST} 个字", field=one.path)
    return value.strip()


_READERS: dict[str, Callable[[Field, Any], Any]] = {
    "fen": _fen,
    "number": _number,
    "weekday": _number,
    "years": _years,
    "date": _date,
    "choice": _choice,
    "flag": _flag,
    "words": _words,
}
