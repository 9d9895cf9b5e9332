"""Due steps and the tasks they ask for (到期步骤的任务), as SQL: whose, of which kind, when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Date,
    FromClause,
    Integer,
    Interval,
    Text,
    Time,
    case,
    cast,
    func,
    literal,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.elements import ColumnElement

from sop import channels_of, missed, quiet, times, why
from sop.models import Carrier, Enrollment, EnrollmentState, IfMissed, SopStep
from sop.running import Rules, Running

#: A "+23h" step inside quiet hours may fall due two days after its anchor.
_RELATIVE_DAYS = 2
#: When what a machine sends or a guide confirms goes out, if its step names no time.
_USUAL_TIME = time(10, 0)


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
    #: Days after its due day on which it still makes sense.
    grace: int


def due_steps(version: Running, day: date, rules: Rules) -> list[DueStep]:
    """The version's steps with the anchor days that make them due on `day` or a caught-up one."""
    found: list[DueStep] = []
    for step in version.contact_steps:
        moment, grace = times.parse(step.at), missed.grace(step, rules.catch_up_days)
        if isinstance(moment, timedelta):
            reach = grace + _RELATIVE_DAYS
            first, last = day - timedelta(days=reach), day
            found.append(DueStep(step, first, last, step.day, None, moment, grace))
            continue
        moved, clock = (0, None) if moment is None else rules.quiet.settle(moment)
        last = day - timedelta(days=step.day + moved)
        first = last - timedelta(days=grace)
        found.append(DueStep(step, first, last, step.day + moved, clock, None, grace))
    return found


def of(
    version: Running, day: date, steps: Sequence[DueStep], rules: Rules, due: FromClause
) -> FromClause:
    """The tasks of these due steps: who, which step, `resolved` kind, days, moment, why.

    `resolved` is `none` where there shall be no task, NULL where nothing reaches the customer;
    `kind` is then the usual one.
    """
    chosen = _chosen(version, day, steps, rules, due)
    kind = func.coalesce(chosen.c.resolved, chosen.c.usual_kind)
    made = select(chosen, kind.label("kind"), channels_of.carrier_of(kind).label("carrier"))
    rows = made.subquery("made")
    if any(one.step.if_missed == IfMissed.MOVE for one in steps):
        moved = select(rows, missed.due_on(rows).label("due_on"))
        # Looking for a workable day is asked for once a task, however often the day is used.
        settled: Any = moved.cte("settled").prefix_with("MATERIALIZED")
    else:
        settled = select(rows, rows.c.wanted_on.label("due_on")).subquery("settled")
    due_at = _due_at(settled, rules).label("due_at")
    return select(settled, due_at, _why(settled, steps)).subquery("due_task")


def _chosen(
    version: Running, day: date, steps: Sequence[DueStep], rules: Rules, due: FromClause
) -> FromClause:
    step, wanted_on, later = _columns(steps, rules)
    entries, grace = [one.step for one in steps], cast(step.c.grace, Integer)
    found = (
        select(
            Enrollment.id.label("enrollment_id"),
            Enrollment.contact_id,
            Enrollment.guide_id,
            step.c.step_key,
            step.c.step_id,
            step.c.clock,
            grace.label("grace"),
            step.c.is_moved,
            step.c.workdays_only,
            step.c.kind.label("usual_kind"),
            channels_of.kind_of(entries, step, day).label("resolved"),
            channels_of.case_of(entries, step).label("asked"),
            wanted_on.label("wanted_on"),
            later.label("later"),
            why.begun(version, Enrollment.facts, Enrollment.anchored_on, step.c.title).label(
                "begun"
            ),
        )
        .select_from(due)
        .join(Enrollment, Enrollment.id == due.c.enrollment_id)
        .join(step, step.c.step_key == due.c.step_key)
        .where(
            due.c.version_id == version.id,
            Enrollment.state == EnrollmentState.ACTIVE,
            wanted_on <= day,
            wanted_on + grace >= day,
        )
    )
    if version.effective_on is not None:
        # Publishing never wakes a step whose day had passed before.
        found = found.where(wanted_on >= version.effective_on)
    return found.subquery("chosen")


def _due_at(row: Any, rules: Rules) -> ColumnElement[Any]:
    """The moment on the due day; NULL: all day."""
    on, moved = row.c.due_on, row.c.due_on - row.c.wanted_on
    _, usual = rules.quiet.settle(_USUAL_TIME)
    day = literal(timedelta(days=1), Interval)
    return case(
        (row.c.later.is_not(None), quiet.to_moment(row.c.later + moved * day)),
        (row.c.clock.is_not(None), quiet.to_moment(on + cast(row.c.clock, Time))),
        (
            row.c.carrier != Carrier.GUIDE.value,
            quiet.to_moment(on + cast(literal(usual), Time)),
        ),
        else_=null(),
    )


def _why(row: Any, steps: Sequence[DueStep]) -> ColumnElement[Any]:
    kept: ColumnElement[Any] = row.c.begun
    nothing = cast(literal("{}", Text), JSONB)
    if any(one.step.channels is not None for one in steps):
        told = channels_of.why_channel(row.c.kind, row.c.asked)
        told = case((row.c.asked.is_not(None), told), else_=nothing)
        kept = kept.op("||", return_type=JSONB())(told)
    if any(one.step.if_missed == IfMissed.MOVE for one in steps):
        moved = missed.why_moved(row)
        moved = case((row.c.due_on != row.c.wanted_on, moved), else_=nothing)
        kept = kept.op("||", return_type=JSONB())(moved)
    return kept.label("why")


def _columns(
    steps: Sequence[DueStep], rules: Rules
) -> tuple[Any, ColumnElement[Any], ColumnElement[Any]]:
    """The steps as a table; the wanted day, and the local moment of one after a delay or NULL."""
    step = (
        func.unnest(
            array([one.step.id for one in steps], BigInteger()),
            array([one.step.key for one in steps], Text()),
            array([one.step.title for one in steps], Text()),
            array([one.step.kind for one in steps], Text()),
            array([one.offset for one in steps], Integer()),
            array([one.clock for one in steps], Time()),
            array([one.delay for one in steps], Interval()),
            array([one.grace for one in steps], Integer()),
            array([one.step.if_missed == IfMissed.MOVE for one in steps], Boolean()),
            array([one.step.workdays_only for one in steps], Boolean()),
        )
        .table_valued(
            "step_id",
            "step_key",
            "title",
            "kind",
            "days",
            "clock",
            "delay",
            "grace",
            "is_moved",
            "workdays_only",
            name="step",
        )
        .render_derived()
    )
    on_the_clock = Enrollment.anchored_on + cast(step.c.days, Integer)
    later = rules.quiet.settle_local(
        quiet.to_local(Enrollment.anchored_at + cast(step.c.delay, Interval))
    )
    is_relative = step.c.delay.is_not(None)
    wanted_on = case((is_relative, cast(later, Date)), else_=on_the_clock)
    return step, wanted_on, later


def array(values: Sequence[Any], kind: Any) -> ColumnElement[Any]:
    """A list as one parameter."""
    # Named in full: a statement that makes a table is sent with its values written out.
    return cast(literal(list(values), ARRAY(kind)), ARRAY(kind))
