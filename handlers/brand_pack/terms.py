"""Conditions of a pack (条件): the same check as the console's, and the line of the wrong term."""

from __future__ import annotations

from bot.errors import UserError
from handlers.brand_pack.reading import Map, Seq, fail, plain
from tagging import conditions
from tagging.conditions import Lookup


def check(item: Map, key: str, lookup: Lookup) -> None:
    """Refuse the condition under `key`, if there is one and it cannot be asked."""
    condition = item.get(key)
    error = _error(condition, lookup)
    if error is not None:
        _refuse(condition, item.line_of(key), error, lookup)


def _refuse(node: object, line: int, error: UserError, lookup: Lookup) -> None:
    """Go down to the smallest part that is wrong by itself, and name its line."""
    if isinstance(node, Map) and "field" not in node:
        for word, inner in node.items():
            parts = inner if isinstance(inner, Seq) else Seq([inner])
            lines = inner.lines if isinstance(inner, Seq) else [node.line_of(word)]
            for part, at in zip(parts, lines, strict=True):
                wrong = _error(part, lookup)
                if wrong is not None and word in ("all", "any", "not"):
                    _refuse(part, at, wrong, lookup)
    if isinstance(node, Map):
        unknown = (key for key in node if key not in ("field", "op", "value"))
        named = next(unknown, None) if "field" in node else next(iter(node), None)
        line = node.line_of(error.field if error.field and error.field in node else named or "")
    fail(line, error.message_zh)


def _error(condition: object, lookup: Lookup) -> UserError | None:
    try:
        conditions.check(plain(condition), lookup)
    except UserError as error:
        return error
    return None
