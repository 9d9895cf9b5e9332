"""What an SOP would do (预演): the real SQL, day after day, in a savepoint that is rolled back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from bot.clock import at
from bot.crm.models import Contact, Guide
from bot.errors import UserError
from sop import enrollment, planning, versions, why
from sop.models import (
    Enrollment,
    HeldBy,
    Reach,
    SopStep,
    SopVersion,
    Task,
    TaskState,
    VersionState,
)
from sop.versions import Impact
from tagging import rules, scores

_MOST_DAYS = 90
_MOST_SAMPLES = 20
# When the night's plan runs; a preview of a day sees that day as the night does.
_HOUR, _MINUTE = 2, 10


@dataclass(frozen=True)
class DayPreview:
    """One simulated day of the SOP."""

    day: date
    tasks: int
    guides: int
    #: Tasks of the SOP that wait on this day, and guides who are full with some of them waiting.
    waiting: int
    guides_over_cap: int
    #: What the published version makes on that day; 0 without one.
    published_tasks: int


@dataclass(frozen=True)
class Sample:
    """One task as it would be."""

    day: date
    contact_id: int
    contact_name: str
    guide_name: str
    title: str
    why_line: str
    words: str | None


@dataclass(frozen=True)
class Preview:
    """What publishing would do in the coming days, if guides do each day's tasks on that day."""

    sop_name: str
    warnings: list[str]
    impact: Impact | None
    days: list[DayPreview]
    samples: list[Sample]

    @property
    def tasks(self) -> int:
        """All tasks of the simulated days."""
        return sum(one.tasks for one in self.days)

    @property
    def difference(self) -> int:
        """More (or fewer) tasks than the published version makes."""
        return self.tasks - sum(one.published_tasks for one in self.days)


def preview(
    session: Session,
    spec_or_version: Mapping[str, Any] | int,
    day: date,
    days: int,
    *,
    reach: Reach = Reach.NEW_ONLY,
) -> Preview:
    """Publish a spec or a version on `day` and run `days` nights, then undo all of it.

    A number is the id of a version: a draft is published, a published one just runs, a retired one
    comes back. Holds the planning turn meanwhile: end the caller's transaction soon after.
    """
    if not 1 <= days <= _MOST_DAYS:
        raise UserError(f"预演天数要在 1 到 {_MOST_DAYS} 之间", field="days")
    savepoint = session.begin_nested()
    try:
        return _preview(session, spec_or_version, day, days, reach)
    finally:
        savepoint.rollback()


def _preview(
    session: Session,
    spec_or_version: Mapping[str, Any] | int,
    day: date,
    days: int,
    reach: Reach,
) -> Preview:
    version = _wanted(session, spec_or_version)
    spec = versions.spec_of(session, version.id, with_keys=True)
    warnings = versions.check(session, spec)
    is_published = version.state == VersionState.PUBLISHED
    before = {} if is_published else _published_tasks(session, version.sop_id, day, days)
    done = None
    if not is_published:
        done = versions.publish(session, version.sop_id, reach, None, at(day, _HOUR))
    simulated = [_night(session, version.sop_id, day + timedelta(days=n)) for n in range(days)]
    if is_published:
        before = {one.day: one.tasks for one in simulated}
    return Preview(
        spec["name"],
        warnings,
        done,
        [
            DayPreview(
                one.day,
                one.tasks,
                one.guides,
                one.waiting,
                one.guides_over_cap,
                before.get(one.day, 0),
            )
            for one in simulated
        ],
        _samples(session, version.sop_id, day),
    )


def _wanted(session: Session, spec_or_version: Mapping[str, Any] | int) -> SopVersion:
    if not isinstance(spec_or_version, int):
        name = spec_or_version.get("name")
        return versions.save_draft(session, str(name or "预演"), spec_or_version, None)
    version = session.get(SopVersion, spec_or_version)
    if version is None:
        raise UserError("没有找到这个版本")
    if version.state == VersionState.RETIRED:
        return versions.republish(session, version.id, None)
    return version


def _published_tasks(session: Session, sop_id: int, day: date, days: int) -> dict[date, int]:
    """What the published version would do in the same days; nothing without one."""
    has_one = session.scalar(
        select(func.count()).where(
            SopVersion.sop_id == sop_id, SopVersion.state == VersionState.PUBLISHED
        )
    )
    if not has_one:
        return {}
    savepoint = session.begin_nested()
    try:
        nights = [_night(session, sop_id, day + timedelta(days=n)) for n in range(days)]
        return {one.day: one.tasks for one in nights}
    finally:
        savepoint.rollback()


def _night(session: Session, sop_id: int, day: date) -> DayPreview:
    """One night as the timetable runs it, and a day on which guides do what they find."""
    scores.refresh(session, day)
    rules.apply(session, day)
    enrollment.enroll_due(session, day)
    planning.plan(session, day, at(day, _HOUR, _MINUTE))
    of_sop = Task.enrollment_id.in_(select(Enrollment.id).where(Enrollment.sop_id == sop_id))
    tasks, guides = session.execute(
        select(func.count(), func.count(Task.guide_id.distinct())).where(
            of_sop, Task.planned_on == day
        )
    ).one()
    is_waiting = (Task.state == TaskState.DEFERRED) & (Task.due_on <= day)
    waiting, over = session.execute(
        select(
            func.count(),
            func.count(Task.guide_id.distinct()).filter(Task.held_by == HeldBy.GUIDE_CAP),
        ).where(of_sop, is_waiting)
    ).one()
    session.execute(
        update(Task)
        .where(Task.planned_on == day, Task.state == TaskState.OPEN)
        .values(state=TaskState.DONE, ended_at=at(day, 20))
        .execution_options(synchronize_session=False)
    )
    return DayPreview(day, tasks, guides, waiting, over, 0)


def _samples(session: Session, sop_id: int, day: date) -> list[Sample]:
    rows = session.execute(
        select(Task, Contact.name, Guide.name, SopStep.title)
        .join(Enrollment, Enrollment.id == Task.enrollment_id)
        .join(Contact, Contact.id == Task.contact_id)
        .join(Guide, Guide.id == Task.guide_id)
        .join(SopStep, SopStep.id == Task.step_id)
        .where(Enrollment.sop_id == sop_id, Task.planned_on >= day)
        .order_by(Task.planned_on, Task.rank_score.desc(), Task.id)
        .limit(_MOST_SAMPLES)
    )
    return [
        Sample(
            task.planned_on or day,
            task.contact_id,
            contact_name,
            guide_name,
            title,
            why.line(task.why, task.planned_on or day),
            task.words,
        )
        for task, contact_name, guide_name, title in rows
    ]
