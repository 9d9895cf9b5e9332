"""Her leads (线索): who may buy, why, with which words to begin, and what became of it.

The same functions as 「线索 2 已联系」 in the chat; a purchase ends a lead by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from flask import Blueprint, redirect, render_template, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm.models import FollowRelation, FollowState
from bot.db import transaction
from bot.errors import UserError
from content_library import placeholders, talking_points
from content_library import words as word_rules
from handlers.h5 import guard, reasons
from handlers.web import the_bot
from sop import lead_views, leads
from sop.lead_views import LeadView
from sop.models import LeadState

bp = Blueprint("leads", __name__, url_prefix="/leads")

#: Reasons of one tap; anything else she writes herself.
REASONS = ("在别处买了", "预算不合适", "款式不合适", "暂时不考虑", "联系不上", "不是本人")
#: The scene whose talking points are the words to begin with.
_SCENE = "线索"
_MOST_WORDINGS = 6


@dataclass(frozen=True)
class Card:
    """A lead with everything around it."""

    view: LeadView
    name: str
    variants: tuple[str, ...]
    #: The two are friends in WeCom, so she can write and has her page.
    is_friend: bool

    @property
    def is_touched(self) -> bool:
        """She has been in touch; what comes of it is open."""
        return self.view.state == LeadState.TOUCHED


@bp.get("/")
def page() -> Any:
    """Her live leads, the hottest first; those she has not been in touch with before the others."""
    bot, viewer = the_bot(), guard.viewer()
    with bot.sessions() as session:
        mine = sorted(lead_views.of_guide(session, viewer.id), key=_heat)
        cards = _dress(session, viewer.id, mine, business_day(bot.clock.now()))
    waiting = [card for card in cards if not card.is_touched]
    return render_template("h5/leads.html", tab="h5.today.page", cards=cards, waiting=len(waiting))


@bp.post("/<int:lead_id>/touched")
def touched(lead_id: int) -> Any:
    """She has been in touch."""
    bot, viewer = the_bot(), guard.viewer()
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        view = leads.touch(session, lead_id, now, guide_id=viewer.id)
        return _answer(session, view, business_day(now))


@bp.get("/<int:lead_id>/lost")
def lost_sheet(lead_id: int) -> Any:
    """Ask why it came to nothing."""
    bot, viewer = the_bot(), guard.viewer()
    with bot.sessions() as session:
        mine = lead_views.of_guide(session, viewer.id)
    view = next((one for one in mine if one.id == lead_id), None)
    if view is None:
        raise UserError("这条线索已经不在您的清单里了")
    card = Card(view, _name(view), (), is_friend=False)
    return render_template("h5/lead_lost.html", card=card, tab="h5.today.page", reasons=REASONS)


@bp.post("/<int:lead_id>/lost")
def lost(lead_id: int) -> Any:
    """It came to nothing, with a reason that HQ reads."""
    bot, viewer = the_bot(), guard.viewer()
    reason = reasons.told()
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        view = leads.lose(session, lead_id, reason, now, guide_id=viewer.id)
        return _answer(session, view, business_day(now))


def waiting_words(session: Session, guide_id: int) -> str:
    """「2 条待联系，1 条意向强」 for the head of her list of today; "" when she has none."""
    mine = lead_views.of_guide(session, guide_id)
    waiting = [view for view in mine if view.state == LeadState.ASSIGNED]
    if not waiting:
        return "都联系过了，等结果" if mine else ""
    hot = sum(view.is_hot for view in waiting)
    return f"{len(waiting)} 条待联系" + (f"，{hot} 条意向强" if hot else "")


def _heat(view: LeadView) -> tuple[bool, bool, int, int]:
    return view.state == LeadState.TOUCHED, not view.is_hot, -view.score, view.id


def _answer(session: Session, view: LeadView, day: date) -> Any:
    if not guard.is_partial():
        return redirect(url_for("h5.leads.page"), 303)
    card = _dress(session, guard.viewer().id, [view], day)[0]
    template = "h5/_lead_ended.html" if view.state == LeadState.LOST else "h5/_lead.html"
    return render_template(template, card=card, is_first=True)


def _dress(session: Session, guide_id: int, views: list[LeadView], day: date) -> list[Card]:
    """Add the words to each; the number of statements does not depend on how many there are."""
    if not views:
        return []
    found = talking_points.search(session, _SCENE, limit=_MOST_WORDINGS)
    texts = [text for point in found if point.scene == _SCENE for text in point.variants]
    pairs = sorted({(view.contact_id, guide_id) for view in views})
    facts = placeholders.load_facts(session, pairs, day)
    friends = select(FollowRelation.contact_id).where(
        FollowRelation.guide_id == guide_id,
        FollowRelation.contact_id.in_([view.contact_id for view in views]),
        FollowRelation.state != FollowState.ENDED,
    )
    theirs = set(session.scalars(friends))
    return [
        Card(
            view,
            _name(view),
            _filled(texts, facts.get((view.contact_id, guide_id))),
            is_friend=view.contact_id in theirs,
        )
        for view in views
    ]


def _filled(texts: list[str], known: placeholders.PlaceholderFacts | None) -> tuple[str, ...]:
    if known is None:
        return ()
    return tuple(dict.fromkeys(placeholders.fill(one, known) for one in texts[:_MOST_WORDINGS]))


def _name(view: LeadView) -> str:
    return word_rules.clean(view.name) or "客户"
