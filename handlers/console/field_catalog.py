"""Conditions as the SOP editor offers and shows them (条件选项): fields, operators, groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tagging import conditions
from tagging.fields.field import Field
from tagging.fields.kinds import (
    HAS_OPS,
    Choice,
    DateSpan,
    Flag,
    Kilometers,
    Number,
    Words,
)

_NUMBER_OPS = {
    "=": "等于",
    "!=": "不等于",
    ">": "超过",
    ">=": "不少于",
    "<": "少于",
    "<=": "不超过",
    "between": "介于",
}
_SET_OPS = {"=": "是", "!=": "不是", "in": "是其中之一", "not_in": "都不是"}
_HAS_OPS = {"=": "有", "!=": "没有"}
_MONEY = "_fen"
_GROUPS = ("all", "any", "not")


def fields() -> list[dict[str, Any]]:
    """Every field of the table, with its operators and how its value is asked for."""
    return [_field(one) for one in conditions.FIELDS.values()]


def group_form(audience: Any) -> Any:
    """A condition as the builder shows it: a group outside, and `not` always over a list."""
    if audience is None:
        return None
    shaped = _shaped(audience)
    return {"all": [shaped]} if "field" in shaped else shaped


def _shaped(node: Mapping[str, Any]) -> dict[str, Any]:
    if "field" in node:
        return dict(node)
    word = next(key for key in _GROUPS if key in node)
    inner = node[word]
    terms = inner if isinstance(inner, list) else [inner]
    return {word: [_shaped(term) for term in terms]}


def _field(field: Field) -> dict[str, Any]:
    kind = field.kind
    is_number = isinstance(kind, Number | Kilometers)
    words = _HAS_OPS if field.operators == HAS_OPS else _NUMBER_OPS if is_number else _SET_OPS
    told: dict[str, Any] = {
        "key": field.key,
        "label": field.label,
        "ops": [{"key": op, "label": words[op]} for op in field.operators],
        "value": "number" if is_number else "text",
    }
    if isinstance(kind, Number):
        told["unit"] = "元" if field.key.endswith(_MONEY) else kind.unit
        told["isMoney"] = field.key.endswith(_MONEY)
    elif isinstance(kind, Kilometers):
        told["unit"], told["hasDecimals"] = "公里", True
    elif isinstance(kind, Flag):
        told["value"] = "flag"
        told["options"] = [{"key": "true", "label": kind.yes}, {"key": "false", "label": kind.no}]
    elif isinstance(kind, DateSpan):
        told["value"] = "dates"
    elif isinstance(kind, Choice):
        told["value"] = "choice"
        told["options"] = [{"key": key, "label": label} for key, label in kind.options.items()]
    elif isinstance(kind, Words) and kind.names:
        told["value"], told["names"] = "name", kind.names
    return told
