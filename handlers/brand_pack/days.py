"""The brand's own days and working days of a pack (日历): festivals, 调休."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm.models import CalendarDay, FestivalRule
from handlers.brand_pack.organisation import given, upsert
from handlers.brand_pack.reading import Map, Seq, fail

# The months' longest days; a rule for 2-29 is kept on the 28th in other years.
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LUNAR_DAYS = 30


def load(session: Session, pack: Map) -> None:
    """Write the rules and the days; those of the same name or date are changed."""
    upsert(session, FestivalRule, "name", [_rule(item) for item in pack.get("festivals", Seq())])
    upsert(session, CalendarDay, "day", [_workday(item) for item in pack.get("workdays", Seq())])
    session.flush()
    # The rows were written past the objects read before.
    session.expire_all()


def _rule(item: Map) -> dict[str, Any]:
    month, day = item.get("month"), item.get("day")
    is_lunar = item.get("lunar", False)
    if "on" in item:
        for key in ("month", "day", "lunar"):
            if key in item:
                fail(item.line_of(key), f"写了 on 就不用写 {key}")
        held_on = _date(item, "on")
    elif month is None or day is None:
        fail(item.line, f"节日「{item['name']}」要写 month 和 day，或者只写 on")
    else:
        held_on = None
        most = _LUNAR_DAYS if is_lunar else _DAYS[month - 1]
        if day > most:
            fail(item.line_of("day"), f"「day」在 {month} 月最大是 {most}")
    return {
        "name": item["name"],
        "month": month,
        "day": day,
        "is_lunar": is_lunar,
        "held_on": held_on,
    }


def _workday(item: Map) -> dict[str, Any]:
    return {
        "day": _date(item, "on"),
        "is_workday": item["work"],
        "name": item.get("name"),
        "is_edited": True,
    }


def _date(item: Map, key: str) -> date:
    try:
        return date.fromisoformat(item[key])
    except ValueError:
        fail(item.line_of(key), f"「{key}」没有 {item[key]} 这一天")


def dump(session: Session) -> dict[str, Any]:
    """The two sections as they stand; only working days that HQ wrote."""
    rules = session.scalars(select(FestivalRule).order_by(FestivalRule.id))
    days = session.scalars(
        select(CalendarDay).where(CalendarDay.is_edited).order_by(CalendarDay.day)
    )
    return {
        "festivals": [_dump_rule(rule) for rule in rules],
        "workdays": [
            given(on=each.day.isoformat(), work=each.is_workday, name=each.name) for each in days
        ],
    }


def _dump_rule(rule: FestivalRule) -> dict[str, Any]:
    return given(
        name=rule.name,
        month=rule.month,
        day=rule.day,
        lunar=rule.is_lunar or None,
        on=rule.held_on and rule.held_on.isoformat(),
    )
