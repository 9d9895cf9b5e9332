"""Day 0 from leads and appointments (线索与预约)."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Text, func, literal, select
from sqlalchemy.sql.elements import ColumnElement

from sop.anchors.rows import Anchors, Params, anchors, on
from sop.models import LIVE_LEADS, Appointment, AppointmentState, Lead, LeadSignal


def lead_raised(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the day a lead came up that is still alive; the task goes to whoever has it."""
    found = anchors(
        Lead.contact_id,
        Lead.raised_on,
        on(Lead.raised_on, " 有新线索").op("||")(_signal()),
        guide_id=Lead.guide_id,
        at=Lead.raised_at,
    ).where(Lead.state.in_(LIVE_LEADS), Lead.raised_on.between(first, last))
    if params.get("behavior"):
        seen = select(LeadSignal.id).where(
            LeadSignal.lead_id == Lead.id, LeadSignal.behavior == params["behavior"]
        )
        found = found.where(seen.exists())
    if params.get("hot"):
        found = found.where(Lead.is_hot)
    return found


def appointment(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the day for which the contact is booked."""
    booked = Appointment
    clock = func.to_char(func.timezone("Asia/Shanghai", booked.slot_at), "HH24:MI")
    return anchors(
        booked.contact_id,
        booked.slot_on,
        on(booked.slot_on, " ").op("||")(clock).op("||")(literal(" 预约到店", Text)),
        guide_id=booked.guide_id,
    ).where(booked.state == AppointmentState.BOOKED, booked.slot_on.between(first, last))


def _signal() -> ColumnElement[Any]:
    """ "：" and the newest signal in words, or nothing."""
    newest = (
        select(literal("：", Text).op("||")(LeadSignal.text))
        .where(LeadSignal.lead_id == Lead.id)
        .order_by(LeadSignal.seen_at.desc(), LeadSignal.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return func.coalesce(newest, literal("", Text))
