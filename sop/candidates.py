"""Which steps are due (到期步骤): rechecked when due, then one waiting task each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CompoundSelect,
    Date,
    DateTime,
    Insert,
    Integer,
    Select,
    Text,
    any_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from bot.clock import at
from bot.crm.models import Contact
from sop import (
    due_tasks,
    enrollment,
    missed,
    run_tables,
    step_kinds,
    triggers,
    unreached,
    writing,
)
from sop.due_tasks import DueStep, due_steps
from sop.models import UNFINISHED, Enrollment, EnrollmentState, Task, TaskState
from sop.run_tables import DUE, NEW
from sop.running import Rules, Running
from tagging import conditions, scope

# A step may have moved so far, and ends the night after its last day.
_LONGER = missed.MOST_MOVED_DAYS + 1
# Every event plans its customers, and putting a statement together costs more than running it for
# one of them. A version's statements stay the same all day.
_KEPT = 512


def gather(
    session: Session,
    versions: Sequence[Running],
    day: date,
    rules: Rules,
    contact_ids: Sequence[int] | None,
) -> frozenset[int]:
    """Find whose step is due under any of these versions, once for all of them, into `DUE`.

    Returns the versions that are due for somebody; nothing is to do for the others.
    """
    is_night = contact_ids is None
    run_tables.begin(session, is_large=is_night)
    found = _due(versions, day, rules, contact_ids)
    names = [column.name for column in found.selected_columns]
    many = writing.rows(session, insert(DUE).from_select(names, found))
    if is_night:
        writing.look_again(session, str(DUE))
    if not many:
        return frozenset()
    return frozenset(session.scalars(select(DUE.c.version_id).distinct()))


def recheck(
    session: Session,
    version: Running,
    day: date,
    now: datetime,
    rules: Rules,
) -> enrollment.Withdrawn:
    """Withdraw whom a due step would reach although audience or trigger no longer hold."""
    which = _lost(version, day, rules)
    return enrollment.Withdrawn(0, 0) if which is None else enrollment.withdraw(session, which, now)


@lru_cache(maxsize=_KEPT)
def _lost(version: Running, day: date, rules: Rules) -> Select[int, str] | None:
    """Enrollments in `DUE` for which audience or trigger no longer hold, and the reason."""
    lost = [
        select(
            Enrollment.id.label("id"),
            literal(reason, Text).label("reason"),
            literal(place, Integer).label("place"),
        ).where(
            Enrollment.state == EnrollmentState.ACTIVE,
            Enrollment.id.in_(select(DUE.c.enrollment_id).where(DUE.c.version_id == version.id)),
            ~holds,
        )
        for place, (holds, reason) in enumerate(
            _reasons(version, day, due_steps(version, day, rules), rules)
        )
    ]
    if not lost:
        return None
    # Where both are lost the first is told.
    each = union_all(*lost).subquery("each")
    return (
        select(each.c.id, each.c.reason)
        .ext(distinct_on(each.c.id))
        .order_by(each.c.id, each.c.place)
    )


def create(session: Session, version: Running, day: date, rules: Rules) -> int:
    """One waiting task in `NEW` for each enrollment and due step that has none yet."""
    creation = _creation(version, day, rules)
    return 0 if creation is None else writing.rows(session, creation)


@lru_cache(maxsize=_KEPT)
def _creation(version: Running, day: date, rules: Rules) -> Insert | None:
    steps = due_steps(version, day, rules)
    if not steps:
        return None
    made = due_tasks.of(version, day, steps, rules, DUE)
    is_reached = made.c.resolved.is_not(None)
    found = select(
        made.c.enrollment_id,
        made.c.step_key,
        made.c.step_id,
        made.c.contact_id,
        made.c.kind,
        made.c.carrier,
        made.c.wanted_on,
        made.c.due_on,
        made.c.due_at,
        made.c.due_on + made.c.grace,
        literal(triggers.of(version.trigger).is_fixed, Boolean),
        case((is_reached, TaskState.DEFERRED.value), else_=TaskState.EXPIRED.value),
        case((~is_reached, unreached.words([one.step for one in steps], made, day)), else_=null()),
        case((~is_reached, literal(at(day, 0), DateTime(timezone=True))), else_=null()),
        made.c.why,
    ).where(made.c.resolved.is_distinct_from(step_kinds.NO_TASK))
    columns = (
        "enrollment_id step_key step_id contact_id kind carrier "
        "wanted_on due_on due_at expires_on is_fixed state state_reason ended_at why"
    )
    return insert(NEW).from_select(columns.split(), found)


def _due(
    versions: Sequence[Running], day: date, rules: Rules, contact_ids: Sequence[int] | None
) -> CompoundSelect[Any]:
    """enrollment_id, version_id, step_key: steps in their window without a task.

    And, with a NULL key, enrollments with a task that waits or was not done.
    """
    steps = [(one.id, step) for one in versions for step in due_steps(one, day, rules)]
    window = (
        func.unnest(
            due_tasks.array([version_id for version_id, _ in steps], BigInteger()),
            due_tasks.array([due.step.key for _, due in steps], Text()),
            due_tasks.array([due.first for _, due in steps], Date()),
            due_tasks.array([due.last for _, due in steps], Date()),
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
            Enrollment.version_id
            == any_(due_tasks.array([one.id for one in versions], BigInteger())),
        )
    )
    if contact_ids is not None:
        fresh = fresh.where(scope.only(Enrollment.contact_id, contact_ids))
        waiting = waiting.where(scope.only(Enrollment.contact_id, contact_ids))
    return union_all(fresh, waiting)


def _reasons(
    version: Running, day: date, steps: Sequence[DueStep], rules: Rules
) -> list[tuple[ColumnElement[bool], str]]:
    found: list[tuple[ColumnElement[bool], str]] = []
    entry = triggers.of(version.trigger)
    if entry.is_rechecked and steps:
        # What waits may be of an earlier day than any step due now: moved, or overdue tonight.
        first = min(step.first for step in steps) - timedelta(days=rules.catch_up_days + _LONGER)
        last = max(step.last for step in steps)
        anchored = entry.due(first, last, version.trigger).subquery("anchored")
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
