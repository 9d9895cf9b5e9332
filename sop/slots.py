"""Appointments as people read them (预约): one, a page of them, a customer's own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import and_, func, or_, select, text
from sqlalchemy.orm import Session

from bot.clock import SHANGHAI
from bot.errors import UserError
from sop.models import Appointment, AppointmentState, Intent

#: Appointments that may still lead to a visit.
LIVE = (AppointmentState.INVITED, AppointmentState.BOOKED)
STATE_WORDS: dict[AppointmentState, str] = {
    AppointmentState.INVITED: "已邀约",
    AppointmentState.BOOKED: "已约好",
    AppointmentState.ARRIVED: "已到店",
    AppointmentState.MISSED: "没有来",
    AppointmentState.CANCELLED: "已取消",
}
INTENT_WORDS: dict[Intent, str] = {
    Intent.NONE: "没有意向",
    Intent.SOME: "有意向",
    Intent.STRONG: "意向强",
}


@dataclass(frozen=True)
class Slot:
    """An appointment as people read it."""

    id: int
    contact_id: int
    contact_name: str
    guide_name: str | None
    store_name: str | None
    state: AppointmentState
    slot_at: datetime | None
    gift: str | None
    intent: Intent | None
    outcome: str | None


def live_of(session: Session, contact_id: int) -> Appointment | None:
    """The appointment that still counts for this customer: a booked one first, then the newest."""
    return session.scalars(
        select(Appointment)
        .where(Appointment.contact_id == contact_id, Appointment.state.in_(LIVE))
        .order_by(Appointment.state, Appointment.id.desc())
        .limit(1)
    ).one_or_none()


def expected_on(session: Session, contact_id: int, day: date) -> Appointment | None:
    """The appointment that a visit on `day` keeps: the one of that day, else an open invitation.

    What is booked for another day is still to come.
    """
    return session.scalars(
        select(Appointment)
        .where(
            Appointment.contact_id == contact_id,
            Appointment.state.in_(LIVE),
            or_(Appointment.slot_on.is_(None), Appointment.slot_on == day),
        )
        .order_by(Appointment.state, Appointment.id.desc())
        .limit(1)
    ).one_or_none()


def arrived_on(session: Session, contact_id: int, day: date) -> Appointment | None:
    """The appointment with which this customer came on `day`."""
    moments = span(day, day)
    return session.scalars(
        select(Appointment)
        .where(
            Appointment.contact_id == contact_id,
            Appointment.state == AppointmentState.ARRIVED,
            Appointment.arrived_at >= moments["since"],
            Appointment.arrived_at < moments["until"],
        )
        .order_by(Appointment.id.desc())
        .limit(1)
    ).one_or_none()


def of_day(session: Session, contact_id: int, day: date) -> list[Appointment]:
    """The appointments of `day`, in the order of their hours: those with which this customer came,
    else those she is expected with."""
    moments = span(day, day)
    came = and_(
        Appointment.arrived_at >= moments["since"], Appointment.arrived_at < moments["until"]
    )
    rows = session.scalars(
        select(Appointment)
        .where(
            Appointment.contact_id == contact_id,
            Appointment.state != AppointmentState.CANCELLED,
            or_(came, Appointment.slot_on == day),
        )
        .order_by(func.coalesce(Appointment.slot_at, Appointment.arrived_at), Appointment.id)
    ).all()
    arrived = [row for row in rows if row.state == AppointmentState.ARRIVED]
    return arrived or list(rows)


def last_before(session: Session, contact_id: int, day: date) -> Appointment | None:
    """The newest appointment that is past or has no time yet, first what nobody has concluded.

    What is booked for `day` or later is still to come.
    """
    was = func.coalesce(Appointment.arrived_at, Appointment.slot_at, Appointment.created_at)
    return session.scalars(
        select(Appointment)
        .where(
            Appointment.contact_id == contact_id,
            Appointment.state != AppointmentState.CANCELLED,
            or_(
                Appointment.arrived_at.is_not(None),
                Appointment.slot_on.is_(None),
                Appointment.slot_on < day,
            ),
        )
        .order_by(Appointment.outcome.is_not(None), was.desc(), Appointment.id.desc())
        .limit(1)
    ).one_or_none()


def coming(session: Session, guide_id: int, day: date, days: int = 7) -> list[Slot]:
    """Who is booked with a guide from `day` on, the next first."""
    where = """
        WHERE a.guide_id = :guide_id AND a.state = 'booked'
          AND a.slot_on BETWEEN :day AND :day + CAST(:days AS int) ORDER BY a.slot_at, a.id"""
    return _slots(session, where, {"guide_id": guide_id, "day": day, "days": days})


def one(session: Session, appointment_id: int) -> Slot:
    """One appointment; raises UserError if there is none."""
    session.flush()
    found = _slots(session, "WHERE a.id = :id", {"id": appointment_id})
    if not found:
        raise UserError("没有找到这个预约。")
    return found[0]


def page(session: Session, first: date, last: date, *, store_id: int | None = None) -> list[Slot]:
    """Invited in these days, the next to come first, then the newest; at most 200."""
    where = """
        WHERE a.created_at >= :since AND a.created_at < :until
          AND (CAST(:store_id AS bigint) IS NULL OR a.store_id = :store_id)
        ORDER BY a.state <> 'booked', CASE WHEN a.state = 'booked' THEN a.slot_at END, a.id DESC
        LIMIT 200"""
    return _slots(session, where, {**span(first, last), "store_id": store_id})


def span(first: date, last: date) -> dict[str, datetime]:
    """The moments between which the business days `first` to `last` lie."""
    begins = datetime(first.year, first.month, first.day, tzinfo=SHANGHAI)
    ends = datetime(last.year, last.month, last.day, tzinfo=SHANGHAI) + timedelta(days=1)
    return {"since": begins, "until": ends}


def _slots(session: Session, where: str, given: dict[str, Any]) -> list[Slot]:
    rows = session.execute(
        text(
            """
            SELECT a.id, a.contact_id, a.state, a.slot_at, a.gift, a.intent, a.outcome,
                   COALESCE(NULLIF(r.remark, ''), NULLIF(c.name, ''), '客户') AS contact_name,
                   g.name AS guide_name, s.name AS store_name
            FROM appointment a
            JOIN contact c ON c.id = a.contact_id
            LEFT JOIN guide g ON g.id = a.guide_id
            LEFT JOIN store s ON s.id = a.store_id
            LEFT JOIN follow_relation r
              ON r.guide_id = a.guide_id AND r.contact_id = a.contact_id
            """
            + where
        ),
        given,
    ).mappings()
    return [
        Slot(
            **dict(row)
            | {
                "state": AppointmentState(row["state"]),
                "intent": Intent(row["intent"]) if row["intent"] else None,
            }
        )
        for row in rows
    ]
