"""The brand's settings (品牌设置): how many tasks, how often, when; checked on the way in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import time
from itertools import pairwise
from typing import Any

from sqlalchemy.orm import Session

from bot.crm.brand_readers import Reader, between, clock, link, numbered, read, span, words
from bot.crm.models import Brand
from bot.errors import UserError

_MOST_CATEGORIES = 200
_MOST_LEVELS = 50
_MOST_INTENT_WORDS = 50


@dataclass(frozen=True)
class LifecycleSettings:
    """Days without a purchase, and purchases, that separate the stages."""

    active_days: int = 180
    dormant_days: int = 365
    churned_days: int = 730
    loyal_purchases: int = 3


@dataclass(frozen=True)
class TierSettings:
    """How the customer tier (等级) is made: what counts how much, and from how many points on."""

    weights: Mapping[str, int] = field(
        default_factory=lambda: {
            "recency": 20,
            "frequency": 20,
            "monetary": 30,
            "average_order": 15,
            "level": 5,
            "engagement": 10,
        }
    )
    #: The least points of each tier, best first; who has fewer is a C.
    bounds: Mapping[str, int] = field(default_factory=lambda: {"S": 80, "A": 60, "B": 35})
    #: An average order of this much, or more, has all points.
    average_order_full_fen: int = 2_000_000
    #: Points of a member level; a level that is not here has none.
    levels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ChurnSettings:
    """When a customer is said to be slipping away (流失预警), and when the manager hears of it."""

    #: A pause of so many per cent of her own rhythm is a warning …
    gap_percent: int = 200
    #: … if it is longer than this many days.
    least_days: int = 60
    #: Spent less than so many per cent of the year before …
    spend_percent: int = 50
    #: … in which she had spent this much.
    least_spend_fen: int = 500_000
    #: Deletions of one guide a day.
    alert_deletions: int = 5


@dataclass(frozen=True)
class LeadSettings:
    """What a behavior is worth as a lead (线索), and how long a lead may wait."""

    scores: Mapping[str, int] = field(
        default_factory=lambda: {
            "viewed": 10,
            "cart": 30,
            "returned": 20,
            "visited": 25,
            "intended": 40,
            "asked_custom": 60,
            "asked_wedding": 60,
        }
    )
    hot: int = 60
    escalate_hours: int = 4
    return_days: int = 180
    expire_days: int = 14
    #: Words by which an intention is recognised.
    intents: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            "定制": ("定制", "订做", "设计"),
            "结婚选款": ("结婚", "婚戒", "对戒", "求婚"),
        }
    )


@dataclass(frozen=True)
class BrandSettings:
    """Everything under `settings` of the brand pack, defaults included."""

    tasks_per_guide: int = 20
    touch_gap_days: int = 3
    #: "21:00-09:00": guides are given nothing to send in between.
    quiet_hours: str = "21:00-09:00"
    morning: time = time(8, 47)
    lifecycle: LifecycleSettings = field(default_factory=LifecycleSettings)
    #: How many missed days planning catches up.
    catch_up_days: int = 3
    #: The brand's categories; what a customer has not bought of them is missing.
    categories: tuple[str, ...] = ()
    tier: TierSettings = field(default_factory=TierSettings)
    churn: ChurnSettings = field(default_factory=ChurnSettings)
    leads: LeadSettings = field(default_factory=LeadSettings)
    #: A purchase so many days before a festival, or on it, was for the festival.
    festival_window_days: int = 7
    #: The questionnaire for those who left; empty: there is none.
    survey_url: str = ""


def settings(session: Session) -> BrandSettings:
    """The settings as they stand; a brand not loaded yet has the defaults."""
    row = session.get(Brand, 1)
    return validate(row.settings if row else {})


def validate(given: Mapping[str, Any]) -> BrandSettings:
    """Check settings as written; UserError names the one that is wrong. Missing ones: defaults."""
    return BrandSettings(**read(given, READERS, ""))


def _lifecycle(name: str, value: Any) -> LifecycleSettings:
    limits = LifecycleSettings(**read(value, _LIFECYCLE, f"{name}."))
    if not limits.active_days < limits.dormant_days < limits.churned_days:
        raise UserError(f"{name} 要满足 active_days < dormant_days < churned_days。", field=name)
    return limits


def _tier(name: str, value: Any) -> TierSettings:
    return TierSettings(**read(value, _TIER, f"{name}."))


def _weights(name: str, value: Any) -> dict[str, int]:
    usual = TierSettings().weights
    found = {**usual, **read(value, dict.fromkeys(usual, between(0, 100)), f"{name}.")}
    if not any(found.values()):
        raise UserError(f"{name} 里至少要有一项大于 0。", field=name)
    return found


def _bounds(name: str, value: Any) -> dict[str, int]:
    usual = TierSettings().bounds
    found = {**usual, **read(value, dict.fromkeys(usual, between(1, 100)), f"{name}.")}
    if not all(better > worse for better, worse in pairwise(found.values())):
        raise UserError(f"{name} 要满足 S > A > B。", field=name)
    return found


def _churn(name: str, value: Any) -> ChurnSettings:
    return ChurnSettings(**read(value, _CHURN, f"{name}."))


def _leads(name: str, value: Any) -> LeadSettings:
    return LeadSettings(**read(value, _LEADS, f"{name}."))


def _lead_scores(name: str, value: Any) -> dict[str, int]:
    usual = LeadSettings().scores
    return {**usual, **read(value, dict.fromkeys(usual, between(0, 1000)), f"{name}.")}


def _intents(name: str, value: Any) -> dict[str, tuple[str, ...]]:
    usual = LeadSettings().intents
    readers = dict.fromkeys(usual, words("词", _MOST_INTENT_WORDS))
    return {**usual, **read(value, readers, f"{name}.")}


_LIFECYCLE: dict[str, Reader] = {
    "active_days": between(1, 3650),
    "dormant_days": between(1, 3650),
    "churned_days": between(1, 7300),
    "loyal_purchases": between(1, 1000),
}
_TIER: dict[str, Reader] = {
    "weights": _weights,
    "bounds": _bounds,
    "average_order_full_fen": between(1, 10**12),
    "levels": numbered("会员等级", _MOST_LEVELS, between(0, 100)),
}
_CHURN: dict[str, Reader] = {
    "gap_percent": between(100, 1000),
    "least_days": between(1, 3650),
    "spend_percent": between(1, 100),
    "least_spend_fen": between(1, 10**12),
    "alert_deletions": between(1, 10_000),
}
_LEADS: dict[str, Reader] = {
    "scores": _lead_scores,
    "hot": between(1, 10_000),
    "escalate_hours": between(1, 240),
    "return_days": between(1, 3650),
    "expire_days": between(1, 365),
    "intents": _intents,
}
#: Every setting there is, with its reader; the reference lists them from here.
READERS: dict[str, Reader] = {
    "tasks_per_guide": between(1, 200),
    "touch_gap_days": between(0, 90),
    "quiet_hours": span,
    "morning": clock,
    "lifecycle": _lifecycle,
    "catch_up_days": between(0, 30),
    "categories": words("品类名称", _MOST_CATEGORIES),
    "tier": _tier,
    "churn": _churn,
    "leads": _leads,
    "festival_window_days": between(0, 60),
    "survey_url": link,
}


#: What each setting means, for the reference; a group stands before its parts.
LABELS: dict[str, str] = {
    "tasks_per_guide": "每位导购每天最多几个任务",
    "touch_gap_days": "同一位客户两次联系至少隔几天",
    "quiet_hours": "免打扰时段",
    "morning": "早报时间",
    "lifecycle.active_days": "加好友后多少天内没买还算新客",
    "lifecycle.dormant_days": "多少天没买算沉睡",
    "lifecycle.churned_days": "多少天没买算流失",
    "lifecycle.loyal_purchases": "买过几次算忠诚",
    "catch_up_days": "错过的日子补做几天",
    "categories": "品类清单，缺什么按它算",
    "tier.weights": "客户等级各项的权重，0 到 100",
    "tier.bounds": "S、A、B 各从多少分起，其余是 C",
    "tier.average_order_full_fen": "平均每单到多少分（人民币）得满分",
    "tier.levels": "各会员等级得多少分",
    "churn.gap_percent": "停顿超过自己节奏的百分之几算预警",
    "churn.least_days": "停顿至少多少天才算",
    "churn.spend_percent": "一年消费不到前一年的百分之几算预警",
    "churn.least_spend_fen": "前一年至少消费多少分（人民币）才算",
    "churn.alert_deletions": "一位导购一天被删几次提醒店长",
    "leads.scores": "每种行为值多少线索分",
    "leads.hot": "多少分算热线索",
    "leads.escalate_hours": "几小时没人联系就提醒店长",
    "leads.return_days": "多少天没有动静后再来算回流",
    "leads.expire_days": "线索多少天后过期",
    "leads.intents": "识别意向的词",
    "festival_window_days": "节前多少天内的消费算为节日买的",
    "survey_url": "告别问卷的网址",
}


def described() -> list[tuple[str, str, str]]:
    """Every setting as (name, meaning, default), in the order of the pack."""
    usual = asdict(BrandSettings())
    found = []
    for name, words_ in LABELS.items():
        group, _, part = name.partition(".")
        found.append((name, words_, _shown(usual[group][part] if part else usual[group])))
    return found


def setting_names() -> list[str]:
    """The names of all settings as the readers know them, parts of groups with a dot."""
    groups: dict[str, Iterable[str]] = {
        "lifecycle": _LIFECYCLE,
        "tier": _TIER,
        "churn": _CHURN,
        "leads": _LEADS,
    }
    return [
        f"{name}.{part}" if part else name for name in READERS for part in groups.get(name, ("",))
    ]


def _shown(value: Any) -> str:
    if isinstance(value, time):
        return f"{value:%H:%M}"
    if isinstance(value, Mapping):
        return "，".join(f"{key}: {_shown(one)}" for key, one in value.items()) or "无"
    if isinstance(value, tuple | list):
        return "、".join(map(str, value)) or "无"
    return str(value) or "无"
