"""A guide's days off (休息) as she writes them: 「休息 周五」, 「上班 周五」."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy.orm import Session

from bot.crm import days_off
from bot.errors import UserError
from content_library import facts, words
from handlers.guide_commands.asker import Asker
from handlers.guide_commands.days import parse_day
from handlers.guide_commands.parsing import Command

_WEEKDAYS = "一二三四五六日"
_FURTHEST = timedelta(days=90)


def rest(session: Session, asker: Asker, command: Command) -> str:
    """She does not work on these days; alone: which are known."""
    if not command.rest:
        known = days_off.coming(session, asker.guide.id, asker.day)
        if not known:
            return "还没有登记休息日，例如「休息 周五」。"
        return "登记的休息日：" + "、".join(_spoken(day, asker.day) for day in known)
    days = _days(command.rest, asker.day, "休息 周五")
    days_off.take(session, asker.guide.id, days)
    return f"好的，{_joined(days, asker.day)}休息，那天不再给您排新的待办。"


def work(session: Session, asker: Asker, command: Command) -> str:
    """She works on these days after all."""
    if not command.rest:
        raise UserError("哪天照常上班？例如「上班 周五」。")
    days = _days(command.rest, asker.day, "上班 周五")
    days_off.give_back(session, asker.guide.id, days)
    return f"好的，{_joined(days, asker.day)}照常上班。"


def _days(said: str, today: date, example: str) -> list[date]:
    found = []
    for piece in said.replace("、", " ").replace(",", " ").replace("和", " ").split():
        day = parse_day(piece, today)
        if day is None:
            raise UserError(f"没看懂日期「{words.plain(piece, 12)}」，例如「{example}」。")
        if not today <= day <= today + _FURTHEST:
            raise UserError(f"只能登记今天起 {_FURTHEST.days} 天以内的日子。")
        found.append(day)
    return found


def _joined(days: list[date], today: date) -> str:
    return "、".join(_spoken(day, today) for day in days)


def _spoken(day: date, today: date) -> str:
    return f"{facts.spoken_day(day, today)}（周{_WEEKDAYS[day.weekday()]}）"
