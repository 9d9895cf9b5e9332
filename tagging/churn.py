"""Churn warning (流失预警): customers who may be about to leave, by their own rhythm.

The first line that holds decides; `d` is the number of days since the last purchase:

| risk    | holds when                                                            | since          |
|---------|-----------------------------------------------------------------------|----------------|
| deleted | she deleted a guide in the last 90 days and has not bought since, and | the day of it  |
|         | another guide follows her; not while DORMANT or CHURNED               |                |
| gap     | ACTIVE or LOYAL, and d > her rhythm x `gap_percent`, and more than    | the day d      |
|         | `least_days`                                                          | passed that    |
| spend   | ACTIVE or LOYAL, d > `least_days`, and she spent in a year less than  | the day it was |
|         | `spend_percent` of the year before, which was `least_spend_fen`       | first seen     |

The rhythm is the median number of days between two days on which she bought, known from the third
such day on. Who is dormant or churned is warned of no more: that is what the warning was for. A
purchase ends every warning; "spend" may come back when `least_days` have gone by without another.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Date,
    Integer,
    Select,
    String,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)

from bot.crm.brand import ChurnSettings, LifecycleSettings
from bot.crm.models import FollowRelation, FollowState, Purchase
from tagging.models import ChurnRisk, ContactScore, LifecycleStage

_YEAR = 365
_DELETION_DAYS = 90
_BY_CUSTOMER = "customer"
_LEAST_PURCHASES = 3
_ENDED = (LifecycleStage.DORMANT.value, LifecycleStage.CHURNED.value)
_BUYING = (LifecycleStage.ACTIVE.value, LifecycleStage.LOYAL.value)


def year_sums(net_fen: Any, day: date) -> list[Any]:
    """What was bought in the 365 days until `day`, and in the 365 before; for the sums per order.

    A day in the future counts to the first: its order has been reported, so it has been made.
    """
    first, second = day - timedelta(days=_YEAR), day - timedelta(days=2 * _YEAR)
    on = Purchase.purchased_on
    spans = {
        "spent_year_fen": on > first,
        "spent_year_before_fen": and_(on > second, on <= first),
    }
    return [
        func.coalesce(func.sum(net_fen).filter(within), 0).cast(BigInteger).label(name)
        for name, within in spans.items()
    ]


def rhythm(purchase_count: Any, days: Any) -> ColumnElement[Any]:
    """The median gap between the different dates in an array; NULL with fewer than two gaps."""
    bought = func.unnest(days).table_valued("bought_on", name="bought").render_derived()
    dates = select(cast(bought.c.bought_on, Date).label("on")).distinct().subquery("dates")
    gap = cast(dates.c.on - func.lag(dates.c.on).over(order_by=dates.c.on), Integer)
    gaps = select(gap.label("days")).subquery("gaps")
    median = (
        select(func.percentile_disc(0.5).within_group(gaps.c.days))
        .where(gaps.c.days.is_not(None))
        .having(func.count() >= _LEAST_PURCHASES - 1)
        .scalar_subquery()
    )
    # Only the few who bought three times need the look at their dates.
    return case((purchase_count >= _LEAST_PURCHASES, median), else_=None)


def deletions(whom: Callable[[Any], ColumnElement[bool]], day: date) -> CTE:
    """The newest day on which each customer deleted a guide, of the days that still count."""
    return (
        select(
            FollowRelation.contact_id,
            func.max(FollowRelation.ended_on).label("deleted_on"),
        )
        .where(
            FollowRelation.state == FollowState.ENDED.value,
            FollowRelation.ended_by == _BY_CUSTOMER,
            FollowRelation.ended_on >= day - timedelta(days=_DELETION_DAYS),
            whom(FollowRelation.contact_id),
        )
        .group_by(FollowRelation.contact_id)
        .cte("deletions")
    )


def warning(known: Any, day: date, limits: ChurnSettings) -> dict[str, ColumnElement[Any]]:
    """`at_risk_since` and `risk` as of `day`, in SQL.

    `known` has the totals, `stage`, `deleted_on` and `is_followed`. The since-day of `spend` is
    `day`: who had that warning before keeps her own.
    """
    last, today = known.c.last_purchased_on, literal(day)
    days_since = cast(today - last, Integer)
    pause = _pause(known.c.rhythm_days, limits)
    is_buying = known.c.stage.in_(_BUYING)
    lines: list[tuple[ColumnElement[bool], ChurnRisk, Any]] = [
        (
            and_(
                known.c.is_followed,
                known.c.stage.not_in(_ENDED),
                known.c.deleted_on.is_not(None),
                or_(last.is_(None), last <= known.c.deleted_on),
            ),
            ChurnRisk.DELETED,
            known.c.deleted_on,
        ),
        (
            and_(is_buying, known.c.rhythm_days.is_not(None), days_since > pause),
            ChurnRisk.GAP,
            last + pause + 1,
        ),
        (
            and_(
                is_buying,
                last < day - timedelta(days=limits.least_days),
                known.c.spent_year_before_fen >= limits.least_spend_fen,
                known.c.spent_year_fen * 100 < known.c.spent_year_before_fen * limits.spend_percent,
            ),
            ChurnRisk.SPEND,
            today,
        ),
    ]
    return {
        "at_risk_since": case(*((holds, since) for holds, _, since in lines)).cast(Date),
        "risk": case(*((holds, literal(risk.value, String)) for holds, risk, _ in lines)),
    }


def passing(
    before: date, day: date, limits: ChurnSettings, stages: LifecycleSettings
) -> list[Select[*tuple[Any, ...]]]:
    """Whose warning or yearly sum changes by itself after `before` and until `day`."""

    def over(days: int) -> tuple[date, date]:
        # More than `days` days back is true on `day` for the first time from the day after.
        return before - timedelta(days=days), day - timedelta(days=days + 1)

    last, pause = ContactScore.last_purchased_on, _pause(ContactScore.rhythm_days, limits)
    row = ContactScore.contact_id
    return [
        select(FollowRelation.contact_id).where(
            FollowRelation.state == FollowState.ENDED.value,
            FollowRelation.ended_by == _BY_CUSTOMER,
            FollowRelation.ended_on.between(*over(_DELETION_DAYS)),
        ),
        select(row).where(
            ContactScore.rhythm_days.is_not(None),
            # Beyond these she has no warning, or has another stage by now.
            last.between(before - timedelta(days=stages.dormant_days), day),
            (last + pause + 1).cast(Date).between(before + timedelta(days=1), day),
        ),
        select(row).where(
            last.between(*over(limits.least_days)),
            ContactScore.spent_year_before_fen + ContactScore.spent_year_fen
            >= limits.least_spend_fen,
        ),
        # On the 365th day an order leaves its year.
        select(Purchase.contact_id).where(
            or_(*(Purchase.purchased_on.between(*over(years * _YEAR - 1)) for years in (1, 2)))
        ),
    ]


def _pause(rhythm_days: Any, limits: ChurnSettings) -> ColumnElement[Any]:
    """How many days without a purchase are still in order for her."""
    return func.greatest(rhythm_days * limits.gap_percent // 100, limits.least_days, type_=Integer)
