"""Customer tier (客户等级): S, A, B or C, from a score of 0 to 100 that anybody can check by hand.

Six components give 0 to 100 points each; the brand says how much each counts (`settings.tier`):

| component     | points                                                                     |
|---------------|----------------------------------------------------------------------------|
| recency       | 20 for each of the five RFM grades; never bought: 0                        |
| frequency     | the same                                                                   |
| monetary      | the same                                                                   |
| average_order | per cent of `average_order_full_fen` that her average order reaches        |
| level         | what `levels` says for her member level; a level that is not there: 0      |
| engagement    | replied, visited or viewed in 90 days: 100, in 180 days: 50, else 0        |

The score is the weighted mean, rounded half up; the tier is the first bound that it reaches. The
points are kept beside the score (`tier_parts`), so a tier can be explained as it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    SmallInteger,
    String,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Session

from bot.crm import brand
from bot.crm.brand import TierSettings
from bot.crm.models import ContactActivity
from bot.errors import UserError
from tagging.models import ContactScore, Tier

#: Stored in `tier_parts` in this order: never reordered, only added to.
COMPONENTS: dict[str, str] = {
    "recency": "最近消费",
    "frequency": "消费频次",
    "monetary": "消费金额",
    "average_order": "平均每单",
    "level": "会员等级",
    "engagement": "近期互动",
}
#: Best first: a smaller number is a better tier.
RANK: dict[str, int] = {tier.value: place for place, tier in enumerate(Tier)}

_GRADE_POINTS = 20
_GRADED = 3
_FULL = 100
#: Days since the newest sign of life, and the points they give.
_ENGAGED = ((90, 100), (180, 50))


@dataclass(frozen=True)
class Part:
    """One component of a tier: `points` out of 100, which weigh `share` points of the score."""

    label: str
    weight: int
    points: int
    share: float
    words: str


@dataclass(frozen=True)
class TierExplained:
    """A tier with everything it was made of."""

    score: int
    tier: str
    parts: list[Part]


def points_of(known: Any, grades: Sequence[Any], day: date, limits: TierSettings) -> list[Any]:
    """The points of each component, in SQL.

    `known` has `average_order_fen`, `member_level` and `active_on` (newest sign of life).
    """
    # Whole per cent that are reached; a plain "/" would round a half up.
    average = known.c.average_order_fen * _FULL // limits.average_order_full_fen
    engaged = [
        (known.c.active_on >= day - timedelta(days=days), points) for days, points in _ENGAGED
    ]
    level = case(dict(limits.levels), value=known.c.member_level, else_=0) if limits.levels else 0
    others: list[Any] = [func.least(average, _FULL), level, case(*engaged, else_=0)]
    return [*_grade_points(grades), *(cast(one, SmallInteger) for one in others)]


def columns(points: Sequence[Any], limits: TierSettings) -> dict[str, ColumnElement[Any]]:
    """`tier`, `tier_score` and `tier_parts` of somebody with these points."""
    weights = [limits.weights[key] for key in COMPONENTS]
    total = sum(weights)
    sum_: ColumnElement[Any] = literal(total // 2)
    for weight, one in zip(weights, points, strict=True):
        sum_ = sum_ + literal(weight) * one
    score = sum_ // total
    bounds = [(score >= least, literal(name, String)) for name, least in limits.bounds.items()]
    return {
        "tier": case(*bounds, else_=literal(Tier.C.value, String)),
        "tier_score": cast(score, SmallInteger),
        "tier_parts": cast(array(list(points)), ARRAY(SmallInteger)),
    }


def following(limits: TierSettings) -> Callable[[Sequence[Any]], dict[str, ColumnElement[Any]]]:
    """What new grades make of a row's tier; its other points stay as they stand in the row."""

    def follow(grades: Sequence[Any]) -> dict[str, ColumnElement[Any]]:
        kept = range(_GRADED + 1, len(COMPONENTS) + 1)
        others = [func.coalesce(ContactScore.tier_parts[place], 0) for place in kept]
        return columns([*_grade_points(grades), *others], limits)

    return follow


def passing(before: date, day: date) -> list[Select[*tuple[Any, ...]]]:
    """Whose engagement becomes less by itself after `before` and until `day`."""
    seen = (ContactActivity.replied_on, ContactActivity.visited_on, ContactActivity.viewed_on)
    ended = [
        column.between(before - timedelta(days=days), day - timedelta(days=days + 1))
        for column in seen
        for days, _ in _ENGAGED
    ]
    return [select(ContactActivity.contact_id).where(or_(*ended))]


def _grade_points(grades: Sequence[Any]) -> list[Any]:
    return [cast(func.coalesce(one, 0) * _GRADE_POINTS, SmallInteger) for one in grades]


def explain(session: Session, contact_id: int) -> TierExplained:
    """How this customer's tier was made, by the settings as they are; raises UserError."""
    row = session.get(ContactScore, contact_id, populate_existing=True)
    if row is None or row.tier is None or row.tier_score is None:
        raise UserError("这位客户还没有评级，今晚计算后就有了。")
    limits = brand.settings(session).tier
    total = sum(limits.weights.values())
    parts = []
    for (key, label), points in zip(COMPONENTS.items(), row.tier_parts, strict=True):
        weight = limits.weights[key]
        percent, share = round(weight * 100 / total, 1), round(weight * points / total, 1)
        words = f"{_said(key, label, points)}，占 {percent:g}% → {share:g} 分"
        parts.append(Part(label, weight, points, share, words))
    return TierExplained(row.tier_score, row.tier, parts)


def _said(key: str, label: str, points: int) -> str:
    if key in ("recency", "frequency", "monetary"):
        grade = points // _GRADE_POINTS
        return f"{label}评分 {grade} 级，得 {points} 分" if grade else f"{label}：从未消费，得 0 分"
    return f"{label}得 {points} 分"


def preview(
    session: Session, weights: Mapping[str, int], bounds: Mapping[str, int] | None = None
) -> dict[str, int]:
    """How many customers each tier would have with other weights; checks them, writes nothing."""
    given: dict[str, Any] = {"weights": dict(weights)} | (
        {"bounds": dict(bounds)} if bounds else {}
    )
    limits = brand.validate({"tier": given}).tier
    points = [ContactScore.tier_parts[place] for place in range(1, len(COMPONENTS) + 1)]
    tier = columns(points, limits)["tier"].label("tier")
    rated = select(tier).where(ContactScore.tier.is_not(None)).subquery()
    counts = session.execute(select(rated.c.tier, func.count()).group_by(rated.c.tier)).all()
    found = {row[0]: row[1] for row in counts}
    return {name: found.get(name, 0) for name in RANK}
