"""Why a customer has these tasks on a day, and why no others (说明): nothing is left unsaid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Row, or_, select
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm.models import Contact, Guide
from bot.errors import UserError
from sop import running, times, triggers, why
from sop.models import (
    UNFINISHED,
    Enrollment,
    EnrollmentState,
    Sop,
    SopStep,
    SopVersion,
    Task,
    TaskState,
    VersionState,
)
from sop.running import Rules, Running
from tagging import conditions


@dataclass(frozen=True)
class TaskExplained:
    """A task of the day and everything that decided about it."""

    task_id: int
    sop_name: str
    title: str
    state: TaskState
    guide_name: str | None
    planned_on: date | None
    number: int | None
    why_line: str
    #: 「优先级 80 · 客户价值 4/5」; None while the caps have not opened it.
    ranking: str | None
    #: Why it waits or ended, if it does.
    reason: str | None
    deferrals: list[tuple[date, str]]
    readings: list[conditions.Reading]


@dataclass(frozen=True)
class Absence:
    """An SOP that gives this customer nothing on this day, and the reasons."""

    sop_name: str
    version: int
    reasons: list[str]


@dataclass(frozen=True)
class Explanation:
    """One customer on one day."""

    contact_id: int
    contact_name: str
    guide_name: str | None
    day: date
    tasks: list[TaskExplained]
    absences: list[Absence]


def explain(session: Session, contact_id: int, day: date) -> Explanation:
    """Every task of the customer on `day`, and for each other published SOP why there is none."""
    person = session.execute(
        select(Contact, Guide.name)
        .outerjoin(Guide, Guide.id == Contact.guide_id)
        .where(Contact.id == contact_id)
    ).one_or_none()
    if person is None:
        raise UserError("没有找到这位客户")
    contact, guide_name = person
    rows = _tasks(session, contact_id, day)
    versions = _versions(session)
    audiences = {
        found.id: found.audience
        for found in session.execute(
            select(SopVersion.id, SopVersion.audience).where(
                SopVersion.id.in_({row.version_id for row in rows})
            )
        )
    }
    tasks = [
        _task(row, day, conditions.readings(session, audiences[row.version_id], contact_id, day))
        for row in rows
    ]
    with_task = {row.sop_id for row in rows}
    rules = Rules.read(session)
    enrolled = _enrollments(session, contact_id)
    absences = [
        Absence(
            version.sop_name,
            version.number,
            [f"SOP「{version.sop_name}」已暂停"] * is_paused
            + _why_not(session, version, contact, day, rules, enrolled[version.sop_id]),
        )
        for version, is_paused in versions
        if version.sop_id not in with_task
    ]
    return Explanation(contact_id, contact.name, guide_name, day, tasks, absences)


def _tasks(session: Session, contact_id: int, day: date) -> Sequence[Row[*tuple[Any, ...]]]:
    return session.execute(
        select(
            Task,
            SopStep.title,
            Guide.name.label("guide_name"),
            Sop.name.label("sop_name"),
            Enrollment.sop_id,
            Enrollment.version_id,
        )
        .join(Enrollment, Enrollment.id == Task.enrollment_id)
        .join(Sop, Sop.id == Enrollment.sop_id)
        .join(SopStep, SopStep.id == Task.step_id)
        .outerjoin(Guide, Guide.id == Task.guide_id)
        .where(
            Task.contact_id == contact_id,
            or_(
                Task.planned_on == day,
                Task.due_on == day,
                Task.state.in_(UNFINISHED) & (Task.due_on <= day),
            ),
        )
        .order_by(Task.planned_on.is_(None), Task.number, Task.id)
    ).all()


def _task(
    row: Row[*tuple[Any, ...]], day: date, readings: list[conditions.Reading]
) -> TaskExplained:
    task: Task = row[0]
    until = business_day(task.ended_at) if task.ended_at else None
    if task.state == TaskState.DEFERRED:
        until = day + timedelta(days=1)
    return TaskExplained(
        task.id,
        row.sop_name,
        row.title,
        TaskState(task.state),
        row.guide_name,
        task.planned_on,
        task.number,
        why.line(task.why, day),
        why.ranking(task.why),
        task.state_reason,
        why.deferrals(task.why, until),
        readings,
    )


def _versions(session: Session) -> list[tuple[Running, bool]]:
    rows = session.execute(
        select(SopVersion.id, Sop.is_paused)
        .join(Sop, Sop.id == SopVersion.sop_id)
        .where(SopVersion.state == VersionState.PUBLISHED)
        .order_by(Sop.name)
    ).all()
    return [(running.one(session, row.id), row.is_paused) for row in rows]


def _enrollments(session: Session, contact_id: int) -> dict[int, list[Enrollment]]:
    found: dict[int, list[Enrollment]] = defaultdict(list)
    for row in session.scalars(
        select(Enrollment)
        .where(Enrollment.contact_id == contact_id)
        .order_by(Enrollment.anchored_on.desc())
    ):
        found[row.sop_id].append(row)
    return found


def _why_not(
    session: Session,
    version: Running,
    contact: Contact,
    day: date,
    rules: Rules,
    enrolled: Sequence[Enrollment],
) -> list[str]:
    if contact.guide_id is None:
        return ["没有导购跟进这位客户"]
    active = [one for one in enrolled if one.state == EnrollmentState.ACTIVE]
    if active:
        return [_next_step(running.one(session, one.version_id), one, day, rules) for one in active]
    reasons = [
        f"{_day(one.anchored_on)} 入组，已退出：{one.ended_reason}"
        if one.state == EnrollmentState.WITHDRAWN
        else f"{_day(one.anchored_on)} 入组，步骤已全部结束"
        for one in enrolled[:1]
    ]
    return reasons + _not_enrolled(session, version, contact.id, day, rules)


def _not_enrolled(
    session: Session, version: Running, contact_id: int, day: date, rules: Rules
) -> list[str]:
    days = running.enrolling_window(version, day, rules)
    if days is None:
        return [f"{_day(version.effective_on or day)} 起才生效"]
    due = triggers.of(version.trigger).due(*days, version.trigger).subquery("due")
    anchors = session.execute(
        select(due.c.anchored_on, due.c.fact).where(due.c.contact_id == contact_id)
    ).all()
    if not anchors:
        first, last = days
        return [f"{_day(first)} 到 {_day(last)} 之间没有：{version.trigger_sentence()}"]
    failed = [
        f"条件不满足：{one.label}要{one.wanted}，现在是{one.actual}"
        for one in conditions.readings(session, version.audience, contact_id, day)
        if not one.holds
    ]
    return failed or [f"{anchors[0].fact}，下一次排期时入组"]


def _next_step(version: Running, enrolled: Enrollment, day: date, rules: Rules) -> str:
    began = f"{enrolled.facts.get('trigger') or _day(enrolled.anchored_on)}，已入组"
    coming = sorted(
        (enrolled.anchored_on + timedelta(days=step.day), step.position, step)
        for step in version.steps
        if enrolled.anchored_on + timedelta(days=step.day) >= day
    )
    if not coming:
        return f"{began}，之后没有步骤了"
    on, _, step = coming[0]
    return (
        f"{began}，下一步「{step.title}」在 {_day(on)}{_quiet(step, enrolled.anchored_at, rules)}"
    )


def _quiet(step: SopStep, anchored_at: datetime | None, rules: Rules) -> str:
    moment = times.parse(step.at)
    if not isinstance(moment, time) or not rules.quiet.covers(moment):
        return ""
    moved, end = rules.quiet.settle(moment)
    when = "第二天 " if moved else ""
    return f"（{step.at} 在免打扰时段，顺延到{when}{end:%H:%M}）"


def _day(on: date) -> str:
    return f"{on.month}月{on.day}日"
