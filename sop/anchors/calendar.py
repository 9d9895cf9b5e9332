"""Day 0 from the calendar (日历): festivals, one given date, and every so often.

Each of these says its days alone too, for moments and group messages have no customer.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date

from sqlalchemy import Date, cast, func, literal, select
from sqlalchemy.orm import Session

from bot.crm.models import Contact, FestivalDay
from bot.crm.yearly import days_between
from sop.anchors.rows import Anchors, Params, anchors, array, on

WEEKDAYS = "一二三四五六日"


def festival(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the festival, for every contact somebody follows."""
    held_on = FestivalDay.held_on
    fact = literal(f"{params['name']} ") + on(held_on, "")
    return (
        anchors(Contact.id, held_on, fact)
        .join_from(FestivalDay, Contact, Contact.guide_id.is_not(None))
        .where(FestivalDay.name == params["name"], held_on.between(first, last))
    )


def festival_days(session: Session, first: date, last: date, params: Params) -> list[date]:
    """The days of the festival in the window."""
    held_on = FestivalDay.held_on
    query = (
        select(held_on)
        .where(FestivalDay.name == params["name"], held_on.between(first, last))
        .order_by(held_on)
    )
    return list(session.scalars(query))


def fixed_date(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is one given date, for every contact somebody follows."""
    day = date.fromisoformat(params["on"])
    kept_on = cast(literal(day), Date)
    return anchors(Contact.id, kept_on, on(kept_on, "")).where(
        Contact.guide_id.is_not(None), kept_on.between(first, last)
    )


def fixed_date_days(session: Session, first: date, last: date, params: Params) -> list[date]:
    """The date itself, if the window holds it."""
    day = date.fromisoformat(params["on"])
    return [day] if first <= day <= last else []


def every(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is each day of the rhythm, for every contact somebody follows."""
    table = (
        func.unnest(array(_rhythm(first, last, params), Date()))
        .table_valued("kept_on", name="rhythm")
        .render_derived()
    )
    kept_on = cast(table.c.kept_on, Date)
    return anchors(Contact.id, kept_on, on(kept_on, "")).join_from(
        table, Contact, Contact.guide_id.is_not(None)
    )


def every_days(session: Session, first: date, last: date, params: Params) -> list[date]:
    """The days of the rhythm in the window."""
    return _rhythm(first, last, params)


def _rhythm(first: date, last: date, params: Params) -> list[date]:
    begins, ends = (
        date.fromisoformat(params[key]) if params.get(key) else None for key in ("from", "until")
    )
    first = first if begins is None else max(first, begins)
    last = last if ends is None else min(last, ends)
    return [day for day in days_between(first, last) if _is_in(day, params)]


def _is_in(day: date, params: Params) -> bool:
    if params["each"] == "week":
        return day.isoweekday() == int(params["weekday"])
    if params["each"] == "month":
        # The 31st of a month that has none is its last day.
        length = monthrange(day.year, day.month)[1]
        return day.day == min(int(params["month_day"]), length)
    return True
