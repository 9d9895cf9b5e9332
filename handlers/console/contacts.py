"""Room: customers (客户): find one, and read her profile. Every look is written down."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm import opt_outs, timeline
from bot.crm.models import Contact
from bot.db import transaction
from bot.errors import UserError
from handlers import standing_lines
from handlers.console import audit, contact_profile, contact_search, days, guard
from handlers.web import the_bot
from sop import explain
from tagging import tier

bp = Blueprint("contacts", __name__, url_prefix="/contacts")

_STORY_LENGTH = 50


@bp.get("/")
def page() -> Any:
    """The search, or who came last."""
    bot = the_bot()
    query = contact_search.clean(request.args.get("q", ""))
    with transaction(bot.sessions) as session:
        if query:
            found = contact_search.search(session, query, bot.settings.secret_key)
        else:
            found = contact_search.newest(session)
    return render_template("console/contacts.html", rows=found, query=query)


@bp.get("/<int:contact_id>")
def one(contact_id: int) -> Any:
    """One customer's profile; who looked is in the audit log in the same transaction."""
    bot = the_bot()
    now = bot.clock.now()
    day = business_day(now)
    with transaction(bot.sessions) as session:
        found = contact_profile.profile(session, contact_id, bot.settings.secret_key)
        if found is None:
            abort(404)
        audit.note(session, "contact.view", f"contact:{contact_id}", now)
        told = explain.explain(session, contact_id, day)
        return render_template(
            "console/contact.html",
            person=found,
            tags=contact_profile.tags(session, contact_id),
            purchases=contact_profile.purchases(session, contact_id),
            tasks=contact_profile.tasks(session, contact_id, day),
            relations=contact_profile.relations(session, contact_id),
            story=timeline.read(session, contact_id, _STORY_LENGTH),
            today=told.tasks,
            absences=told.absences,
            standing=standing_lines.read(session, contact_id, day),
            refused=[one.channel for one in opt_outs.of(session, contact_id)],
            channels=opt_outs.LABELS,
        )


@bp.get("/<int:contact_id>/explain")
def why(contact_id: int) -> Any:
    """Why she has, or has not, something to hear of on a day; `day` stays in the address."""
    bot = the_bot()
    now = bot.clock.now()
    today = business_day(now)
    day = days.read(request.args.get("day"), today)
    with transaction(bot.sessions) as session:
        found = session.get(Contact, contact_id)
        if found is None or found.merged_into_id is not None:
            abort(404)
        audit.note(session, "contact.explain", f"contact:{contact_id}", now, day=day.isoformat())
        told = explain.explain(session, contact_id, day, today=today)
        return render_template(
            "console/explain.html",
            told=told,
            states=contact_profile.STATE_WORDS,
            today=today,
            before=day - timedelta(days=1),
            after=day + timedelta(days=1),
            tier=_tier(session, contact_id),
        )


@bp.post("/<int:contact_id>/refusals")
def refusals(contact_id: int) -> Any:
    """HQ writes down what the customer wants no more, or wants again; the audit log keeps who."""
    bot = the_bot()
    channel, is_out = request.form.get("channel", ""), request.form.get("is_out") != "0"
    if channel not in opt_outs.LABELS:
        abort(400)
    with transaction(bot.sessions) as session:
        found = session.get(Contact, contact_id)
        if found is None or found.merged_into_id is not None:
            abort(404)
        say = opt_outs.refuse if is_out else opt_outs.allow
        actor = guard.who().actor
        say(session, contact_id, channel, source="console", at=bot.clock.now(), actor=actor)
    return redirect(url_for("console.contacts.one", contact_id=contact_id))


def _tier(session: Session, contact_id: int) -> tier.TierExplained | None:
    """How her tier was made; None for a customer who has none yet."""
    try:
        return tier.explain(session, contact_id)
    except UserError:
        return None
