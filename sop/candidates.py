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
    CompoundSelect,
    Date,
    FromClause,
    Integer,
    Interval,
    Select,
    Text,
    Time,
    any_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import distinct_on, insert
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
_KEPT = "due_step"


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


@dataclass(frozen=True)
class Due:
    """Enrollments with a due step: enrollment_id, version_id, step_key (NULL: it has its task)."""

    rows: FromClause


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


def gather(
    session: Session,
    versions: Sequence[Running],
    day: date,
    rules: Rules,
    contact_ids: Sequence[int] | None,
) -> Due:
    """Whose step is due under any of these versions, found once for all of them.

    At night a table of its transaction, else a query over the few contacts.
    """
    found = _due(versions, day, rules, contact_ids)
    if contact_ids is not None:
        return Due(found.subquery("due"))
    session.execute(text(f"DROP TABLE IF EXISTS pg_temp.{_KEPT}"))
    keep = found.into(_KEPT, temporary=True)
    session.execute(keep)
    session.execute(text(f"CREATE INDEX ON pg_temp.{_KEPT} (version_id)"))
    session.execute(text(f"ANALYZE pg_temp.{_KEPT}"))
    return Due(keep.table)


def recheck(
    session: Session,
    version: Running,
    day: date,
    now: datetime,
    rules: Rules,
    due: Due,
) -> enrollment.Withdrawn:
    """Withdraw whom a due step would reach although audience or trigger no longer hold."""
    lost = [
        select(
            Enrollment.id.label("id"),
            literal(reason, Text).label("reason"),
            literal(place, Integer).label("place"),
        ).where(
            Enrollment.state == EnrollmentState.ACTIVE,
            Enrollment.id.in_(
                select(due.rows.c.enrollment_id).where(due.rows.c.version_id == version.id)
            ),
            ~holds,
        )
        for place, (holds, reason) in enumerate(
            _reasons(version, day, due_steps(version, day, rules))
        )
    ]
    if not lost:
        return enrollment.Withdrawn(0, 0)
    # Where both are lost the first is told.
    each = union_all(*lost).subquery("each")
    which: Select[int, str] = (
        select(each.c.id, each.c.reason)
        .ext(distinct_on(each.c.id))
        .order_by(each.c.id, each.c.place)
    )
    return enrollment.withdraw(session, which, now)


def create(
    session: Session,
    version: Running,
    day: date,
    rules: Rules,
    due: Due,
) -> int:
    """One waiting task for each enrollment and due step; a second time adds nothing."""
    steps = due_steps(version, day, rules)
    if not steps:
        return 0
    step, due_on, due_at = _due_columns(steps, rules)
    entry = triggers.of(version.trigger)
    found = (
        select(
            Enrollment.id,
            step.c.step_key,
            step.c.step_id,
            Enrollment.contact_id,
            due_on,
            due_at,
            due_on + rules.catch_up_days,
            literal(entry.is_fixed, Boolean),
            literal(TaskState.DEFERRED.value, Text),
            why.begun(version, Enrollment.facts, Enrollment.anchored_on, step.c.title),
        )
        .select_from(due.rows)
        .join(Enrollment, Enrollment.id == due.rows.c.enrollment_id)
        .join(step, step.c.step_key == due.rows.c.step_key)
        .where(
            due.rows.c.version_id == version.id,
            Enrollment.state == EnrollmentState.ACTIVE,
            due_on.between(day - timedelta(days=rules.catch_up_days), day),
        )
    )
    if version.effective_on is not None:
        # Publishing never wakes a step whose day had passed before.
        found = found.where(due_on >= version.effective_on)
    columns = (
        "enrollment_id step_key step_id contact_id due_on due_at expires_on is_fixed state why"
    )
    return writing.rows(
        session,
        insert(_TASK)
        .from_select(columns.split(), found)
        .on_conflict_do_nothing(index_elements=["enrollment_id", "step_key"]),
    )


def _due(
    versions: Sequence[Running], day: date, rules: Rules, contact_ids: Sequence[int] | None
) -> CompoundSelect[Any]:
    """enrollment_id, version_id, step_key: steps in their window without a task.

    And, with a NULL key, enrollments with a task that waits or was not done.
    """
    steps = [(one.id, step) for one in versions for step in due_steps(one, day, rules)]
    window = (
        func.unnest(
            _array([version_id for version_id, _ in steps], BigInteger()),
            _array([due.step.key for _, due in steps], Text()),
            _array([due.first for _, due in steps], Date()),
            _array([due.last for _, due in steps], Date()),
        )
        .table_valued("version_id", "step_key", "first_on", "last_on", name="step_window")
        .render_derived()
    )
    has_task = (
        select(literal(1))
        .where(Task.enrollment_id == Enrollment.id, Task.step_key == window.c.step_key)
        .exists()
    )
    fresh = (
        select(
            Enrollment.id.label("enrollment_id"),
            Enrollment.version_id.label("version_id"),
            window.c.step_key.label("step_key"),
        )
        .select_from(window)
        .join(Enrollment, Enrollment.version_id == window.c.version_id)
        .where(
            Enrollment.state == EnrollmentState.ACTIVE,
            Enrollment.anchored_on.between(window.c.first_on, window.c.last_on),
            ~has_task,
        )
    )
    waiting = (
        select(Enrollment.id, Enrollment.version_id, cast(null(), Text))
        .join(Task, Task.enrollment_id == Enrollment.id)
        .where(
            Task.state.in_(UNFINISHED),
            Task.due_on <= day,
            Enrollment.state == EnrollmentState.ACTIVE,
            Enrollment.version_id == any_(_array([one.id for one in versions], BigInteger())),
        )
    )
    if contact_ids is not None:
        fresh = fresh.where(scope.only(Enrollment.contact_id, contact_ids))
        waiting = waiting.where(scope.only(Enrollment.contact_id, contact_ids))
    return union_all(fresh, waiting)


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
    # Named in full: a statement that makes a table is sent with its values written out.
    return cast(literal(list(values), ARRAY(kind)), ARRAY(kind))
