"""When a step's day cannot be (错过怎么办): the guide's days off, working days, late, drop, move.

A guide is off on her day off or on one of her weekdays. A machine never rests; what a guide does or
confirms waits for her. `late` waits and is decided anew each night, `drop` has its one day, `move`
goes on to the first workable day within a week, never back.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Date, Integer, and_, any_, case, cast, column, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.elements import ColumnElement

from bot.crm import workdays
from bot.crm.models import Contact, FollowRelation, FollowState, Guide, GuideDayOff
from sop.models import Carrier, IfMissed, SopStep

#: How far a moved step looks for a workable day.
MOST_MOVED_DAYS = 7
_GUIDE_OFF = "导购当天休息"
_NO_WORKDAY = "当天不是工作日"


def grace(step: SopStep, catch_up_days: int) -> int:
    """How many days after its due day a step still makes sense."""
    return 0 if step.if_missed == IfMissed.DROP else catch_up_days


def due_on(row: Any) -> ColumnElement[Any]:
    """The day a moved step falls on: the first workable one from `wanted_on`, else that day.

    `row` is a table with wanted_on, guide_id (of the enrollment), contact_id, carrier, is_moved
    and workdays_only.
    """
    later = (
        func.generate_series(0, MOST_MOVED_DAYS)
        .table_valued(column("days", Integer), name="later_days")
        .render_derived()
    )
    on = cast(row.c.wanted_on + later.c.days, Date)
    stands_still = or_(_is_off(row, on), and_(row.c.workdays_only, ~workdays.workday_clause(on)))
    first = (
        select(func.min(on))
        .select_from(later)
        .where(~stands_still)
        .correlate(row)
        .scalar_subquery()
    )
    return case((row.c.is_moved, func.coalesce(first, row.c.wanted_on)), else_=row.c.wanted_on)


def why_moved(row: Any) -> ColumnElement[Any]:
    """`{"moved": {"from": day, "reason": …}}` for a task that was moved, in SQL."""
    reason = case((_is_off(row, row.c.wanted_on), _GUIDE_OFF), else_=_NO_WORKDAY)
    moved = func.jsonb_build_object("from", row.c.wanted_on, "reason", reason, type_=JSONB)
    return func.jsonb_build_object("moved", moved, type_=JSONB)


def _is_off(row: Any, on: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the guide who would do it is off; she is chosen as the caps will choose."""
    own = (
        select(FollowRelation.guide_id)
        .where(
            FollowRelation.guide_id == row.c.guide_id,
            FollowRelation.contact_id == row.c.contact_id,
            FollowRelation.state != FollowState.ENDED,
        )
        .correlate_except(FollowRelation)
        .scalar_subquery()
    )
    responsible = (
        select(Contact.guide_id)
        .where(Contact.id == row.c.contact_id)
        .correlate_except(Contact)
        .scalar_subquery()
    )
    day_off = (
        select(GuideDayOff.guide_id)
        .where(GuideDayOff.guide_id == Guide.id, GuideDayOff.day == on)
        .correlate_except(GuideDayOff)
    )
    rests = (
        select(Guide.id)
        .where(
            Guide.id == func.coalesce(own, responsible),
            or_(
                cast(func.date_part("isodow", on), Integer) == any_(Guide.rest_weekdays),
                day_off.exists(),
            ),
        )
        .correlate_except(Guide)
    )
    return and_(row.c.carrier != Carrier.MACHINE.value, rests.exists())
