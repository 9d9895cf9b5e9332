"""Appointments (预约): a customer is invited, names a time, comes or does not, and maybe buys.

invited → booked → arrived | missed | cancelled. An invitation is the row of a task of kind
`invite`; a guide may also book for a customer whom nobody invited.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import exists, select, text
from sqlalchemy.orm import Session

from bot.clock import SHANGHAI, business_day
from bot.crm import changes, timeline, visits
from bot.crm.models import Contact, Store, Visit
from bot.errors import UserError
from content_library import facts, words
from sop import leads, slots, writing
from sop.models import Appointment, AppointmentState, Intent
from sop.slots import LIVE, STATE_WORDS, Slot

_FURTHEST = timedelta(days=90)
#: So many days after she was asked a visit is the answer; then nothing more is waited for.
_ANSWER_DAYS = 30
_NOTE_LENGTH = 200
_INVITE = """
    INSERT INTO appointment
        (contact_id, guide_id, store_id, task_id, sop_id, state, gift, created_at, updated_at)
    SELECT t.contact_id, t.guide_id, t.store_id, t.id, e.sop_id, 'invited', s.gift, :now, :now
    FROM task t
    JOIN sop_step s ON s.id = t.step_id
    JOIN enrollment e ON e.id = t.enrollment_id
    WHERE t.planned_on = :day AND t.state = 'open' AND t.kind = 'invite' {only}
    ORDER BY t.id
    ON CONFLICT (task_id) DO NOTHING
"""
# Nobody was asked in the end.
_UNINVITE = text(
    """
    UPDATE appointment a SET state = 'cancelled', outcome = '没有邀约', updated_at = now()
    FROM task t
    WHERE t.id = a.task_id AND a.state = 'invited'
      AND (t.state IN ('skipped', 'expired', 'withdrawn') OR t.kind <> 'invite')
    """
)
_UNANSWERED = text(
    """
    UPDATE appointment SET state = 'cancelled', outcome = '没有回应', updated_at = now()
    WHERE state = 'invited' AND created_at < :asked_before
    """
)
# A till may tell of a visit days later, when she already counts as one who did not come. Who was
# asked and named no time has come when she comes; one visit answers one invitation.
_CAME = """
    WITH kept AS (
        SELECT a.id, a.contact_id, a.guide_id, v.id AS visit_id, v.visited_at
        FROM appointment a
        JOIN visit v ON v.contact_id = a.contact_id AND v.visited_on = a.slot_on
         AND v.store_id = a.store_id AND v.kind <> '线上'
        WHERE (a.state = 'booked' OR a.state = 'missed' AND a.slot_on >= CAST(:day AS date) - 7)
          AND a.slot_on <= :day {only}
    ),
    answered AS (
        SELECT DISTINCT ON (v.id) a.id, a.contact_id, a.guide_id, v.id AS visit_id, v.visited_at
        FROM appointment a
        JOIN visit v ON v.contact_id = a.contact_id AND v.store_id = a.store_id
         AND v.kind <> '线上' AND v.appointment_id IS NULL
         AND v.visited_at >= a.created_at AND v.visited_on <= :day
        WHERE a.state = 'invited' {only}
          AND v.id NOT IN (SELECT visit_id FROM kept)
          AND NOT EXISTS (
              SELECT FROM appointment o
              WHERE o.contact_id = a.contact_id AND o.state = 'arrived'
                AND CAST(timezone('Asia/Shanghai', o.arrived_at) AS date) = v.visited_on)
        ORDER BY v.id, a.id DESC
    ),
    came AS (
        SELECT DISTINCT ON (id) * FROM (SELECT * FROM kept UNION ALL SELECT * FROM answered) AS m
        ORDER BY id, visited_at, visit_id
    ),
    noted AS (
        UPDATE visit v SET appointment_id = came.id FROM came
        WHERE v.id = came.visit_id AND v.appointment_id IS NULL
    ),
    changed AS (
        UPDATE appointment a
        SET state = 'arrived', arrived_at = came.visited_at, updated_at = now()
        FROM came WHERE a.id = came.id
        RETURNING a.id, a.contact_id, a.guide_id, a.arrived_at
    ),
    untold AS (
        DELETE FROM timeline_entry AS e USING changed
        WHERE e.dedupe_key = 'appointment:' || changed.id || '\\:missed'
    )
    INSERT INTO timeline_entry (contact_id, guide_id, kind, occurred_at, text, dedupe_key)
    SELECT contact_id, guide_id, 'appointment', arrived_at, '如约到店',
           'appointment:' || id || '\\:arrived'
    FROM changed ON CONFLICT (dedupe_key) DO NOTHING
