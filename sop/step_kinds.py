"""How a step reaches a customer (触达方式): one kind, a chain of kinds, or kinds by tier.

HQ writes `kind: chat`, `kind: [template_message, sms]` (the first that reaches her), or
`kind: {by: tier, S: chat, B: mass_message, else: [template_message, sms]}`; `none` is no task.
Kept beside the plain kind as `{"by": "tier", "cases": {"S": ["chat"]}, "else": [...]}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.errors import UserError
from sop.models import Carrier
from sop.trigger_inputs import nearest
from tagging.models import Tier

#: What a step can be, with its words.
KINDS: dict[str, str] = {
    "chat": "私聊",
    "call": "电话",
    "invite": "邀约",
    "mass_message": "群发",
    "sms": "短信",
    "template_message": "公众号消息",
    "moment": "朋友圈",
    "group_message": "群消息",
}
#: What a guide is asked for where it is not simply a message; her lists say it before the title.
ASKS: dict[str, str] = {"call": "打电话", "invite": "邀约到店"}
#: For all customers of the guides at once: no task a customer, and only by the calendar.
GUIDE_KINDS = frozenset({"moment", "group_message"})
#: Who does a task of this kind.
CARRIERS: dict[str, Carrier] = {
    "chat": Carrier.GUIDE,
    "call": Carrier.GUIDE,
    "invite": Carrier.GUIDE,
    "mass_message": Carrier.MASS,
    "sms": Carrier.MACHINE,
    "template_message": Carrier.MACHINE,
}
MACHINE_KINDS = tuple(kind for kind, who in CARRIERS.items() if who == Carrier.MACHINE)
#: What kinds may depend on, with its words.
BY: dict[str, str] = {"tier": "客户等级", "store_tier": "门店等级"}

USUAL_KIND = "chat"
NO_TASK = "none"
_MOST_CASES = 20


@dataclass(frozen=True)
class StepKinds:
    """`kind` is the usual one; `channels` None: the same kind for everybody."""

    kind: str
    channels: dict[str, Any] | None

    @property
    def all(self) -> frozenset[str]:
        """Every kind the step may become."""
        return mentioned(self.kind, self.channels)


def mentioned(kind: str, channels: Mapping[str, Any] | None) -> frozenset[str]:
    """Every kind that a stored step may become."""
    if channels is None:
        return frozenset({kind})
    chains = [*channels["cases"].values(), channels["else"]]
    return frozenset(one for chain in chains for one in chain)


def read(value: Any) -> StepKinds:
    """What HQ wrote, as stored; raises UserError whose sentence goes on after 「第 1 步」."""
    if value is None or value == "":
        value = USUAL_KIND
    if isinstance(value, str):
        return StepKinds(_one(value), None)
    if isinstance(value, list):
        chain = _chain(value)
        if not chain:
            raise UserError("的方式不能是空的")
        channels: dict[str, Any] = {"by": None, "cases": {}, "else": chain}
        return StepKinds(chain[0], channels if len(chain) > 1 else None)
    if isinstance(value, Mapping):
        return _by(value)
    raise UserError("的方式要是文字、列表，或按等级写")


def written(kind: str, channels: Mapping[str, Any] | None) -> Any:
    """A stored step's kind as HQ would write it; equal meanings are written alike."""
    if channels is None:
        return kind
    rest = _short(channels["else"])
    if channels["by"] is None:
        return rest
    cases = {case: _short(chain) for case, chain in sorted(channels["cases"].items())}
    return {"by": channels["by"], **cases, "else": rest}


def sentence(kind: str, channels: Mapping[str, Any] | None) -> str:
    """「按客户等级：S、A 私聊，其他 公众号消息，联系不上再短信」."""
    if channels is None:
        return KINDS.get(kind, kind)
    alike: dict[str, list[str]] = {}
    for case, chain in by_rank(channels["cases"]):
        alike.setdefault(_words(chain), []).append(case)
    parts = [f"{'、'.join(cases)} {words}" for words, cases in alike.items()]
    rest = _words(channels["else"])
    if not parts:
        return rest
    return f"按{BY[channels['by']]}：{'，'.join(parts)}，其他 {rest}"


def by_rank(cases: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The cases as people list tiers: S before A, then by the alphabet."""
    ranks: dict[str, int] = {tier.value: place for place, tier in enumerate(Tier)}
    return sorted(cases.items(), key=lambda one: (ranks.get(one[0], len(ranks)), one[0]))


def headline(kind: str, title: str) -> str:
    """「打电话 · 生日祝福」: a task's title for its guide, with what she is asked for."""
    asked = ASKS.get(kind)
    return title if asked is None or asked in title else f"{asked} · {title}"


def _by(value: Mapping[Any, Any]) -> StepKinds:
    by = value.get("by")
    if not isinstance(by, str) or by not in BY:
        raise UserError(f"的方式要写 by: {' 或 '.join(BY)}")
    if "else" not in value:
        raise UserError("的方式要写 else，其他客户怎么联系（不联系写 none）")
    cases: dict[str, list[str]] = {}
    for case, chain in value.items():
        if case in ("by", "else"):
            continue
        name = str(case)
        if by == "tier" and name not in list(Tier):
            raise UserError(f"没有「{name}」这个客户等级，可以写：{'、'.join(Tier)}")
        cases[name] = _chain(chain)
    if not 0 < len(cases) <= _MOST_CASES:
        raise UserError(f"的方式要写 1 到 {_MOST_CASES} 个等级")
    rest = _chain(value["else"])
    first = next((chain[0] for chain in [rest, *cases.values()] if chain), None)
    if first is None:
        raise UserError("的方式没有联系任何人")
    return StepKinds(first, {"by": by, "cases": cases, "else": rest})


def _chain(value: Any) -> list[str]:
    if value == NO_TASK:
        return []
    items = value if isinstance(value, list) else [value]
    kinds = [_one(item) for item in items]
    posting = next((kind for kind in kinds if kind in GUIDE_KINDS), None)
    if posting is not None:
        raise UserError(f"的「{KINDS[posting]}」不能和别的方式放在一起")
    if len(set(kinds)) < len(kinds):
        raise UserError("的方式写了两次同样的")
    by_hand = next((kind for kind in kinds if CARRIERS[kind] == Carrier.GUIDE), None)
    if len(kinds) > 1 and by_hand is not None:
        raise UserError(f"的「{KINDS[by_hand]}」由导购来做，后面不能再接别的方式")
    return kinds


def _one(value: Any) -> str:
    if not isinstance(value, str):
        raise UserError("的方式要是文字")
    if value not in KINDS:
        raise UserError(f"没有「{value}」这种方式{nearest(value, KINDS)}")
    return value


def _short(chain: list[str]) -> Any:
    if not chain:
        return NO_TASK
    return chain[0] if len(chain) == 1 else list(chain)


def _words(chain: list[str]) -> str:
    return "，联系不上再".join(KINDS.get(kind, kind) for kind in chain) or "不联系"
