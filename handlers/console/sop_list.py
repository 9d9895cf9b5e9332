"""What the list of SOPs says of each (SOP 列表), in a number of statements that never grows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session, aliased

from handlers.console import actors
from sop import triggers
from sop.models import (
    Enrollment,
    EnrollmentState,
    Sop,
    SopStep,
    SopVersion,
    Task,
    TaskState,
    VersionState,
)
from tagging import conditions

_DAYS = 7


@dataclass(frozen=True)
class Numbers:
    """Customers in it now, and its tasks of the last seven days."""

    active: int = 0
    tasks: int = 0
    done: int = 0


@dataclass(frozen=True)
class SopRow:
    """One SOP. `state` is one of live, paused, draft, retired; `version` the number in force."""

    id: int
    name: str
    state: str
    version: int | None
    has_draft: bool
    trigger: str
    audience: str
    steps: int
    changed_at: datetime | None
    changed_by: str


def rows(session: Session, search: str) -> list[SopRow]:
    """Every SOP whose name holds `search`, those in force first."""
    live, draft = aliased(SopVersion), aliased(SopVersion)
    last = (
        select(func.max(SopVersion.id))
        .where(SopVersion.sop_id == Sop.id, SopVersion.state == VersionState.RETIRED)
        .correlate(Sop)
        .scalar_subquery()
    )
    former = aliased(SopVersion)
    query = (
        select(Sop, live, draft, former)
        .outerjoin(live, and_(live.sop_id == Sop.id, live.state == VersionState.PUBLISHED))
        .outerjoin(draft, and_(draft.sop_id == Sop.id, draft.state == VersionState.DRAFT))
        .outerjoin(former, former.id == last)
    )
    if search:
        query = query.where(Sop.name.icontains(search, autoescape=True))
    found = session.execute(query.order_by(live.id.is_(None), Sop.is_paused, Sop.name)).all()
    shown = {sop.id: live or draft or former for sop, live, draft, former in found}
    steps = _step_counts(session, [one.id for one in shown.values() if one is not None])
    last_change = {sop.id: _last_change(live, draft, former) for sop, live, draft, former in found}
    who = actors.names(session, [by for _, by in last_change.values()])
    audiences = (one.audience for one in shown.values() if one is not None)
    names = conditions.names_of(session, *audiences)
    return [
        _row(sop, live, draft, shown[sop.id], steps, last_change[sop.id], who, names)
        for sop, live, draft, _ in found
    ]


def numbers(session: Session, day: date) -> dict[int, Numbers]:
    """The numbers of every SOP, in two statements over the indexes of state and day."""
    running = session.execute(
        select(Enrollment.sop_id, func.count())
        .where(Enrollment.state == EnrollmentState.ACTIVE)
        .group_by(Enrollment.sop_id)
    )
    active = {row[0]: row[1] for row in running}
    # By step first: the few thousand steps are joined after the counting, not before.
    by_step = (
        select(
            Task.step_id,
            func.count().label("tasks"),
            func.count().filter(Task.state == TaskState.DONE).label("done"),
        )
        .where(Task.planned_on.between(day - timedelta(days=_DAYS - 1), day))
        .group_by(Task.step_id)
        .subquery()
    )
    made = {
        sop_id: (int(tasks), int(done))
        for sop_id, tasks, done in session.execute(
            select(SopVersion.sop_id, func.sum(by_step.c.tasks), func.sum(by_step.c.done))
            .join(SopStep, SopStep.id == by_step.c.step_id)
            .join(SopVersion, SopVersion.id == SopStep.version_id)
            .group_by(SopVersion.sop_id)
        )
    }
    return {
        sop_id: Numbers(active.get(sop_id, 0), *made.get(sop_id, (0, 0)))
        for sop_id in active.keys() | made.keys()
    }


def trigger_words(version: SopVersion | None) -> str:
    """The trigger in words; a version this program no longer understands is no reason to fail."""
    return "–" if version is None else triggers.of(version.trigger).sentence(version.trigger)


def _row(
    sop: Sop,
    live: SopVersion | None,
    draft: SopVersion | None,
    shown: SopVersion | None,
    steps: dict[int, int],
    change: tuple[datetime | None, str | None],
    who: dict[str, str],
    names: conditions.Lookup,
) -> SopRow:
    if live is not None:
        state = "paused" if sop.is_paused else "live"
    else:
        state = "draft" if draft is not None else "retired"
    return SopRow(
        id=sop.id,
        name=sop.name,
        state=state,
        version=live.number if live else None,
        has_draft=draft is not None,
        trigger=trigger_words(shown),
        audience=conditions.sentence(shown.audience, names) if shown else "–",
        steps=steps.get(shown.id, 0) if shown else 0,
        changed_at=change[0],
        changed_by=who.get(change[1] or "", ""),
    )


def _last_change(*versions: SopVersion | None) -> tuple[datetime | None, str | None]:
    changes: list[tuple[Any, str | None]] = []
    for one in versions:
        if one is not None and one.state == VersionState.DRAFT:
            changes.append((one.created_at, one.created_by))
        elif one is not None:
            changes.append((one.retired_at or one.published_at, one.published_by))
    known = [change for change in changes if change[0] is not None]
    return max(known, key=lambda change: change[0], default=(None, None))


def _step_counts(session: Session, version_ids: list[int]) -> dict[int, int]:
    found = session.execute(
        select(SopStep.version_id, func.count())
        .where(SopStep.version_id.in_(version_ids))
        .group_by(SopStep.version_id)
    )
    return {row[0]: row[1] for row in found}
