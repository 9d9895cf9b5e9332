"""Today's list (今日): whom to write to, why, and with which words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm import brand
from bot.db import transaction
from handlers.h5 import guard, leads, task_cards
from handlers.h5.task_cards import Card
from handlers.web import the_bot
from sop import tasks
from sop.models import TaskState

bp = Blueprint("today", __name__)


@dataclass(frozen=True)
class Summary:
    """The number that matters, over the list."""

    day: date
    total: int
    done: int
    skipped: int
    last_day: int

    @property
    def open(self) -> int:
        """What is left."""
        return self.total - self.done - self.skipped


@bp.get("/")
def home() -> Any:
    """The address in the app's menu."""
    return redirect(url_for("h5.today.page"))


@bp.get("/today")
def page() -> Any:
    """The list of today; an older day (an old card was opened) is shown to read only."""
    bot, viewer = the_bot(), guard.viewer()
    now = bot.clock.now()
    today = business_day(now)
    day = min(_wanted_day(today), today)
    with bot.sessions() as session:
        cards = task_cards.of_day(session, viewer.id, day, now)
        return render_template(
            "h5/today.html",
            tab="h5.today.page",
            summary=summarize(cards, day),
            waiting=[card for card in cards if card.is_open],
            ended=[card for card in cards if not card.is_open],
            is_today=day == today,
            morning=brand.settings(session).morning,
            leads=leads.waiting_words(session, viewer.id) if day == today else "",
        )


@bp.post("/today/shown")
def shown() -> Any:
    """The list was on her screen; the page itself says so, because looking must change nothing."""
    bot = the_bot()
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        tasks.mark_shown(session, guard.viewer().id, business_day(now), now)
    return "", 204


def summary_of(session: Session, guide_id: int, day: date) -> Summary:
    """The same number without the cards, after one of them changed."""
    now = the_bot().clock.now()
    return _count(tasks.today(session, guide_id, day, now), day)


def summarize(cards: list[Card], day: date) -> Summary:
    """Count a list."""
    return _count([card.view for card in cards], day)


def _count(views: list[tasks.TaskView], day: date) -> Summary:
    states = [view.state for view in views]
    urgent = [view for view in views if view.state == TaskState.OPEN and view.is_last_day]
    return Summary(
        day=day,
        total=len(views),
        done=states.count(TaskState.DONE),
        skipped=states.count(TaskState.SKIPPED),
        last_day=len(urgent),
    )


def _wanted_day(today: date) -> date:
    try:
        return date.fromisoformat(request.args.get("day", ""))
    except ValueError:
        return today
