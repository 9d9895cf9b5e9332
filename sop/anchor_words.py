"""How far a customer is from what starts an SOP (离触发还有多远), as a shop person says it."""

from __future__ import annotations

import json
from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from sop import triggers
from sop.anchors import Params
from sop.running import Rules, Running

# How far a nearest anchor is looked for: a yearly day comes within this.
_AHEAD, _BACK = 370, 365
# How early a step begins is worth saying when that is only so many days away.
_SOON = 14
#: What her page lacks, where a trigger without further inputs never finds her.
_UNKNOWN = {
    "birthday": "资料里没有生日",
    "wedding_anniversary": "资料里没有结婚纪念日",
    "member_anniversary": "资料里没有入会日期",
    "appointment": "没有预约",
    "coupon_expiring": "没有要到期的优惠券",
    "points_expiring": "没有要到期的积分",
}


class Anchors:
    """The days 0 of one customer, each asked for once: many SOPs have the same trigger."""

    def __init__(self, session: Session, contact_id: int) -> None:
        self._session = session
        self._contact_id = contact_id
        self._known: dict[tuple[str, date, date, bool], tuple[date, str] | None] = {}

    def find(
        self, trigger: Params, first: date, last: date, *, newest: bool = False
    ) -> tuple[date, str] | None:
        """The first (or newest) day 0 in a window, and the fact of it."""
        key = (json.dumps(trigger, sort_keys=True), first, last, newest)
        if key not in self._known:
            self._known[key] = self._look(trigger, first, last, newest)
        return self._known[key]

    def _look(
        self, trigger: Params, first: date, last: date, newest: bool
    ) -> tuple[date, str] | None:
        due = triggers.of(trigger).due(first, last, trigger).subquery("due")
        row = self._session.execute(
            select(due.c.anchored_on, due.c.fact)
            .where(due.c.contact_id == self._contact_id)
            .order_by(due.c.anchored_on.desc() if newest else due.c.anchored_on)
            .limit(1)
        ).one_or_none()
        return None if row is None else (row.anchored_on, row.fact)


def away(found: Anchors, version: Running, day: date, rules: Rules) -> tuple[str, int | None]:
    """Why the trigger is not met on `day`: when it will be, when it last was, or that it never is.

    「1月28日 生日，还有 67 天」, 「5月13日 买过钻戒，已过 193 天」, 「资料里没有生日」; and how
    many days there are to the one that is to come.
    """
    entry = triggers.of(version.trigger)
    if entry.is_fixed:
        coming = found.find(version.trigger, day, day + timedelta(days=_AHEAD))
        if coming is not None:
            return _coming(version, coming, day), (coming[0] - day).days
    since = day - timedelta(days=_BACK)
    past = found.find(version.trigger, since, day, newest=True)
    if past is not None:
        return _past(version, past, day, rules), None
    inputs = {key for key in version.trigger if key != "kind"}
    if not inputs and entry.key in _UNKNOWN:
        return _UNKNOWN[entry.key], None
    return f"近一年没有发生：{version.trigger_sentence()}", None


def day_words(on: date) -> str:
    """11月21日."""
    return f"{on.month}月{on.day}日"


def _coming(version: Running, found: tuple[date, str], day: date) -> str:
    on, fact = found
    said = fact.strip()
    # 「2025年9月8日 入会」 names the day it began, not the one that is to come.
    if day_words(on) not in said.replace(f"年{day_words(on)}", ""):
        noun = triggers.of(version.trigger).noun(version.trigger)
        said = f"{said}，{noun}是 {day_words(on)}"
    days = (on - day).days
    is_near = version.lead_days and days - version.lead_days <= _SOON
    ahead = f"，提前 {version.lead_days} 天开始" if is_near else ""
    return f"{said}，还有 {days} 天{ahead}"


def _past(version: Running, found: tuple[date, str], day: date, rules: Rules) -> str:
    on, fact = found
    days = (day - on).days
    said = f"{fact.strip()}，已过 {days} 天"
    if version.effective_on is not None and on < version.effective_on:
        if days <= rules.catch_up_days:
            said += f"，这个 SOP 从 {day_words(version.effective_on)} 起才生效"
    elif days > rules.catch_up_days:
        said += f"，只补做 {rules.catch_up_days} 天以内的"
    return said
