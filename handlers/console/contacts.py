"""Room: customers (客户): find one, and read her profile. Every look is written down."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, render_template, request

from bot.clock import business_day
from bot.crm import timeline
from bot.db import transaction
from handlers.console import audit, contact_profile, contact_search
from handlers.web import the_bot
from sop import explain

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
        )
