"""What an SOP would do (预演): the real SQL, day after day, in a savepoint that is rolled back.

Everything a night does is done, messages and coupons too: they are rows, and go with the savepoint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from bot.clock import at
from bot.crm import coupons
from bot.crm.models import Contact, Guide
from bot.errors import UserError
from sop import (
    appointments,
    enrollment,
    leads,
    planning,
    postings,
    running,
    unreached,
    versions,
    why,
)
from sop.foreseen import Change, Changed, DayPreview, Preview, Sample
from sop.models import (
    Enrollment,
    HeldBy,
    MassSend,
    Posting,
    Reach,
    SopStep,
    SopVersion,
    Task,
    TaskState,
    VersionState,
)
from tagging import conditions, rules, scores
from tagging.fields.rewards import COUPON

_MOST_DAYS = 90
_MOST_SAMPLES = 20
_MOST_CHANGED = 6
# When the night's plan runs; a preview of a day sees that day as the night does.
_HOUR, _MINUTE = 2, 10
# A larger book is not scored anew for each simulated day; the preview says so.
_MOST_SCORED = 200_000
_AS_OF_TODAY = "客户较多，按今天的评分估算"
_BY_MACHINE = "系统"
# The triggers that read what the night does to coupons and leads; `raise_due` moves appointments of
# merged customers too.
_OF_COUPONS = frozenset({"coupon_expiring", "coupon_received"})
_OF_LEADS = frozenset({"lead_raised", "appointment"})

#: What a waiting task waits for, in words.
WAITING: dict[str, str] = {
    HeldBy.TOUCH_CAP: "近期已联系过",
    HeldBy.GUIDE_CAP: "导购已排满",
    HeldBy.PAUSE: "SOP 已暂停",
    HeldBy.GUIDE_AWAY: "导购已停用",
    HeldBy.GUIDE_OFF: "导购休息",
    HeldBy.OPTED_OUT: "客户已退订",
    HeldBy.UNDONE: "群发没有发出",
    HeldBy.GUIDE: "导购改了期",
}


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
    is_scored = _is_scored(session)
    if not is_scored:
        warnings = [*warnings, _AS_OF_TODAY]
    is_published = version.state == VersionState.PUBLISHED
    before = _Simulated([], Counter())
    done = None
    if not is_published:
        before = _published(session, version.sop_id, day, days, is_scored)
        done = versions.publish(session, version.sop_id, reach, None, at(day, _HOUR))
    simulated = _simulate(session, version.sop_id, day, days, is_scored)
    if is_published:
        before = simulated
    former = {one.day: one.tasks for one in before.days}
    return Preview(
        spec["name"],
        warnings,
        done,
        [replace(one, published_tasks=former.get(one.day, 0)) for one in simulated.days],
        _samples(session, version.sop_id, day),
        _change(session, before.tasks, simulated.tasks),
    )


#: A task as (day, contact, step title): a draft's steps are other rows than the published ones.
_Planned = tuple[date, int, str]


@dataclass(frozen=True)
class _Simulated:
    """Some nights: their numbers and their tasks."""

    days: list[DayPreview]
    tasks: Counter[_Planned]


@dataclass(frozen=True)
class _Reads:
    """Which of the night's other work the SOPs at work read.

    All of them, not only the one that is asked about: they share customers and guides under the
    caps. What nobody reads is left out: it holds rows that tills, customers and guides write, as
    long as the preview takes, and for nothing.
    """

    coupons: bool
    appointments: bool
    leads: bool


def _is_scored(session: Session) -> bool:
    some = select(Contact.id).limit(_MOST_SCORED + 1).subquery()
    return (session.scalar(select(func.count()).select_from(some)) or 0) <= _MOST_SCORED


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


def _published(session: Session, sop_id: int, day: date, days: int, is_scored: bool) -> _Simulated:
    """What the published version would do in the same days; nothing without one."""
    has_one = session.scalar(
        select(func.count()).where(
            SopVersion.sop_id == sop_id, SopVersion.state == VersionState.PUBLISHED
        )
    )
    if not has_one:
        return _Simulated([], Counter())
    savepoint = session.begin_nested()
    try:
        return _simulate(session, sop_id, day, days, is_scored)
    finally:
        savepoint.rollback()


def _simulate(session: Session, sop_id: int, day: date, days: int, is_scored: bool) -> _Simulated:
    reads = _reads(session, day)
    nights = [
        _night(session, sop_id, day + timedelta(days=n), is_scored, reads) for n in range(days)
    ]
    rows = session.execute(
        select(Task.planned_on, Task.contact_id, SopStep.title)
        .join(SopStep, SopStep.id == Task.step_id)
        .where(_of_sop(sop_id), Task.planned_on.between(day, day + timedelta(days=days - 1)))
    )
    return _Simulated(nights, Counter((row[0] or day, row[1], row[2]) for row in rows))


def _reads(session: Session, day: date) -> _Reads:
    """What the SOPs at work and the tag rules start from, or ask for."""
    at_work = [*running.published(session), *running.in_use(session)]
    kinds = {str(version.trigger["kind"]) for version in at_work}
    asked = {home for version in at_work for home in conditions.homes(version.audience)}
    asked |= rules.homes(session, day)
    return _Reads(
        coupons=bool(kinds & _OF_COUPONS) or COUPON in asked,
        appointments="appointment" in kinds,
        leads=bool(kinds & _OF_LEADS),
    )


def _of_sop(sop_id: int) -> Any:
    return Task.enrollment_id.in_(select(Enrollment.id).where(Enrollment.sop_id == sop_id))


def _night(session: Session, sop_id: int, day: date, is_scored: bool, reads: _Reads) -> DayPreview:
    """One night as the timetable runs it, and a day on which everybody does what there is."""
    now, ours = at(day, _HOUR, _MINUTE), select(func.count()).where(Posting.sop_id == sop_id)
    if reads.coupons:
        coupons.expire(session, day)
    if is_scored:
        scores.refresh(session, day)
        rules.apply(session, day)
    if reads.appointments:
        appointments.settle(session, day)
    if reads.leads:
        leads.raise_due(session, day, now)
    enrollment.enroll_due(session, day)
    planning.plan(session, day, now)
    asked_before = session.scalar(ours) or 0
    postings.plan(session, day, now)
    asked = (session.scalar(ours) or 0) - asked_before
    found = _counted(session, sop_id, day, asked)
    session.execute(
        update(Task)
        .where(Task.planned_on == day, Task.state == TaskState.OPEN)
        .values(state=TaskState.DONE, ended_at=at(day, 20))
        .execution_options(synchronize_session=False)
    )
    return found


def _counted(session: Session, sop_id: int, day: date, asked: int) -> DayPreview:
    of_sop = _of_sop(sop_id)
    rows = session.execute(
        select(Task.kind, func.count()).where(of_sop, Task.planned_on == day).group_by(Task.kind)
    )
    by_kind = {row[0]: row[1] for row in rows}
    guides = session.scalar(
        select(func.count(Task.guide_id.distinct())).where(of_sop, Task.planned_on == day)
    )
    is_waiting = (Task.state == TaskState.DEFERRED) & (Task.due_on <= day)
    waiting = session.execute(
        select(Task.held_by, func.count(), func.count(Task.guide_id.distinct()))
        .where(of_sop, is_waiting)
        .group_by(Task.held_by)
    ).all()
    mass_sends = session.scalar(
        select(func.count())
        .select_from(MassSend)
        .join(SopStep, SopStep.id == MassSend.step_id)
        .join(SopVersion, SopVersion.id == SopStep.version_id)
        .where(SopVersion.sop_id == sop_id, MassSend.planned_on == day, MassSend.contact_count > 0)
    )
    lost = session.scalar(
        select(func.count()).where(
            of_sop,
            Task.state == TaskState.EXPIRED,
            Task.state_reason.startswith(unreached.NOTHING_REACHES),
            Task.due_on == day,
        )
    )
    return DayPreview(
        day,
        sum(by_kind.values()),
        guides or 0,
        sum(row[1] for row in waiting),
        sum(row[2] for row in waiting if row[0] == HeldBy.GUIDE_CAP),
        0,
        by_kind,
        {row[0] or "": row[1] for row in waiting},
        mass_sends or 0,
        asked,
        lost or 0,
    )


def _change(session: Session, before: Counter[_Planned], after: Counter[_Planned]) -> Change:
    added, gone = after - before, before - after
    first_added, first_gone = sorted(added)[:_MOST_CHANGED], sorted(gone)[:_MOST_CHANGED]
    wanted = {contact_id for _, contact_id, _ in [*first_added, *first_gone]}
    rows = session.execute(select(Contact.id, Contact.name).where(Contact.id.in_(wanted)))
    names = {row.id: row.name for row in rows}

    def shown(tasks: list[_Planned]) -> list[Changed]:
        return [Changed(day, who, names[who], title) for day, who, title in tasks]

    return Change(
        added.total(),
        gone.total(),
        (after & before).total(),
        shown(first_added),
        shown(first_gone),
    )


def _samples(session: Session, sop_id: int, day: date) -> list[Sample]:
    rows = session.execute(
        select(Task, Contact.name, Guide.name, SopStep.title)
        .join(Enrollment, Enrollment.id == Task.enrollment_id)
        .join(Contact, Contact.id == Task.contact_id)
        .outerjoin(Guide, Guide.id == Task.guide_id)
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
            guide_name or _BY_MACHINE,
            title,
            why.line(task.why, task.planned_on or day),
            task.words,
        )
        for task, contact_name, guide_name, title in rows
    ]
