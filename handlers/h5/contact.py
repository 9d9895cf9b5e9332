"""One customer's page (客户资料)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, render_template

from bot.clock import business_day
from handlers import standing_lines
from handlers.h5 import guard, profile, task_cards
from handlers.web import the_bot
from sop import tasks

bp = Blueprint("contact", __name__)


@bp.get("/contact/<int:contact_id>")
def page(contact_id: int) -> Any:
    """Who she is, what she bought, what happened, and what is to do; a foreign id is not found."""
    bot, viewer = the_bot(), guard.viewer()
    now = bot.clock.now()
    day = business_day(now)
    with bot.sessions() as session:
        found = profile.read(session, viewer, contact_id, bot.settings.secret_key)
        if found is None:
            abort(404)
        guide_id = found.relation.guide_id
        views = tasks.of_contact(session, guide_id, contact_id, day)
        return render_template(
            "h5/contact.html",
            tab="h5.contacts.page",
            contact=found,
            standing=standing_lines.read(session, contact_id, day),
            cards=task_cards.dress(session, guide_id, views, day, now),
            # A manager reads her guides' tasks; only the guide herself can say what she did.
            may_act=guide_id == viewer.id,
            is_today=True,
        )
