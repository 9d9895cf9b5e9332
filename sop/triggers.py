"""What puts a contact into an SOP (触发条件): one entry a trigger."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Any

from bot.errors import UserError
from sop import anchors
from sop.anchors import STAGE_LABELS, Anchors, Params

_LARGEST_FEN = 10**12


@dataclass(frozen=True)
class Field:
    """One input of a trigger. `kind`: text, fen, date, stage, tag, festival, category."""

    key: str
    label: str
    kind: str
    is_required: bool = True


@dataclass(frozen=True)
class Trigger:
    """A trigger: its words, its inputs and the SELECT that finds its anchor days.

    `due(first, last, params)` gives contact_id, guide_id (NULL: whoever is responsible),
    anchored_on, anchored_at (NULL: no moment) and the fact as a guide may read it.
    """

    key: str
    label: str
    fields: tuple[Field, ...]
    due: Callable[[date, date, Params], Anchors]
    sentence: Callable[[Params], str]
    #: What a countdown speaks of ("4 天后生日"); empty: the fact lies in the past, no countdown.
    noun: Callable[[Params], str]
    #: The anchor has a moment, so steps may say "+2h".
    has_moment: bool = False
    #: The day is known beforehand and cannot move: steps may lie before it.
    is_fixed: bool = False
    #: Whether the anchor must still be found when a step comes due.
    is_rechecked: bool = True


def _bought_sentence(params: Params) -> str:
    words = f"购买{params.get('category') or '任意商品'}"
    if params.get("min_fen") is not None:
        words += f"，实付不少于 ¥{params['min_fen'] / 100:,.0f}"
    return words


def _day_label(params: Params) -> str:
    on = date.fromisoformat(params["on"])
    return f"{on.month}月{on.day}日"


_CATEGORY = Field("category", "品类", "category", is_required=False)
_ALL = (
    Trigger(
        "followed",
        "新加好友",
        (),
        anchors.followed,
        lambda params: "客户加导购为好友",
        lambda params: "",
        has_moment=True,
        # A handed-over customer keeps her plan: planning looks at who is responsible now.
        is_rechecked=False,
    ),
    Trigger(
        "purchased",
        "购买",
        (_CATEGORY, Field("min_fen", "实付金额不少于（分）", "fen", is_required=False)),
        anchors.purchased,
        _bought_sentence,
        lambda params: "",
        has_moment=True,
    ),
    Trigger(
        "birthday",
        "生日",
        (),
        anchors.birthday,
        lambda params: "客户生日",
        lambda params: "生日",
        is_fixed=True,
    ),
    Trigger(
        "purchase_anniversary",
        "购买周年",
        (_CATEGORY,),
        anchors.purchase_anniversary,
        lambda params: f"购买{params.get('category') or '任意商品'}的周年",
        lambda params: "购买周年",
        is_fixed=True,
    ),
    Trigger(
        "stage_entered",
        "进入生命周期阶段",
        (Field("stage", "阶段", "stage"),),
        anchors.stage_entered,
        lambda params: f"进入{STAGE_LABELS[params['stage']]}阶段",
        lambda params: "",
    ),
    Trigger(
        "tag_added",
        "打上标签",
        (Field("tag", "标签", "tag"),),
        anchors.tag_added,
        lambda params: f"打上标签「{params['tag']}」",
        lambda params: "",
        has_moment=True,
    ),
    Trigger(
        "festival",
        "节日",
        (Field("name", "节日", "festival"),),
        anchors.festival,
        lambda params: f"{params['name']}当天",
        lambda params: str(params["name"]),
        is_fixed=True,
    ),
    Trigger(
        "date",
        "指定日期",
        (Field("on", "日期", "date"),),
        anchors.fixed_date,
        lambda params: f"{params['on']} 这一天",
        _day_label,
        is_fixed=True,
    ),
)

#: Every trigger by its key. Keys are stored: never renamed, never reused.
TRIGGERS: dict[str, Trigger] = {trigger.key: trigger for trigger in _ALL}


def of(trigger: Params) -> Trigger:
    """The table entry of a stored trigger."""
    return TRIGGERS[trigger["kind"]]


def check(trigger: Any, known: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """The trigger as stored (no empty inputs); raises UserError naming what is wrong with it.

    `known` holds the names that exist by kind of field (tag, festival, category); a brand that
    keeps no list of categories takes all.
    """
    if not isinstance(trigger, Mapping) or not isinstance(trigger.get("kind"), str):
        raise UserError("请选择触发条件", field="trigger")
    entry = TRIGGERS.get(trigger["kind"])
    if entry is None:
        raise UserError(
            f"没有「{trigger['kind']}」这个触发条件{nearest(trigger['kind'], TRIGGERS)}",
            field="trigger",
        )
    wanted = {field.key: field for field in entry.fields}
    for key in trigger:
        if key != "kind" and key not in wanted:
            raise UserError(
                f"触发条件「{entry.label}」没有「{key}」这一项{nearest(str(key), wanted)}",
                field="trigger",
            )
    kept: dict[str, Any] = {"kind": entry.key}
    for field in entry.fields:
        value = trigger.get(field.key)
        if value is None or value == "":
            if field.is_required:
                raise UserError(f"触发条件「{entry.label}」要填{field.label}", field="trigger")
            continue
        kept[field.key] = _checked(field, value, known)
    return kept


def nearest(word: str, known: Collection[str]) -> str:
    """ "，是不是「x」？" when something known is close, else nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f"，是不是「{close[0]}」？" if close else ""


def _checked(field: Field, value: Any, known: Mapping[str, Collection[str]]) -> Any:
    if field.kind == "fen":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _LARGEST_FEN:
            raise UserError(f"{field.label}要是正整数", field="trigger")
        return value
    if field.kind == "date":
        return _checked_date(field, value)
    if not isinstance(value, str):
        raise UserError(f"{field.label}要是文字", field="trigger")
    names = STAGE_LABELS if field.kind == "stage" else known.get(field.kind, ())
    if value not in names and (names or field.kind != "category"):
        raise UserError(f"没有「{value}」这个{field.label}{nearest(value, names)}", field="trigger")
    return value


def _checked_date(field: Field, value: Any) -> str:
    # YAML turns 2026-11-11 into a date by itself.
    if isinstance(value, date):
        return value.isoformat()[:10]
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise UserError(f"{field.label}要写成 2026-11-11 这样", field="trigger") from None
