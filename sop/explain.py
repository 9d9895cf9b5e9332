"""Why a customer has these tasks on a day, and why no others (说明): nothing is left unsaid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Row, or_, select
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm.models import Contact, Coupon, Guide, Member
from bot.errors import UserError
from sop import gates, persons_day, running, step_kinds, why
from sop.anchor_words import Anchors
from sop.gates import Gate
from sop.models import (
    UNFINISHED,
    CouponIssue,
    Enrollment,
    Sop,
    SopStep,
    SopVersion,
    Task,
    TaskState,
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
    #: 私聊, 短信 …: how she is reached, and where it depends on something, why this way.
    kind: str = ""
    channel: str | None = None
    #: Where its day or hour is another one than HQ wrote, and why.
    shifts: list[str] = field(default_factory=list)
    #: The coupon that goes with it.
    coupon: str | None = None


@dataclass(frozen=True)
class Absence:
    """An SOP that gives this customer nothing on this day, and the reasons."""

    sop_name: str
    version: int
    reasons: list[str]
    gates: list[Gate] = field(default_factory=list)


@dataclass(frozen=True)
class Explanation:
    """One customer on one day."""

    contact_id: int
    contact_name: str
    guide_name: str | None
    day: date
    tasks: list[TaskExplained]
    absences: list[Absence]
    #: What holds for her whatever the SOP: who follows her, refusals, rest, touches, tier, lead.
    gates: list[Gate] = field(default_factory=list)
    #: Moments and group messages her guide is asked for on that day.
    postings: list[str] = field(default_factory=list)

    @property
    def grouped_absences(self) -> list[tuple[list[str], list[Absence]]]:
        """The reasons, each with all SOPs that have just these; the nearest to her first."""
        found: dict[tuple[str, ...], list[Absence]] = {}
        for one in self.absences:
            found.setdefault(tuple(one.reasons), []).append(one)
        return [(list(reasons), those) for reasons, those in found.items()]


#: The gates that speak of this customer; the others would say the same of many.
_HERS_FIRST = ("step", "night", "audience", "enrolled", "paused", "trigger")


def explain(
    session: Session, contact_id: int, day: date, *, today: date | None = None
) -> Explanation:
    """Every task of the customer on `day`, and for each other published SOP why there is none.

    The SOPs that came nearest to her stand first. Without `today` the day counts as today.
    """
    person = session.execute(
        select(Contact, Guide.name, Member.name.label("member_name"))
        .outerjoin(Guide, Guide.id == Contact.guide_id)
        .outerjoin(Member, Member.contact_id == Contact.id)
        .where(Contact.id == contact_id)
    ).one_or_none()
    if person is None:
        raise UserError("没有找到这位客户")
    contact, guide_name, member_name = person
    rows = _tasks(session, contact_id, day)
    versions = running.with_paused(session)
    audiences = {
        found.id: found.audience
        for found in session.execute(
            select(SopVersion.id, SopVersion.audience).where(
                SopVersion.id.in_({row.version_id for row in rows})
            )
        )
    }
    rules = Rules.read(session)
    tasks = [
        _task(
            row,
            day,
            rules,
            conditions.readings(session, audiences[row.version_id], contact_id, day),
        )
        for row in rows
    ]
    with_task = {row.sop_id for row in rows}
    enrolled = _enrollments(session, contact_id)
    anchors = Anchors(session, contact_id)
    absences = [
        _absence(
            version,
            gates.of(
                session,
                version,
                contact,
                day,
                rules,
                enrolled[version.sop_id],
                anchors,
                is_paused=is_paused,
                today=today or day,
            ),
        )
        for version, is_paused in versions
        if version.sop_id not in with_task
    ]
    return Explanation(
        contact_id,
        contact.name or member_name or "",
        guide_name,
        day,
        tasks,
        sorted(absences, key=_nearness),
        persons_day.gates(session, contact, day, rules),
        persons_day.postings(session, contact, day),
    )


def _nearness(absence: Absence) -> tuple[int, bool, int]:
    shut = next((gate for gate in absence.gates if not gate.holds), None)
    if shut is None or shut.key not in _HERS_FIRST:
        return len(_HERS_FIRST), True, 0
    return _HERS_FIRST.index(shut.key), shut.ahead is None, shut.ahead or 0


def _absence(version: Running, found: list[Gate]) -> Absence:
    shut = [gate.words for gate in found if not gate.holds]
    return Absence(version.sop_name, version.number, shut, found)


def _tasks(session: Session, contact_id: int, day: date) -> Sequence[Row[*tuple[Any, ...]]]:
    return session.execute(
        select(
            Task,
            SopStep.title,
            SopStep,
            Coupon.coupon_no,
            Coupon.template.label("coupon_template"),
            Guide.name.label("guide_name"),
            Sop.name.label("sop_name"),
            Enrollment.sop_id,
            Enrollment.version_id,
        )
        .join(Enrollment, Enrollment.id == Task.enrollment_id)
        .join(Sop, Sop.id == Enrollment.sop_id)
        .join(SopStep, SopStep.id == Task.step_id)
        .outerjoin(Guide, Guide.id == Task.guide_id)
        .outerjoin(CouponIssue, CouponIssue.task_id == Task.id)
        .outerjoin(Coupon, Coupon.id == CouponIssue.coupon_id)
        .where(
            Task.contact_id == contact_id,
            or_(
                Task.planned_on == day,
                Task.due_on == day,
                Task.wanted_on == day,
                Task.state.in_(UNFINISHED) & (Task.due_on <= day),
            ),
        )
        .order_by(Task.planned_on.is_(None), Task.number, Task.id)
    ).all()


def _task(
    row: Row[*tuple[Any, ...]], day: date, rules: Rules, readings: list[conditions.Reading]
) -> TaskExplained:
    task: Task = row[0]
    until = business_day(task.ended_at) if task.ended_at else None
    if task.state == TaskState.DEFERRED:
        until = day + timedelta(days=1)
    late = gates.shifted(row.SopStep, task.due_at, rules)
    coupon = f"{row.coupon_template or '优惠券'} {row.coupon_no}" if row.coupon_no else None
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
        step_kinds.KINDS.get(task.kind, task.kind),
        why.channel(task.why),
        [words for words in (why.moved(task.why, task.due_on), late) if words],
        coupon,
    )


def _enrollments(session: Session, contact_id: int) -> dict[int, list[Enrollment]]:
    found: dict[int, list[Enrollment]] = defaultdict(list)
    for row in session.scalars(
        select(Enrollment)
        .where(Enrollment.contact_id == contact_id)
        .order_by(Enrollment.anchored_on.desc())
    ):
        found[row.sop_id].append(row)
    return found
