"""Room: invitations (邀约): the funnel of some days, and each appointment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from bot.clock import business_day
from bot.db import transaction
from bot.errors import UserError
from handlers.console import audit, days, filters, guard
from handlers.web import the_bot
from sop import appointments, slots
from sop.funnel import funnel

bp = Blueprint("appointments", __name__, url_prefix="/appointments")

#: The tabs: how many days back they look.
_SPANS = {7: "近 7 天", 30: "近 30 天", 90: "近 90 天"}


@bp.get("/")
def page() -> Any:
    """Who was invited lately, and how far they came; the span stays in the address."""
    today = business_day(the_bot().clock.now())
    span = request.args.get("days", 30, type=int)
    span = span if span in _SPANS else 30
    last = days.read(request.args.get("until"), today)
    first = last - timedelta(days=span - 1)
    with transaction(the_bot().sessions) as session:
        chosen = filters.read(session)
        of = {"store_id": chosen.store_id, "sop_id": chosen.sop_id}
        return render_template(
            "console/appointments.html",
            funnel=funnel(session, first, last, **of),
            rows=slots.page(session, first, last, **of),
            filters=chosen,
            kept=_kept(),
            span=span,
            spans=_SPANS,
            states=slots.STATE_WORDS,
            intents=slots.INTENT_WORDS,
            live=slots.LIVE,
        )


def _kept() -> dict[str, Any]:
    """What the list is filtered by: whoever says something of one line comes back to the same."""
    return {
        name: value
        for name in ("days", "until", "store", "sop")
        if (value := request.args.get(name))
    }


@bp.post("/<int:appointment_id>/arrived")
def arrived(appointment_id: int) -> Any:
    """The customer is in the store."""
    bot = the_bot()
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        appointments.arrive(session, appointment_id, at=now, by=guard.who().actor)
        audit.note(session, "appointment.arrived", f"appointment:{appointment_id}", now)
    return redirect(url_for("console.appointments.page", **_kept()))


@bp.post("/<int:appointment_id>/cancelled")
def cancelled(appointment_id: int) -> Any:
    """The customer will not come."""
    bot = the_bot()
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        reason = request.form.get("reason", "")
        appointments.cancel(session, appointment_id, reason, by=guard.who().actor, now=now)
        audit.note(session, "appointment.cancelled", f"appointment:{appointment_id}", now)
    return redirect(url_for("console.appointments.page", **_kept()))


@bp.post("/<int:appointment_id>/outcome")
def outcome(appointment_id: int) -> Any:
    """What came of it."""
    bot = the_bot()
    now = bot.clock.now()
    said = request.form.get("outcome", "").strip()
    if not said:
        raise UserError("请写上结果，例如「成交」。", field="outcome")
    with transaction(bot.sessions) as session:
        appointments.say_outcome(session, appointment_id, said, now=now)
        audit.note(session, "appointment.outcome", f"appointment:{appointment_id}", now)
    return redirect(url_for("console.appointments.page", **_kept()))
