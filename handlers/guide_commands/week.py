"""A guide's own week (业绩): what she did, who came, and what was bought from her."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import ColumnElement, ScalarSelect, func, select
from sqlalchemy.orm import Session

from bot.crm.models import FollowRelation, Purchase
from sop.models import Carrier, Task, TaskState


@dataclass(frozen=True)
class Week:
    """Monday to today. Amounts are net of refunds; an order given back whole is no order."""

    since: date
    task_count: int
    done_count: int
    added_count: int
    lost_count: int
    order_count: int
    amount_fen: int


def of_guide(session: Session, guide_id: int, day: date) -> Week:
    """The week of `day` up to that day, in one statement."""
    since = day - timedelta(days=day.weekday())
    planned = (
        Task.planned_on.between(since, day)
        & (Task.guide_id == guide_id)
        & (Task.carrier == Carrier.GUIDE)
    )
    shown = Task.state.in_([TaskState.OPEN, TaskState.DONE, TaskState.SKIPPED, TaskState.EXPIRED])
    theirs = FollowRelation.guide_id == guide_id
    bought = (
        (Purchase.guide_id == guide_id)
        & Purchase.purchased_on.between(since, day)
        & (Purchase.refunded_fen < Purchase.amount_fen)
    )
    net = func.coalesce(func.sum(Purchase.amount_fen - Purchase.refunded_fen), 0)
    row = session.execute(
        select(
            _count(planned & shown),
            _count(planned & (Task.state == TaskState.DONE)),
            _count(theirs & FollowRelation.followed_on.between(since, day)),
            _count(theirs & FollowRelation.ended_on.between(since, day)),
            _count(bought),
            select(net).where(bought).scalar_subquery(),
        )
    ).one()
    return Week(since, *(int(value) for value in row))


def _count(condition: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).where(condition).scalar_subquery()
