"""Why an SOP gives a customer nothing on a day (没有任务的原因): its gates in order, with facts.

The gates are those of the night, asked for one customer: at work, in effect, followed, triggered,
audience, then what has become of her enrollment. The first that is shut explains the day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm.models import Contact
from sop import missed, running, step_kinds, times, triggers
from sop.models import Enrollment, EnrollmentState, SopStep, Task
from sop.running import Rules, Running
from tagging import conditions

# How far a nearest anchor is looked for: a yearly day comes within this.
_AHEAD, _BACK = 370, 365


@dataclass(frozen=True)
class Gate:
    """One thing that must hold; `words` say how it stands. Keys are stored nowhere, but stable."""

    key: str
    holds: bool
    words: str


def of(
    session: Session,
    version: Running,
    contact: Contact,
    day: date,
    rules: Rules,
    enrolled: Sequence[Enrollment],
    *,
    is_paused: bool,
) -> list[Gate]:
    """The gates up to the first that is shut (a pause shuts none of the others)."""
    found = [Gate("paused", False, f"SOP「{version.sop_name}」已暂停")] if is_paused else []
    if not version.contact_steps:
        words = "只有朋友圈和群消息，不按客户排任务"
        return [*found, Gate("kinds", False, words)]
    if contact.guide_id is None and not version.reaches_lost:
        return [*found, Gate("followed", False, "没有导购跟进这位客户")]
    active = [one for one in enrolled if one.state == EnrollmentState.ACTIVE]
    if active:
        return found + [
            Gate("step", False, _next_step(session, running.one(session, one.version_id), one, day))
            for one in active
        ]
    for one in enrolled[:1]:
        if one.state == EnrollmentState.WITHDRAWN:
            words = f"{_day(one.anchored_on)} 入组，已退出：{one.ended_reason}"
        else:
            words = f"{_day(one.anchored_on)} 入组，步骤已全部结束"
        found.append(Gate("enrolled", False, words))
    return found + _not_enrolled(session, version, contact.id, day, rules)


def shifted(step: SopStep, due_at: datetime | None, rules: Rules) -> str | None:
    """Why a step's hour is another one than HQ wrote; None: it is not."""
    moment = times.parse(step.at)
    if not isinstance(moment, time):
        return None
    if rules.quiet.covers(moment):
        moved, end = rules.quiet.settle(moment)
        when = "第二天 " if moved else ""
        return f"{step.at} 在免打扰时段，顺延到{when}{end:%H:%M}"
    told = times.local_clock(due_at)
    if told is not None and told != moment:
        return f"{step.at} 不在门店营业时间内，改到 {told:%H:%M}"
    return None


def _not_enrolled(
    session: Session, version: Running, contact_id: int, day: date, rules: Rules
) -> list[Gate]:
    days = running.enrolling_window(version, day, rules)
    if days is None:
        return [Gate("effective", False, f"{_day(version.effective_on or day)} 起才生效")]
    first, last = days
    anchor = _anchor(session, version, contact_id, first, last)
    if anchor is None:
        words = f"{_day(first)} 到 {_day(last)} 之间没有：{version.trigger_sentence()}"
        return [Gate("trigger", False, words + _nearest(session, version, contact_id, day))]
    found = [Gate("trigger", True, anchor[1])]
    readings = conditions.readings(session, version.audience, contact_id, day)
    failed = [
        Gate("audience", False, f"条件不满足：{one.wanted}，{one.now}")
        for one in readings
        if not one.holds
    ]
    return found + (failed or [Gate("night", False, f"{anchor[1]}，下一次排期时入组")])


def _anchor(
    session: Session,
    version: Running,
    contact_id: int,
    first: date,
    last: date,
    *,
    newest: bool = False,
) -> tuple[date, str] | None:
    due = triggers.of(version.trigger).due(first, last, version.trigger).subquery("due")
    order = due.c.anchored_on.desc() if newest else due.c.anchored_on
    row = session.execute(
        select(due.c.anchored_on, due.c.fact)
        .where(due.c.contact_id == contact_id)
        .order_by(order)
        .limit(1)
    ).one_or_none()
    return None if row is None else (row.anchored_on, row.fact)


def _nearest(session: Session, version: Running, contact_id: int, day: date) -> str:
    """The next day 0 of a known day, or the last of one that only happens; empty: none."""
    if triggers.of(version.trigger).is_fixed:
        until = day + timedelta(days=_AHEAD)
        coming = _anchor(session, version, contact_id, day, until)
        if coming is not None:
            return f"（{coming[1]}，{_day(coming[0])} 还有 {(coming[0] - day).days} 天）"
    since = day - timedelta(days=_BACK)
    past = _anchor(session, version, contact_id, since, day, newest=True)
    return "" if past is None else f"（上一次：{past[1]}，{(day - past[0]).days} 天前）"


def _next_step(session: Session, version: Running, enrolled: Enrollment, day: date) -> str:
    began = f"{enrolled.facts.get('trigger') or _day(enrolled.anchored_on)}，已入组"
    rules = Rules.read(session)
    made = set(session.scalars(select(Task.step_key).where(Task.enrollment_id == enrolled.id)))
    for step in version.contact_steps:
        on = enrolled.anchored_on + timedelta(days=step.day)
        grace = missed.grace(step, rules.catch_up_days)
        if step.key not in made and on <= day <= on + timedelta(days=grace):
            return f"{began}，「{step.title}」{_unmade(step, enrolled, version, on, day)}"
    coming = sorted(
        (enrolled.anchored_on + timedelta(days=step.day), step.position, step)
        for step in version.contact_steps
        if enrolled.anchored_on + timedelta(days=step.day) >= day
    )
    if not coming:
        return f"{began}，之后没有步骤了"
    on, _, step = coming[0]
    late = shifted(step, None, rules)
    return f"{began}，下一步「{step.title}」在 {_day(on)}" + (f"（{late}）" if late else "")


def _unmade(step: SopStep, enrolled: Enrollment, version: Running, on: date, day: date) -> str:
    if version.effective_on is not None and on < version.effective_on:
        return f"应在 {_day(on)}，那时这一版还没有生效"
    if step.channels is not None:
        return f"按方式不联系（{step_kinds.sentence(step.kind, step.channels)}）"
    return "下一次排期时排入"


def _day(on: date) -> str:
    return f"{on.month}月{on.day}日"
