"""Taking enrolled customers along to a new version (版本迁移); what is done stays done."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text, update
from sqlalchemy.orm import Session

from bot.clock import business_day
from sop import writing
from sop.models import Enrollment, EnrollmentState, SopVersion

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
      AND t.state = 'withdrawn' AND t.state_reason = :reason AND t.expires_on >= :day
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


def tasks(session: Session, version: SopVersion, now: datetime) -> tuple[int, int]:
    """Unfinished tasks follow the version: (withdrawn for their step is gone, renewed)."""
    which = {"version_id": version.id}
    gone = {**which, "reason": "新版本去掉了这一步"}
    dropped = session.execute(_DROP_TASKS, {**gone, "now": now}).scalar_one()
    session.execute(_REVIVE_TASKS, {**gone, "day": business_day(now)})
    moved = writing.rows(session, _MOVE_TASKS, {**which, "number": version.number})
    session.expire_all()
    return int(dropped), moved
