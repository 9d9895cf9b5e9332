"""Which steps are due (到期步骤): rechecked when due, then one waiting task each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Date,
    Integer,
    Interval,
    Select,
    Text,
    Time,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from bot.crm.models import Contact
from bot.db import Base
from sop import enrollment, quiet, times, triggers, why, writing
from sop.models import UNFINISHED, Enrollment, EnrollmentState, SopStep, Task, TaskState
from sop.running import Rules, Running
from tagging import conditions, scope

_TASK = Base.metadata.tables[Task.__tablename__]
#: A "+23h" step inside quiet hours may fall due two days after its anchor.
_RELATIVE_DAYS = 2


@dataclass(frozen=True)
class DueStep:
    """One step with the anchor days that make it due in the window."""

    step: SopStep
    first: date
    last: date
    #: Days from anchor to due day, quiet hours included; only for wall-clock steps.
    offset: int
    clock: time | None
    delay: timedelta | None


def due_steps(version: Running, day: date, rules: Rules) -> list[DueStep]:
    """The version's steps with the anchor days that make them due on `day` or a caught-up one."""
    found: list[DueStep] = []
    for step in version.steps:
        moment = times.parse(step.at)
        if isinstance(moment, timedelta):
            reach = rules.catch_up_days + _RELATIVE_DAYS
            first, last = day - timedelta(days=reach), day
            found.append(DueStep(step, first, last, step.day, None, moment))
            continue
        moved, clock = (0, None) if moment is None else rules.quiet.settle(moment)
        last = day - timedelta(days=step.day + moved)
        first = last - timedelta(days=rules.catch_up_days)
        found.append(DueStep(step, first, last, step.day + moved, clock, None))
    return found


def recheck(
    session: Session,
    version: Running,
    day: date,
    now: datetime,
    rules: Rules,
    contact_ids: Sequence[int] | None,
) -> enrollment.Withdrawn:
    """Withdraw whom a due step would reach although audience or trigger no longer hold."""
    steps = due_steps(version, day, rules)
    reasons = _reasons(version, day, steps)
    if not reasons or not steps:
        return enrollment.Withdrawn(0, 0)
    which: Select[int, str] = select(
        Enrollment.id.label("id"),
        case(*((~holds, literal(reason, Text)) for holds, reason in reasons)).label("reason"),
    ).where(
        Enrollment.version_id == version.id,
        Enrollment.state == EnrollmentState.ACTIVE,
        _has_something_due(steps, day),
        or_(*(~holds for holds, _ in reasons)),
    )
    if contact_ids is not None:
        which = which.where(scope.only(Enrollment.contact_id, contact_ids))
    return enrollment.withdraw(session, which, now)


def create(
    session: Session,
    version: Running,
    day: date,
    rules: Rules,
    contact_ids: Sequence[int] | None,
) -> int:
    """One waiting task for each enrollment and due step; a second time adds nothing."""
    steps = due_steps(version, day, rules)
    if not steps:
        return 0
    due, due_on, due_at = _due_columns(steps, rules)
    entry = triggers.of(version.trigger)
    found = select(
        Enrollment.id,
        due.c.step_key,
        due.c.step_id,
        Enrollment.contact_id,
        due_on,
        due_at,
        due_on + rules.catch_up_days,
        literal(entry.is_fixed, Boolean),
        literal(TaskState.DEFERRED.value, Text),
        why.begun(version, Enrollment.facts, Enrollment.anchored_on, due.c.title),
    ).where(
        Enrollment.version_id == version.id,
        Enrollment.state == EnrollmentState.ACTIVE,
        Enrollment.anchored_on.between(due.c.first_on, due.c.last_on),
        due_on.between(day - timedelta(days=rules.catch_up_days), day),
    )
    if version.effective_on is not None:
        # Publishing never wakes a step whose day had passed before.
        found = found.where(due_on >= version.effective_on)
    if contact_ids is not None:
        found = found.where(scope.only(Enrollment.contact_id, contact_ids))
    columns = (
        "enrollment_id step_key step_id contact_id due_on due_at expires_on is_fixed state why"
    )
    return writing.rows(
        session,
        insert(_TASK)
        .from_select(columns.split(), found)
        .on_conflict_do_nothing(index_elements=["enrollment_id", "step_key"]),
    )


def _reasons(
    version: Running, day: date, steps: Sequence[DueStep]
) -> list[tuple[ColumnElement[bool], str]]:
    found: list[tuple[ColumnElement[bool], str]] = []
    entry = triggers.of(version.trigger)
    if entry.is_rechecked and steps:
        anchored = entry.due(
            min(step.first for step in steps), max(step.last for step in steps), version.trigger
        ).subquery("anchored")
        holds = (
            select(anchored.c.contact_id)
            .where(
                anchored.c.contact_id == Enrollment.contact_id,
                anchored.c.anchored_on == Enrollment.anchored_on,
            )
            .exists()
        )
        found.append((holds, f"不再符合触发条件：{version.trigger_sentence()}"))
    if version.audience is not None:
        found.append((_audience(version, day), f"不再符合条件：{version.audience_sentence()}"))
    return found


def _audience(version: Running, day: date) -> ColumnElement[bool]:
    assert version.audience is not None
    return (
        select(Contact.id)
        .where(Contact.id == Enrollment.contact_id, conditions.clause(version.audience, day))
        .exists()
    )


def _has_something_due(steps: Sequence[DueStep], day: date) -> ColumnElement[bool]:
    """A step in its window without a task yet, or a task that is not finished."""
    unfinished = (
        select(Task.id)
        .where(Task.enrollment_id == Enrollment.id, Task.state.in_(UNFINISHED), Task.due_on <= day)
        .exists()
    )
    fresh = [
        Enrollment.anchored_on.between(step.first, step.last)
        & ~select(Task.id)
        .where(Task.enrollment_id == Enrollment.id, Task.step_key == step.step.key)
        .exists()
        for step in steps
    ]
    return or_(unfinished, *fresh)


def _due_columns(
    steps: Sequence[DueStep], rules: Rules
) -> tuple[Any, ColumnElement[Any], ColumnElement[Any]]:
    """The due steps as a table, and the due day and moment of an enrollment under one of them."""
    due = (
        func.unnest(
            _array([step.step.id for step in steps], BigInteger()),
            _array([step.step.key for step in steps], Text()),
            _array([step.step.title for step in steps], Text()),
            _array([step.first for step in steps], Date()),
            _array([step.last for step in steps], Date()),
            _array([step.offset for step in steps], Integer()),
            _array([step.clock for step in steps], Time()),
            _array([step.delay for step in steps], Interval()),
        )
        .table_valued(
            "step_id",
            "step_key",
            "title",
            "first_on",
            "last_on",
            "days",
            "clock",
            "delay",
            name="due",
        )
        .render_derived()
    )
    on_the_clock = Enrollment.anchored_on + cast(due.c.days, Integer)
    later = rules.quiet.settle_local(
        quiet.to_local(Enrollment.anchored_at + cast(due.c.delay, Interval))
    )
    is_relative = due.c.delay.is_not(None)
    due_on = case((is_relative, cast(later, Date)), else_=on_the_clock)
    due_at = case(
        (is_relative, quiet.to_moment(later)),
        (due.c.clock.is_not(None), quiet.to_moment(on_the_clock + cast(due.c.clock, Time))),
        else_=null(),
    )
    return due, due_on, due_at


def _array(values: Sequence[Any], kind: Any) -> ColumnElement[Any]:
    return literal(list(values), ARRAY(kind))