"""
_MISSED = text(
    """
    WITH changed AS (
        UPDATE appointment a SET state = 'missed', updated_at = now()
        WHERE a.state = 'booked' AND a.slot_on < :day
        RETURNING a.id, a.contact_id, a.guide_id, a.slot_at
    )
    INSERT INTO timeline_entry (contact_id, guide_id, kind, occurred_at, text, dedupe_key)
    SELECT contact_id, guide_id, 'appointment', slot_at, '约好了没有来',
           'appointment:' || id || '\\:missed'
    FROM changed ON CONFLICT (dedupe_key) DO NOTHING
    """
)


def invite_for_open(
    session: Session, day: date, now: datetime, contact_ids: Sequence[int] | None = None
) -> int:
    """An invitation for each task of `day` that invites; returns how many are new."""
    only = "" if contact_ids is None else "AND t.contact_id = ANY(:contacts)"
    given: dict[str, Any] = {"day": day, "now": now}
    if contact_ids is not None:
        given["contacts"] = list(contact_ids)
    return writing.rows(session, text(_INVITE.format(only=only)), given)


def settle(session: Session, day: date) -> int:
    """Who came has arrived, who did not come by yesterday has not, who did not answer for a month
    will not; returns how many changed."""
    asked_before = slots.span(day, day)["since"] - timedelta(days=_ANSWER_DAYS)
    return (
        writing.rows(session, _UNINVITE)
        + arrive_by_visits(session, day)
        + writing.rows(session, _MISSED, {"day": day})
        + writing.rows(session, _UNANSWERED, {"asked_before": asked_before})
    )


def arrive_by_visits(session: Session, day: date, contact_ids: Sequence[int] | None = None) -> int:
    """Whoever was expected and of whom a till told has arrived; returns how many."""
    only = "" if contact_ids is None else "AND a.contact_id = ANY(:contacts)"
    given: dict[str, Any] = {"day": day}
    if contact_ids is not None:
        given["contacts"] = list(contact_ids)
    return writing.rows(session, text(_CAME.format(only=only)), given)


def by_hand(
    session: Session, contact_id: int, guide_id: int, store_id: int | None, now: datetime
) -> Appointment:
    """The customer's live appointment, or a new invitation that no task made."""
    # The customer's row is locked, so that two requests at once make one.
    session.execute(select(Contact.id).where(Contact.id == contact_id).with_for_update())
    found = slots.live_of(session, contact_id)
    if found is None:
        found = Appointment(
            contact_id=contact_id,
            guide_id=guide_id,
            store_id=store_id,
            state=AppointmentState.INVITED.value,
            created_at=now,
            updated_at=now,
        )
        session.add(found)
        session.flush()
    return found


def book(
    session: Session,
    appointment_id: int,
    *,
    slot_at: datetime,
    store_id: int | None,
    by: str,
    now: datetime,
) -> Slot:
    """Fix a time, or another one; `by` is who says so (`guide:…`, `operator:…`)."""
    row = _own(session, appointment_id, LIVE)
    store = session.get(Store, store_id) if store_id is not None else None
    if store is None:
        raise UserError("没有这家门店，约不了时间。", field="store")
    _check_slot(store, slot_at, now)
    slot_on = business_day(slot_at)
    twice = exists().where(
        Appointment.contact_id == row.contact_id,
        Appointment.slot_on == slot_on,
        Appointment.state == AppointmentState.BOOKED,
        Appointment.id != row.id,
    )
    if session.scalar(select(twice)):
        raise UserError(f"这位客户 {slot_on.month}月{slot_on.day}日 已经有预约了。", field="slot")
    if (row.state, row.slot_at, row.store_id) != (AppointmentState.BOOKED, slot_at, store.id):
        row.state, row.slot_at, row.slot_on = AppointmentState.BOOKED.value, slot_at, slot_on
        row.store_id, row.updated_at = store.id, now
        key = f"booked:{int(slot_at.timestamp())}"
        _tell(session, row, f"预约 {facts.spoken_moment(slot_at)} 到 {store.name}", now, key, by)
        changes.mark(session, [row.contact_id])
    return slots.one(session, row.id)


def cancel(session: Session, appointment_id: int, reason: str, *, by: str, now: datetime) -> Slot:
    """The customer will not come, and says so in time."""
    row = _own(session, appointment_id, (*LIVE, AppointmentState.CANCELLED))
    if row.state != AppointmentState.CANCELLED:
        row.state, row.outcome = AppointmentState.CANCELLED.value, _clean(reason)
        row.updated_at = now
        _tell(session, row, "取消了预约", now, "cancelled", by)
        changes.mark(session, [row.contact_id])
    return slots.one(session, row.id)


