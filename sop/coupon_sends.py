"""Coupons that go with tasks (随任务发券): issued as a task opens, void when it comes to nothing.

The number is random, so that nobody can guess another one; the row of `coupon_issue` is what makes
it one coupon per task however often a day is planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.clock import at, business_day
from bot.crm import coupons
from bot.crm.coupons import Issue

_CHUNK = 2000

_WAITING = """
    SELECT t.id, t.contact_id, k.name AS template, k.value_fen, k.valid_days
    FROM task t
    JOIN sop_step s ON s.id = t.step_id
    JOIN coupon_template k ON k.id = s.coupon_template_id
    WHERE t.planned_on = :day AND t.state = 'open' AND t.id > :after {only}
      AND NOT EXISTS (SELECT FROM coupon_issue i WHERE i.task_id = t.id)
    ORDER BY t.id LIMIT :chunk
"""
_KEEP = text(
    """
    INSERT INTO coupon_issue (task_id, coupon_id)
    SELECT task_id, coupon_id
    FROM unnest(CAST(:tasks AS bigint[]), CAST(:coupons AS bigint[])) AS k (task_id, coupon_id)
    ON CONFLICT (task_id) DO NOTHING
    """
)
# A coupon nobody was told of, because its task was left out. Once the guide has opened the task she
# may have sent its words; a machine's message that may have left keeps its claim on the customer.
_UNTOLD = """
    SELECT i.coupon_id FROM coupon_issue i
    JOIN task t ON t.id = i.task_id
    JOIN coupon c ON c.id = i.coupon_id AND c.state = 'issued'
    WHERE t.state IN ('skipped', 'expired', 'withdrawn')
      AND t.opened_at IS NULL AND t.sent_at IS NULL
      AND NOT EXISTS (SELECT FROM touch_ledger l WHERE l.task_id = t.id) {only}
"""


def issue_for_open(
    session: Session, day: date, now: datetime, contact_ids: Sequence[int] | None = None
) -> int:
    """A coupon for each open task of `day` whose step gives one; returns how many are new.

    Coupons of tasks that came to nothing are void. A few statements for every two thousand tasks.
    """
    void(session, now, contact_ids)
    issued, after = 0, 0
    while True:
        rows = _waiting(session, day, contact_ids, after)
        if rows:
            _issue(session, rows, day, now)
        issued += len(rows)
        if len(rows) < _CHUNK:
            return issued
        after = rows[-1].id


def void(session: Session, now: datetime, contact_ids: Sequence[int] | None = None) -> int:
    """Take back the coupons of tasks that were left out; returns how many."""
    only, given = _only(contact_ids)
    untold = session.scalars(text(_UNTOLD.format(only=only)), given).all()
    return coupons.void(session, untold, now) if untold else 0


def _waiting(
    session: Session, day: date, contact_ids: Sequence[int] | None, after: int
) -> Sequence[Any]:
    only, given = _only(contact_ids)
    given |= {"day": day, "after": after, "chunk": _CHUNK}
    return session.execute(text(_WAITING.format(only=only)), given).all()


def _issue(session: Session, rows: Sequence[Any], day: date, now: datetime) -> None:
    # A coupon belongs to the day of its task, also when that day has not begun or is caught up.
    issued_at = now if business_day(now) == day else at(day, 0)
    numbers = {row.id: coupons.new_number() for row in rows}
    ids = coupons.issue(
        session,
        [
            Issue(
                contact_id=row.contact_id,
                template=row.template,
                value_fen=row.value_fen,
                expires_on=day + timedelta(days=row.valid_days),
                coupon_no=numbers[row.id],
            )
            for row in rows
        ],
        issued_at,
    )
    given = {
        "tasks": [row.id for row in rows],
        "coupons": [ids[numbers[row.id]] for row in rows],
    }
    session.execute(_KEEP, given)


def _only(contact_ids: Sequence[int] | None) -> tuple[str, dict[str, Any]]:
    if contact_ids is None:
        return "", {}
    return "AND t.contact_id = ANY(:contacts)", {"contacts": list(contact_ids)}
