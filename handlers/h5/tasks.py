"""What a guide does with one task (任务操作): done, skipped, put off, words taken.

Every answer to a script is the one card anew with the number above; without scripts it is the
whole list again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.db import transaction
from bot.errors import UserError
from handlers.h5 import guard, reasons, spoken, task_cards, today
from handlers.web import the_bot
from sop import tasks
from sop.tasks import TaskView

bp = Blueprint("tasks", __name__, url_prefix="/tasks/<int:task_id>")

#: Reasons of one tap; anything else she writes herself.
REASONS = ("刚联系过", "客户已购买", "客户暂时不方便", "客户没有兴趣", "内容不合适", "资料不对")
_FURTHEST = timedelta(days=90)
_SATURDAY = 5


@dataclass(frozen=True)
class Choice:
    """A day she can put a task off to with one tap."""

    label: str
    on: date


@bp.post("/done")
def done(task_id: int) -> Any:
    """She says it is done."""
    bot, viewer = the_bot(), guard.viewer()
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        return _answer(session, tasks.complete(session, task_id, viewer.id, now), now)


@bp.get("/skip")
def skip_sheet(task_id: int) -> Any:
    """Ask why."""
    return _sheet("h5/skip.html", task_id, reasons=REASONS)


@bp.post("/skip")
def skip(task_id: int) -> Any:
    """She leaves it out, with a reason that HQ reads."""
    bot, viewer = the_bot(), guard.viewer()
    reason = reasons.told()
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        return _answer(session, tasks.skip(session, task_id, viewer.id, now, reason), now)


@bp.get("/move")
def move_sheet(task_id: int) -> Any:
    """Ask until when."""
    day = business_day(the_bot().clock.now())
    return _sheet(
        "h5/move.html",
        task_id,
        choices=choices(day),
        first=day + timedelta(days=1),
        last=day + _FURTHEST,
    )


@bp.post("/move")
def move(task_id: int) -> Any:
    """She puts it off."""
    bot, viewer = the_bot(), guard.viewer()
    wanted = request.form.get("day") or request.form.get("own_day") or ""
    try:
        to_day = date.fromisoformat(wanted)
    except ValueError:
        raise UserError("请选一个日期", field="own_day") from None
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        view = tasks.move(session, task_id, viewer.id, now, to_day)
        return _answer(session, view, now, moved_to=to_day)


@bp.post("/opened")
def opened(task_id: int) -> Any:
    """She took the words; that is all that is known."""
    bot = the_bot()
    with transaction(bot.sessions) as session:
        tasks.mark_opened(session, task_id, guard.viewer().id, bot.clock.now())
    return "", 204


def choices(day: date) -> list[Choice]:
    """明天, 后天, and the weekend — or the Monday after it where the weekend is that near."""
    near = [Choice("明天", day + timedelta(days=1)), Choice("后天", day + timedelta(days=2))]
    saturday = day + timedelta(days=(_SATURDAY - day.weekday() - 1) % 7 + 1)
    if saturday - day <= timedelta(days=2):
        return [*near, Choice("下周一", day + timedelta(days=7 - day.weekday()))]
    return [*near, Choice("周末" if day.weekday() < _SATURDAY else "下周六", saturday)]


def _sheet(template: str, task_id: int, **given: Any) -> str:
    bot = the_bot()
    now = bot.clock.now()
    with bot.sessions() as session:
        card = task_cards.one_of_day(session, guard.viewer().id, task_id, business_day(now), now)
    return render_template(template, card=card, tab="h5.today.page", **given)


def _answer(
    session: Session, view: TaskView, now: datetime, *, moved_to: date | None = None
) -> Any:
    if not guard.is_partial():
        return redirect(url_for("h5.today.page"), 303)
    viewer, day = guard.viewer(), business_day(now)
    return render_template(
        "h5/_task_answer.html",
        card=task_cards.dress(session, viewer.id, [view], day, now)[0],
        moved_to=None if moved_to is None else _day_words(moved_to, day),
        summary=today.summary_of(session, viewer.id, day),
        is_today=True,
    )


def _day_words(on: date, day: date) -> str:
    near = spoken.near_day(on, day)
    return near if near in ("明天", "后天") else f"{near} {spoken.weekday(on)}"
