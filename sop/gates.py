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

from bot.clock import business_day
from bot.crm.models import Contact
from sop import anchor_words, channels_of, missed, running, step_kinds, times
from sop.anchor_words import Anchors, day_words
from sop.models import Enrollment, EnrollmentState, SopStep, Task
from sop.running import Rules, Running
from tagging import conditions


@dataclass(frozen=True)
class Gate:
    """One thing that must hold; `words` say how it stands. Keys are stored nowhere, but stable."""

    key: str
    holds: bool
    words: str
    #: How many days there are to a day that is to come.
    ahead: int | None = None


def of(
    session: Session,
    version: Running,
    contact: Contact,
    day: date,
    rules: Rules,
    enrolled: Sequence[Enrollment],
    anchors: Anchors,
    *,
    is_paused: bool,
    today: date,
) -> list[Gate]:
    """The gates up to the first that is shut (a pause shuts none of the others).

    Of a day before `today` only what was kept is known for sure: her facts are those of now.
    """
    found = [Gate("paused", False, f"SOP「{version.sop_name}」已暂停")] if is_paused else []
    if not version.contact_steps:
        words = "只有朋友圈和群消息，不按客户排任务"
        return [*found, Gate("kinds", False, words)]
    if contact.guide_id is None and not version.reaches_lost:
        return [*found, Gate("followed", False, "没有导购跟进这位客户")]
    active = [one for one in enrolled if one.state == EnrollmentState.ACTIVE]
    if active:
        return found + [
            Gate("step", False, _of_enrolled(session, one, day, rules, today)) for one in active
        ]
    for one in enrolled[:1]:
        if one.state == EnrollmentState.WITHDRAWN:
            words = f"{day_words(one.anchored_on)} 入组，已退出：{one.ended_reason}"
        else:
            words = f"{day_words(one.anchored_on)} 入组，步骤已全部结束"
        found.append(Gate("enrolled", False, words))
    return found + _not_enrolled(session, version, contact.id, day, rules, today, anchors)


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
    session: Session,
    version: Running,
    contact_id: int,
    day: date,
    rules: Rules,
    today: date,
    anchors: Anchors,
) -> list[Gate]:
    days = running.enrolling_window(version, day, rules)
    if days is None:
        return [Gate("effective", False, f"{day_words(version.effective_on or day)} 起才生效")]
    first, last = days
    anchor = anchors.find(version.trigger, first, last)
    if anchor is None:
        words, ahead = anchor_words.away(anchors, version, day, rules)
        return [Gate("trigger", False, words, ahead)]
    found = [Gate("trigger", True, anchor[1])]
    readings = conditions.readings(session, version.audience, contact_id, day)
    failed = [
        Gate("audience", False, f"条件不满足：{one.wanted}，{one.now}")
        for one in readings
        if not one.holds
    ]
    return found + (failed or [Gate("night", False, f"{anchor[1]}，{_when(day, today)}")])


def _when(day: date, today: date) -> str:
    if day < today:
        return "按现在的资料会入组，那天没有：资料多半是后来才有的"
    return "下一次排期时入组" if day == today else "到那天排期时入组"


def _of_enrolled(
    session: Session, enrolled: Enrollment, day: date, rules: Rules, today: date
) -> str:
    joined_on = business_day(enrolled.created_at)
    if day < today and day < joined_on:
        fact = enrolled.facts.get("trigger") or day_words(enrolled.anchored_on)
        return f"{fact}，{day_words(joined_on)} 才入组"
    version = running.one(session, enrolled.version_id)
    return _next_step(session, version, enrolled, day, rules, today)


def _next_step(
    session: Session,
    version: Running,
    enrolled: Enrollment,
    day: date,
    rules: Rules,
    today: date,
) -> str:
    began = f"{enrolled.facts.get('trigger') or day_words(enrolled.anchored_on)}，已入组"
    made = set(session.scalars(select(Task.step_key).where(Task.enrollment_id == enrolled.id)))
    for step in version.contact_steps:
        on = enrolled.anchored_on + timedelta(days=step.day)
        grace = missed.grace(step, rules.catch_up_days)
        if step.key not in made and on <= day <= on + timedelta(days=grace):
            said = _unmade(session, step, enrolled, version, on, day, today)
            return f"{began}，「{step.title}」{said}"
    coming = sorted(
        (enrolled.anchored_on + timedelta(days=step.day), step.position, step)
        for step in version.contact_steps
        if enrolled.anchored_on + timedelta(days=step.day) >= day
    )
    if not coming:
        return f"{began}，之后没有步骤了"
    on, _, step = coming[0]
    late = shifted(step, None, rules)
    return f"{began}，下一步「{step.title}」在 {day_words(on)}" + (f"（{late}）" if late else "")


def _unmade(
    session: Session,
    step: SopStep,
    enrolled: Enrollment,
    version: Running,
    on: date,
    day: date,
    today: date,
) -> str:
    if version.effective_on is not None and on < version.effective_on:
        return f"应在 {day_words(on)}，那时这一版还没有生效"
    if channels_of.kind_now(session, step, enrolled.id, day) == step_kinds.NO_TASK:
        return f"按方式不联系（{step_kinds.sentence(step.kind, step.channels)}）"
    if day < today:
        return "那天没有排入"
    return "下一次排期时排入" if day == today else "到那天排期时排入"
