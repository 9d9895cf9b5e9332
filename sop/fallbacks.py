"""When a channel does not reach a customer (换一种方式): the same task goes on along its chain.

The carrier told us that nothing left, and why it never will today. The task keeps its claim on the
customer, its day and its coupon, and only the way changes; so she is written to once.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm import changes
from sop import channels_of, step_kinds
from sop.models import SopStep, Task, TaskState

_TURN = text(
    """
    WITH turned AS (
        UPDATE task SET kind = :kind, carrier = :carrier, words = NULL, variant = NULL,
            why = why || jsonb_build_object('channel',
                COALESCE((why ->> 'channel') || '；', '') || CAST(:told AS text))
        WHERE id = :id
        RETURNING id, contact_id
    ), claimed AS (
        UPDATE touch_ledger AS l SET channel = :kind FROM turned WHERE l.task_id = turned.id
    )
    SELECT contact_id FROM turned
    """
)


def has_gone_on(session: Session, task_id: int, kind: str) -> bool:
    """Whether the task is on another way than `kind` already; what is told of that one is old."""
    now = session.scalar(select(Task.kind).where(Task.id == task_id))
    return now is not None and now != kind


def go_on(session: Session, task_id: int, kind: str, reason: str, at: datetime) -> bool:
    """Put an open task from `kind` to the next one of its chain that reaches; False: none does.

    Whatever the next way is, it is under way by itself: machines send what is due with the next
    tick, and a mass message gathers its customers when they are looked at again.
    """
    found = session.execute(
        select(Task, SopStep)
        .join(SopStep, SopStep.id == Task.step_id)
        .where(Task.id == task_id, Task.kind == kind, Task.state == TaskState.OPEN)
        .with_for_update(of=Task)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        return False
    task, step = found
    following = channels_of.next_kind(session, task.enrollment_id, step, kind, business_day(at))
    if following is None:
        return False
    told = f"{step_kinds.KINDS[kind]}没有发出（{reason}），改{channels_of.HOW[following]}"
    given = {
        "id": task_id,
        "kind": following,
        "carrier": step_kinds.CARRIERS[following].value,
        "told": told,
    }
    changes.mark(session, session.scalars(_TURN, given).all())
    session.expire(task)
    return True
