"""What the editor sends (编辑器提交): its shape checked here, its meaning by `sop.specs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import request

from bot.errors import UserError
from tagging import conditions
from tagging.conditions import Lookup

_LONGEST_NAME = 60
_DEEPEST = 24
_GROUPS = ("all", "any", "not")


@dataclass(frozen=True)
class Submitted:
    """A spec and what it was begun from. `draft_id` None: there was no draft."""

    sop_id: int | None
    draft_id: int | None
    spec: dict[str, Any]

    @property
    def name(self) -> str:
        """The SOP's name as it shall be."""
        return str(self.spec["name"])


def read() -> Submitted:
    """The JSON of this request; raises UserError with one sentence for anything else."""
    body = request.get_json(silent=True)
    if not isinstance(body, dict) or not isinstance(body.get("spec"), dict):
        raise UserError("提交的内容不完整，请刷新后再试")
    _refuse_unstorable(body, 0)
    spec = body["spec"]
    unknown = set(spec) - {"name", "trigger", "audience", "steps"}
    if unknown:
        raise UserError("提交的内容有多余的部分，请刷新后再试")
    name = spec.get("name")
    if not isinstance(name, str) or not name.strip():
        raise UserError("给这个 SOP 起个名字", field="name")
    if len(name.strip()) > _LONGEST_NAME or not name.strip().isprintable():
        raise UserError(f"名称最多 {_LONGEST_NAME} 个字，不能换行", field="name")
    kept = {**spec, "name": name.strip()}
    return Submitted(_number(body.get("sop_id")), _number(body.get("draft_id")), kept)


def check_audience(audience: Any, lookup: Lookup, *, at: str = "audience") -> None:
    """Refuse a condition, with the place of the part that is wrong: `audience.all.0.any.1`.

    A part somebody has only begun to write is said to be a gap. Raises UserError.
    """
    if at.count(".") > _DEEPEST:
        raise UserError("条件嵌套得太深了", field="audience")
    if isinstance(audience, list):
        for place, term in enumerate(audience):
            check_audience(term, lookup, at=f"{at}.{place}")
    elif isinstance(audience, dict) and "field" not in audience:
        for word, inner in audience.items():
            if inner == [] and word in _GROUPS:
                raise UserError("这一组里还没有条件，添加一个，或者删除这一组", field=at)
            check_audience(inner, lookup, at=f"{at}.{word}")
    elif isinstance(audience, dict):
        _refuse_gap(audience, at)
        try:
            conditions.check(audience, lookup)
        except UserError as error:
            raise UserError(error.message_zh, field=at) from error
    if at == "audience":
        # What is wrong with no single part: too deep, too many, no condition at all.
        try:
            conditions.check(audience, lookup)
        except UserError as error:
            raise UserError(error.message_zh, field=at) from error


def _refuse_gap(leaf: dict[str, Any], at: str) -> None:
    entry = conditions.FIELDS.get(str(leaf["field"]))
    value = leaf.get("value")
    is_gap = value in ("", None, []) or (
        isinstance(value, list) and any(one in ("", None) for one in value)
    )
    if entry is not None and is_gap:
        raise UserError(f"「{entry.label}」还没有填", field=at)


def _number(given: Any) -> int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or not 0 < given < 2**63:
        raise UserError("提交的内容不完整，请刷新后再试")
    return given


def _refuse_unstorable(value: Any, depth: int) -> None:
    """PostgreSQL keeps no NUL and no half character; a tree without end is nobody's plan."""
    if depth > _DEEPEST:
        raise UserError("条件嵌套得太深了", field="audience")
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
            raise UserError("内容里有无法保存的字符")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _refuse_unstorable(key, depth)
            _refuse_unstorable(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _refuse_unstorable(inner, depth + 1)
