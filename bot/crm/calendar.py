"""The festival calendar (节日): computed for the years around now, corrected by HQ where it likes.

Past years are there too: whom a festival is for is asked of what she bought for it before. A day of
the brand's own (品牌日, 会员日) stands beside the usual ones, or in the place of one so named.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from bot.crm import yearly
from bot.crm.models import FestivalDay, FestivalRule

YEARS_BEHIND, YEARS_AHEAD = 5, 3

# A year HQ has touched one festival of keeps that festival as HQ wrote it.
_EXTEND = text(
    """
    INSERT INTO festival_day (name, held_on)
    SELECT r.name, r.held_on
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (name text, held_on date)
    WHERE NOT EXISTS (
        SELECT FROM festival_day f WHERE f.name = r.name AND f.is_edited
        AND f.held_on BETWEEN r.held_on - 150 AND r.held_on + 150)
    ON CONFLICT (name, held_on) DO NOTHING
    RETURNING id
    """
)


def _solar(month: int, day: int) -> Callable[[int], date]:
    return lambda year: date(year, month, day)


def _lunar(month: int, day: int) -> Callable[[int], date]:
    return lambda year: yearly.lunar_day(year, month, day)


def _new_years_eve(year: int) -> date:
    # The last lunar month has 29 or 30 days, so the eve is counted back from the festival.
    return _lunar(1, 1)(year) - timedelta(days=1)


def _sunday(month: int, number: int) -> Callable[[int], date]:
    def held_on(year: int) -> date:
        first = date(year, month, 1)
        return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (number - 1))

    return held_on


#: Every festival there is, with the day it is held on in a (lunar, for lunar ones) year.
FESTIVALS: dict[str, Callable[[int], date]] = {
    "元旦": _solar(1, 1),
    "除夕": _new_years_eve,
    "春节": _lunar(1, 1),
    "元宵": _lunar(1, 15),
    "情人节": _solar(2, 14),
    "白色情人节": _solar(3, 14),
    "三八": _solar(3, 8),
    "五一": _solar(5, 1),
    "母亲节": _sunday(5, 2),
    "520": _solar(5, 20),
    "儿童节": _solar(6, 1),
    "端午": _lunar(5, 5),
    "父亲节": _sunday(6, 3),
    "七夕": _lunar(7, 7),
    "中秋": _lunar(8, 15),
    "教师节": _solar(9, 10),
    "国庆": _solar(10, 1),
    "重阳": _lunar(9, 9),
    "双十一": _solar(11, 11),
    "双十二": _solar(12, 12),
    "平安夜": _solar(12, 24),
    "圣诞": _solar(12, 25),
}


def extend(session: Session, day: date) -> int:
    """Write the festivals of the years around `day` that are missing; returns how many.

    Coming days of a festival whose rule says another day now are taken back.
    """
    years = range(day.year - YEARS_BEHIND, day.year + YEARS_AHEAD + 1)
    rules = {rule.name: rule for rule in session.scalars(select(FestivalRule))}
    days = {(name, held_on(year)) for year in years for name, held_on in FESTIVALS.items()}
    days = {one for one in days if one[0] not in rules}
    for rule in rules.values():
        days |= {(rule.name, held_on) for held_on in _rule_days(rule, years)}
    rows = [{"name": name, "held_on": held_on.isoformat()} for name, held_on in sorted(days)]
    _take_back(session, day, set(rules), days)
    return len(session.execute(_EXTEND, {"rows": json.dumps(rows, ensure_ascii=False)}).all())


def _rule_days(rule: FestivalRule, years: range) -> list[date]:
    if rule.held_on is not None:
        return [rule.held_on]
    if rule.month is None or rule.day is None:
        return []
    kept_on = yearly.lunar_day if rule.is_lunar else yearly.solar_day
    return [kept_on(year, rule.month, rule.day) for year in years]


def _take_back(session: Session, day: date, ruled: set[str], days: set[tuple[str, date]]) -> None:
    """What no rule says any more; days that have been stay, for they were held."""
    coming = session.execute(
        select(FestivalDay.id, FestivalDay.name, FestivalDay.held_on).where(
            FestivalDay.held_on > day, ~FestivalDay.is_edited
        )
    )
    known = ruled | set(FESTIVALS)
    gone = [id_ for id_, name, on in coming if name not in known or (name, on) not in days]
    session.execute(delete(FestivalDay).where(FestivalDay.id.in_(gone)))


def next_festival(session: Session, day: date, name: str | None = None) -> FestivalDay | None:
    """The next festival on or after `day`: any, or the one of this name."""
    wanted = select(FestivalDay).where(FestivalDay.held_on >= day)
    if name is not None:
        wanted = wanted.where(FestivalDay.name == name)
    return session.scalars(wanted.order_by(FestivalDay.held_on, FestivalDay.id).limit(1)).first()
