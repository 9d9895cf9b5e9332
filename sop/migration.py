"""Taking enrolled customers along to a new version (版本迁移); what is done stays done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Row, select, text, update
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm import changes
from sop import channels_of, step_kinds, writing
from sop.models import (
    UNFINISHED,
    Enrollment,
    EnrollmentState,
    SopStep,
    SopVersion,
    Task,
    TaskState,
)

_GONE = "新版本去掉了这一步"
_UNWANTED = "新版本不用这种方式联系这位客户"
_REROUTED = "新版本换了方式"

_MOVE_TASKS = text(
    """
    UPDATE task AS t
    SET step_id = s.id, words = NULL, variant = NULL,
        why = t.why || jsonb_build_object('version', CAST(:number AS int), 'step', s.title)
    FROM enrollment AS e, sop_step AS s
    WHERE e.id = t.enrollment_id AND e.version_id = :version_id AND e.state = 'active'
      AND s.version_id = :version_id AND s.key = t.step_key
      AND t.state IN ('deferred', 'open') AND t.step_id <> s.id
    """
)
# Going back to a version brings back what leaving it had withdrawn, if it is still in time.
_REVIVE_TASKS = text(
    """
    UPDATE task AS t
    SET state = 'deferred', state_reason = NULL, ended_at = NULL, planned_on = NULL,
        number = NULL, words = NULL, announced_at = NULL
    FROM enrollment AS e, sop_step AS s
    WHERE e.id = t.enrollment_id AND e.version_id = :version_id AND e.state = 'active'
      AND s.version_id = :version_id AND s.key = t.step_key
      AND t.state = 'withdrawn' AND t.state_reason = ANY(:reasons) AND t.expires_on >= :day
    """
)
_DROP_TASKS = text(
    """
    WITH dropped AS (
        UPDATE task AS t
        SET state = 'withdrawn', state_reason = :reason, ended_at = :now
        FROM enrollment AS e
        WHERE e.id = t.enrollment_id AND e.version_id = :version_id AND e.state = 'active'
          AND t.state IN ('deferred', 'open')
          AND NOT EXISTS (SELECT FROM sop_step AS s
                          WHERE s.version_id = :version_id AND s.key = t.step_key)
        RETURNING t.id
    ), freed AS (
        DELETE FROM touch_ledger AS l USING dropped WHERE l.task_id = dropped.id
    )
    SELECT count(*) FROM dropped
    """
)

# What is on its way already stays what it is: a call that was handed over, a mass message that the
# guide has. The rest goes the new way; who does it being another, it asks for its place anew.
_REROUTE = text(
    """
    WITH wanted AS (
        SELECT t.id, w.kind, w.carrier, w.channel,
               CASE WHEN w.kind IS NULL OR w.kind = :no_task THEN 'withdrawn'
                    WHEN t.state = 'open' AND w.carrier = t.carrier THEN 'open'
                    ELSE 'deferred' END AS state
        FROM unnest(CAST(:ids AS bigint[]), CAST(:kinds AS text[]), CAST(:carriers AS text[]),
                    CAST(:channels AS text[])) AS w (id, kind, carrier, channel)
        JOIN task AS t ON t.id = w.id AND t.kind IS DISTINCT FROM w.kind
        WHERE NOT EXISTS (SELECT FROM mass_send AS sent
                          WHERE sent.id = t.mass_send_id AND sent.state <> 'waiting')
          AND NOT EXISTS (
              SELECT FROM outbox AS o
              WHERE o.dedupe_key = 'task:' || t.id || ':' || t.planned_on || ':' || t.kind
                AND o.state IN ('due', 'sending'))
    ), changed AS (
        UPDATE task AS t
        SET state = w.state,
            kind = CASE w.state WHEN 'withdrawn' THEN t.kind ELSE w.kind END,
            carrier = CASE w.state WHEN 'withdrawn' THEN t.carrier ELSE w.carrier END,
            words = NULL, variant = NULL,
            mass_send_id = NULL,
            planned_on = CASE w.state WHEN 'deferred' THEN NULL ELSE t.planned_on END,
            number = CASE w.state WHEN 'deferred' THEN NULL ELSE t.number END,
            announced_at = CASE w.state WHEN 'deferred' THEN NULL ELSE t.announced_at END,
            state_reason = CASE w.state WHEN 'open' THEN t.state_reason
                                        WHEN 'deferred' THEN :rerouted ELSE :unwanted END,
            ended_at = CASE w.state WHEN 'withdrawn' THEN CAST(:now AS timestamptz) END,
            why = (t.why - 'channel') || CASE WHEN w.channel IS NULL THEN '{}'
                ELSE jsonb_build_object('channel', w.channel) END
        FROM wanted AS w WHERE w.id = t.id
        RETURNING t.id, t.contact_id, t.state, t.kind
    ), freed AS (
        DELETE FROM touch_ledger AS l USING changed
        WHERE l.task_id = changed.id AND changed.state <> 'open'
    ), claimed AS (
        UPDATE touch_ledger AS l SET channel = changed.kind FROM changed
        WHERE l.task_id = changed.id AND changed.state = 'open'
    )
    SELECT contact_id, state FROM changed
    """
)


@dataclass(frozen=True)
class Moved:
    """Unfinished tasks that went along: renewed, of them on another way, and withdrawn."""

    renewed: int
    rerouted: int
    withdrawn: int


def enrollments(session: Session, version: SopVersion) -> int:
    """Everyone enrolled under an older version goes on with this one; returns how many."""
    return writing.rows(
        session,
        update(Enrollment)
        .where(
            Enrollment.sop_id == version.sop_id,
            Enrollment.state == EnrollmentState.ACTIVE,
            Enrollment.version_id != version.id,
        )
        .values(version_id=version.id),
    )


def tasks(session: Session, version: SopVersion, now: datetime) -> Moved:
    """Unfinished tasks follow the version: its words, its kinds, and no step that it has not."""
    which = {"version_id": version.id}
    dropped = session.execute(_DROP_TASKS, {**which, "reason": _GONE, "now": now}).scalar_one()
    day = business_day(now)
    session.execute(_REVIVE_TASKS, {**which, "reasons": [_GONE, _UNWANTED], "day": day})
    otherwise = _otherwise(session, version, day)
    moved = writing.rows(session, _MOVE_TASKS, {**which, "number": version.number})
    rerouted, unwanted = _reroute(session, otherwise, now)
    session.expire_all()
    return Moved(moved - unwanted, rerouted, int(dropped) + unwanted)


def _otherwise(session: Session, version: SopVersion, day: date) -> Sequence[Row[Any]]:
    """Unfinished tasks of steps that are done another way now, each with that way for its customer.

    A step that says what it said leaves its tasks alone, whatever became of the customer's tier.
    """
    steps = session.scalars(select(SopStep).where(SopStep.version_id == version.id)).all()
    ways = {step.key: (step.kind, step.channels) for step in steps}
    former = session.scalars(
        select(SopStep)
        .join(SopVersion, SopVersion.id == SopStep.version_id)
        .where(SopVersion.sop_id == version.sop_id, SopStep.key.in_(ways))
    )
    changed = [one.id for one in former if (one.kind, one.channels) != ways[one.key]]
    step = (
        select(SopStep.key.label("step_key"), SopStep.kind)
        .where(SopStep.version_id == version.id)
        .subquery("step")
    )
    kind = channels_of.kind_of(steps, step, day)
    asked = channels_of.case_of(steps, step)
    return session.execute(
        select(
            Task.id,
            kind.label("kind"),
            channels_of.carrier_of(kind).label("carrier"),
            channels_of.why_channel(kind, asked)["channel"].astext.label("channel"),
        )
        .select_from(Task)
        .join(Enrollment, Enrollment.id == Task.enrollment_id)
        .join(step, step.c.step_key == Task.step_key)
        .where(
            Task.step_id.in_(changed),
            Task.state.in_(UNFINISHED),
            Enrollment.version_id == version.id,
            Enrollment.state == EnrollmentState.ACTIVE,
        )
        .order_by(Task.id)
    ).all()


def _reroute(session: Session, found: Sequence[Row[Any]], now: datetime) -> tuple[int, int]:
    """Put tasks on their new way; returns how many go on, and how many are withdrawn."""
    if not found:
        return 0, 0
    given = {
        "ids": [row.id for row in found],
        "kinds": [row.kind for row in found],
        "carriers": [row.carrier for row in found],
        "channels": [row.channel for row in found],
        "no_task": step_kinds.NO_TASK,
        "rerouted": _REROUTED,
        "unwanted": _UNWANTED,
        "now": now,
    }
    rows = session.execute(_REROUTE, given).all()
    # Today is planned again for them within the minute.
    changes.mark(session, [row.contact_id for row in rows])
    withdrawn = sum(row.state == TaskState.WITHDRAWN for row in rows)
    return len(rows) - withdrawn, withdrawn