def arrive(session: Session, appointment_id: int, *, at: datetime, by: str) -> Slot:
    """The customer is here; a visit is written for her if the till told of none that day."""
    allowed = (*LIVE, AppointmentState.MISSED, AppointmentState.ARRIVED)
    row = _own(session, appointment_id, allowed)
    if row.state != AppointmentState.ARRIVED:
        row.state, row.arrived_at, row.updated_at = AppointmentState.ARRIVED.value, at, at
        come(session, row.contact_id, row.store_id, at=at, appointment_id=row.id)
        _tell(session, row, "到店了", at, "arrived", by)
        # Also where the till told of the visit before: what the time was booked for is over.
        changes.mark(session, [row.contact_id])
    return slots.one(session, row.id)


def come(
    session: Session,
    contact_id: int,
    store_id: int | None,
    *,
    at: datetime,
    appointment_id: int | None = None,
) -> bool:
    """A guide saw the customer in the store; False if a visit of that day is known already."""
    day = business_day(at)
    store = session.get(Store, store_id) if store_id is not None else None
    # Locked, so that two guides who say so at once write one visit.
    session.execute(select(Contact.id).where(Contact.id == contact_id).with_for_update())
    same_place = Visit.store_id == store.id if store else Visit.store_id.is_(None)
    known = exists().where(
        Visit.contact_id == contact_id,
        Visit.visited_on == day,
        Visit.kind != "线上",
        same_place,
    )
    if session.scalar(select(known)):
        return False
    visits.mark(session, contact_id, store, at=at, appointment_id=appointment_id)
    return True


def say_intent(
    session: Session,
    appointment_id: int,
    intent: Intent,
    *,
    now: datetime,
    seen_by: int | None = None,
) -> Slot:
    """How much she wants to buy, as the guide `seen_by` saw it; a strong wish is a lead."""
    row = _own(session, appointment_id, (AppointmentState.ARRIVED,))
    if row.intent != intent:
        row.intent, row.updated_at = intent.value, now
        session.flush()
        if intent == Intent.STRONG:
            key = f"appointment:{row.id}:strong"
            leads.raise_strong(session, row.contact_id, now, dedupe_key=key, heard_by=seen_by)
    return slots.one(session, row.id)


def say_outcome(session: Session, appointment_id: int, said: str, *, now: datetime) -> Slot:
    """What came of it, in a few words."""
    row = _own(session, appointment_id, tuple(AppointmentState))
    row.outcome, row.updated_at = _clean(said), now
    return slots.one(session, row.id)


def say_visit_outcome(
    session: Session, contact_id: int, guide_id: int, said: str, *, now: datetime
) -> bool:
    """What came of a visit of today that nobody had booked; False: she was not here today.

    It stands in her story; told again it is corrected there.
    """
    day = business_day(now)
    walked_in = exists().where(
        Visit.contact_id == contact_id,
        Visit.visited_on == day,
        Visit.kind != "线上",
        Visit.appointment_id.is_(None),
    )
    if not session.scalar(select(walked_in)):
        return False
    timeline.record(
        session,
        contact_id,
        "appointment",
        f"到店结果：{_clean(said) or ''}",
        now,
        guide_id=guide_id,
        dedupe_key=f"visit:{contact_id}:{day}:outcome",
    )
    return True


def _check_slot(store: Store, slot_at: datetime, now: datetime) -> None:
    if slot_at <= now:
        raise UserError("预约要选现在以后的时间。", field="slot")
    if slot_at - now > _FURTHEST:
        raise UserError(f"最多约到 {_FURTHEST.days} 天以内。", field="slot")
    opens, closes = store.opens_at, store.closes_at
    if opens is None or closes is None or closes <= opens:
        return
    if not opens <= slot_at.astimezone(SHANGHAI).time() < closes:
        hours = f"{opens:%H:%M}-{closes:%H:%M}"
        raise UserError(f"{store.name}的营业时间是 {hours}，请换个时间。", field="slot")


def _own(session: Session, appointment_id: int, allowed: Sequence[AppointmentState]) -> Appointment:
    row = session.scalars(
        select(Appointment)
        .where(Appointment.id == appointment_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise UserError("没有找到这个预约。")
    if row.state not in allowed:
        raise UserError(f"这个预约{STATE_WORDS[AppointmentState(row.state)]}，不能再改。")
    return row


def _tell(session: Session, row: Appointment, line: str, at: datetime, key: str, by: str) -> None:
    timeline.record(
        session,
        row.contact_id,
        "appointment",
        line,
        at,
        guide_id=row.guide_id,
        detail={"appointment_id": row.id, "by": by},
        dedupe_key=f"appointment:{row.id}:{key}",
    )


def _clean(said: str) -> str | None:
    return words.plain(said, _NOTE_LENGTH) or None
