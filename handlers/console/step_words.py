"""A step of a plan read back in plain words (步骤说明), half-written ones too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.errors import UserError
from sop import step_kinds
from sop.models import IfMissed
from sop.step_kinds import StepKinds
from sop.triggers import Trigger

#: Who does what, to be read after 「S 级客户」.
_DOES: dict[str, str] = {
    "chat": "由导购私聊",
    "call": "由导购打电话",
    "invite": "由导购邀约到店",
    "mass_message": "由导购确认群发",
    "sms": "发短信",
    "template_message": "发公众号消息",
    "moment": "由导购发朋友圈",
    "group_message": "由导购发到客户群",
}
_WHOSE: dict[str, str] = {"tier": "{} 级客户", "store_tier": "{} 级门店的客户"}
_UNRATED: dict[str, str] = {"tier": "其他客户", "store_tier": "其他门店的客户"}
IF_MISSED: dict[str, str] = {
    IfMissed.LATE: "补做",
    IfMissed.DROP: "过期不做",
    IfMissed.MOVE: "顺延到下一天",
}


def told(steps: Any, entry: Trigger | None) -> list[dict[str, str]]:
    """For each step its way in short, for the folded line, and `words`, the whole sentence.

    A way that cannot be read yet has `wrong`, one sentence, instead of `words`.
    """
    items = steps if isinstance(steps, list) else []
    return [_told(one if isinstance(one, Mapping) else {}, entry) for one in items]


def when(day: Any, at: Any, is_fixed: bool) -> str:
    """当天 2 小时后, 第 7 天 10:00, 提前 5 天 10:30, 3 天后 09:30."""
    if not isinstance(day, int):
        name = "（还没写第几天）"
    elif is_fixed:
        name = f"提前 {-day} 天" if day < 0 else "当天" if day == 0 else f"{day} 天后"
    else:
        name = "当天" if day == 0 else f"第 {day} 天"
    if not isinstance(at, str) or not at:
        return name
    return f"{name} {_delay(at[1:])}后" if at.startswith("+") else f"{name} {at}"


def extras(
    *,
    if_missed: Any,
    is_workdays: bool,
    coupon: str | None,
    gift: str | None,
) -> tuple[str, ...]:
    """What goes along, each in a few words; what is as usual is not said."""
    found = []
    if coupon:
        found.append(f"带优惠券「{coupon}」")
    if gift:
        found.append(f"到店礼「{gift}」")
    if is_workdays:
        found.append("只在工作日")
    if if_missed == IfMissed.DROP:
        found.append("错过就不做了")
    if if_missed == IfMissed.MOVE:
        found.append("错过顺延到下一天")
    return tuple(found)


def _told(step: Mapping[str, Any], entry: Trigger | None) -> dict[str, str]:
    try:
        kinds = step_kinds.read(step.get("kind"))
    except UserError as error:
        return {"way": "", "wrong": f"这一步{error.message_zh}"}
    is_fixed = entry is not None and entry.is_fixed
    along = extras(
        if_missed=step.get("if_missed"),
        is_workdays=step.get("workdays") is True,
        coupon=_text(step.get("coupon")),
        gift=_text(step.get("gift")),
    )
    return {
        "way": step_kinds.sentence(kinds.kind, kinds.channels),
        "words": f"{when(step.get('day'), step.get('at'), is_fixed)}：{way(kinds)}。"
        + (f"{'，'.join(along)}。" if along else ""),
    }


def way(kinds: StepKinds) -> str:
    """「S、A 级客户由导购私聊；其他客户发公众号消息，联系不上再发短信」."""
    channels = kinds.channels
    if channels is None:
        return _DOES[kinds.kind]
    by = channels["by"]
    if by is None:
        return _chain(channels["else"])
    alike: dict[str, list[str]] = {}
    for case, chain in step_kinds.by_rank(channels["cases"]):
        alike.setdefault(_chain(chain), []).append(case)
    parts = [_WHOSE[by].format("、".join(cases)) + words for words, cases in alike.items()]
    return "；".join([*parts, f"{_UNRATED[by]}{_chain(channels['else'])}"])


def _chain(kinds: Sequence[str]) -> str:
    return "，联系不上再".join(_DOES[kind] for kind in kinds) or "不联系"


def _delay(length: str) -> str:
    hours, _, rest = length.partition("h") if "h" in length else ("", "", length)
    parts = [f"{hours} 小时"] if hours else []
    minutes = rest.removesuffix("m")
    return " ".join([*parts, f"{minutes} 分钟"] if minutes else parts)


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
