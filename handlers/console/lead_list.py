"""Room: leads (线索): who may buy, who has them, and what became of them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from bot.db import transaction
from handlers import lead_alerts
from handlers.console import audit, guard, guides
from handlers.lead_words import ASSIGNED_WORDS, STATE_WORDS
from handlers.web import the_bot
from sop import lead_assignment, lead_views, leads
from sop.models import LIVE_LEADS, LeadState

bp = Blueprint("leads", __name__, url_prefix="/leads")

_PAGE_SIZE = 50
#: The tabs: their key in the address, their words, and the states they show.
_TABS: dict[str, tuple[str, tuple[LeadState, ...]]] = {
    "live": ("跟进中", LIVE_LEADS),
    "won": ("已成交", (LeadState.WON,)),
    "lost": ("没有成", (LeadState.LOST, LeadState.EXPIRED)),
}


@bp.get("/")
def page() -> Any:
    """One tab of the list, the newest first; tab and place stay in the address."""
    tab = request.args.get("tab", "live")
    tab = tab if tab in _TABS else "live"
    before = request.args.get("before", type=int)
    if before is not None and not 0 < before < 2**63:
        before = None
    with transaction(the_bot().sessions) as session:
        found = lead_views.page(session, states=_TABS[tab][1], before=before, limit=_PAGE_SIZE + 1)
        takers = guides.listed(session) if tab == "live" and guard.who().may_write else []
    return render_template(
        "console/leads.html",
        rows=found[:_PAGE_SIZE],
        next=found[_PAGE_SIZE - 1].id if len(found) > _PAGE_SIZE else None,
        tab=tab,
        tabs={key: words for key, (words, _) in _TABS.items()},
        states=STATE_WORDS,
        ways=ASSIGNED_WORDS,
        is_first=before is None,
        takers=takers,
    )


@bp.post("/<int:lead_id>/touched")
def touched(lead_id: int) -> Any:
    """Somebody at HQ knows that the customer was spoken to."""
    bot = the_bot()
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        leads.touch(session, lead_id, now)
        audit.note(session, "lead.touched", f"lead:{lead_id}", now)
    return redirect(url_for("console.leads.page"))


@bp.post("/<int:lead_id>/given")
def given(lead_id: int) -> Any:
    """HQ gives it to another guide, who hears of it at once."""
    bot = the_bot()
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        guide = guides.named(session, request.form.get("guide", ""))
        lead_assignment.give(session, lead_id, guide.id, now)
        audit.note(session, "lead.given", f"lead:{lead_id}", now, guide=guide.userid)
        lead_alerts.tell_now(session, bot.settings, now)
    return redirect(url_for("console.leads.page"))
