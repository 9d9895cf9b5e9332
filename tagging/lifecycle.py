"""Lifecycle stage of every contact (生命周期阶段), as of a business day.

`d` is the number of days since the last purchase, `f` the days since the guide was added, `n` the
number of purchases; the four numbers are the brand's (defaults 180, 365, 730, 3). The first line
that holds decides:

| stage   | holds when                                                        | since              |
|---------|-------------------------------------------------------------------|--------------------|
| CHURNED | once followed, and nobody follows any more                        | day the last left  |
| NEW     | n = 0 and (f <= active_days, or never followed)                   | day added          |
| DORMANT | n = 0 and active_days < f <= churned_days                         | day f passed       |
| CHURNED | n = 0 and f > churned_days                                        | day f passed       |
| CHURNED | d > churned_days                                                  | day d passed       |
| DORMANT | d > dormant_days                                                  | day d passed       |
| LOYAL   | n >= loyal_purchases                                              | last purchase      |
| ACTIVE  | all others                                                        | last purchase      |

So interest alone lasts `active_days`, a purchase lasts `dormant_days`. A person known only from the
till who never had a guide is not "left by everybody": purchases alone decide.

`stage_since_on` is the day the facts made it so, never later than the day of the run, and is
written only when the stage changes. A first import of three years, or a changed setting, therefore
does not look as if everybody had fallen asleep today.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Date,
    Select,
    String,
    and_,
    case,
    func,
    literal,
    or_,
    select,
)

from bot.crm.brand import LifecycleSettings
from bot.crm.models import Contact, FollowRelation, FollowState
from tagging.models import ContactScore, LifecycleStage


def stage_of(totals: Any, day: date, limits: LifecycleSettings) -> tuple[Any, Any]:
    """Stage and since-day as of `day`, in SQL, of the rows of `totals` joined with their Contact.

    `totals` has `purchase_count` and `last_purchased_on`. The since-day may lie after `day`.
    """
    left_on = _left_on()
    last, followed = totals.c.last_purchased_on, Contact.followed_on
    since = {
        days: literal(day - timedelta(days=days))
        for days in (limits.active_days, limits.dormant_days, limits.churned_days)
    }
    never = totals.c.purchase_count == 0
    added_on = func.coalesce(followed, _shanghai_day(Contact.created_at))
    lines: list[tuple[ColumnElement[bool], LifecycleStage, ColumnElement[Any]]] = [
        (left_on.is_not(None), LifecycleStage.CHURNED, left_on),
        (
            never & (followed.is_(None) | (followed >= since[limits.active_days])),
            LifecycleStage.NEW,
            added_on,
        ),
        (
            never & (followed >= since[limits.churned_days]),
            LifecycleStage.DORMANT,
            followed + limits.active_days + 1,
        ),
        (never, LifecycleStage.CHURNED, followed + limits.churned_days + 1),
        (
            last < since[limits.churned_days],
            LifecycleStage.CHURNED,
            last + limits.churned_days + 1,
        ),
        (
            last < since[limits.dormant_days],
            LifecycleStage.DORMANT,
            last + limits.dormant_days + 1,
        ),
        (
            totals.c.purchase_count >= limits.loyal_purchases,
            LifecycleStage.LOYAL,
            last,
        ),
    ]
    stage = case(
        *((holds, literal(stage.value, String)) for holds, stage, _ in lines),
        else_=literal(LifecycleStage.ACTIVE.value, String),
    )
    since_on = case(*((holds, on) for holds, _, on in lines), else_=last)
    return stage, since_on.cast(Date)


def passing(before: date, day: date, limits: LifecycleSettings) -> list[Select[*tuple[Any, ...]]]:
    """Whose stage changes by itself after `before` and until `day`, as ranges of two indexes.

    Days without a purchase, and days with a guide for those who never bought; contacts whose facts
    have changed since are not among them.
    """

    def ended(column: Any, days: int) -> ColumnElement[bool]:
        # More than `days` days old is true on `day` for the first time from the day after.
        last = day - timedelta(days=days + 1)
        return column.between(before - timedelta(days=days), last)  # type: ignore[no-any-return]

    last, followed = ContactScore.last_purchased_on, Contact.followed_on
    bought = [ended(last, days) for days in (limits.dormant_days, limits.churned_days)]
    waited = [ended(followed, days) for days in (limits.active_days, limits.churned_days)]
    return [
        select(ContactScore.contact_id).where(or_(*bought)),
        select(Contact.id)
        .join(ContactScore, ContactScore.contact_id == Contact.id)
        .where(Contact.guide_id.is_not(None), or_(*waited), ContactScore.purchase_count == 0),
    ]


def _left_on() -> ColumnElement[Any]:
    """The day the last guide went; NULL while somebody follows, or if nobody ever did."""
    ended = (
        select(func.max(FollowRelation.ended_on))
        .where(FollowRelation.contact_id == Contact.id)
        .having(func.bool_and(FollowRelation.state == FollowState.ENDED.value))
        .correlate(Contact)
        .scalar_subquery()
    )
    # Only the few whom nobody follows need the look at their relations.
    return case((and_(Contact.guide_id.is_(None)), ended), else_=None)


def _shanghai_day(moment: Any) -> ColumnElement[Any]:
    return func.date(func.timezone("Asia/Shanghai", moment))
