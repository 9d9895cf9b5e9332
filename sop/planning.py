"""The plan of a day (排期): from enrollments to numbered tasks, in a constant number of statements.

The night plans everybody; an event plans its contacts at once under the same caps. Both are
repeatable: every step is guarded by a unique key or by a state it has left. A day that has not
begun may be planned ahead: nothing of today is touched, and the night of that day plans it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.orm import Session

from bot.clock import business_day
from sop import (
    appointments,
    candidates,
    caps,
    coupon_sends,
    enrollment,
    mass,
    opening,
    running,
    sends,
    turn,
    words,
    writing,
)
from sop.caps import Decided
from sop.running import Rules, Running

# What statements ask for; words and reasons would be sampled too, and are most of a row.
_ASKED_FOR = ("enrollment_id", "step_id", "contact_id", "carrier", "state", "due_on")


@dataclass(frozen=True)
class PlanResult:
    """What one run did; `deferred` is what waits after it."""

    created: int
    opened: int
    deferred: int
    withdrawn: int
    expired: int
    carried: int


def plan(
    session: Session,
    day: date,
    now: datetime,
    contact_ids: Sequence[int] | None = None,
) -> PlanResult:
    """Make the tasks of `day`; `contact_ids` limits the run to these customers.

    A `day` later than that of `now` is planned ahead: nobody is withdrawn, and nothing expires or
    is carried over, for that is decided by the days until then.
    Runs after `enrollment.enroll_due`, one run at a time. The number of statements depends on the
    number of versions only, plus a few for every two thousand tasks opened (their words).
    """
    turn.take(session)
    rules = Rules.read(session)
    if day > business_day(now):
        return _plan_ahead(session, day, rules, contact_ids)
    ended = enrollment.withdraw_ended(session, day, contact_ids, now=now)
    if contact_ids is None:
        mass.close(session, day, now)
    carried = caps.carry_over(session, day, contact_ids)
    created = 0
    for version in _due(session, day, rules, contact_ids):
        ended += candidates.recheck(session, version, day, now, rules).enrollments
        created += candidates.create(session, version, day, rules)
    expired = caps.expire(session, day, now, contact_ids)
    caps.withdraw_refused(session, day, now, contact_ids)
    decided = _open(session, day, rules, contact_ids, created, is_ahead=False)
    _prepare(session, day, now, contact_ids)
    return PlanResult(created, decided.opened, decided.deferred, ended, expired, carried)


def _due(
    session: Session, day: date, rules: Rules, contact_ids: Sequence[int] | None
) -> list[Running]:
    versions = running.in_use(session)
    due = candidates.gather(session, versions, day, rules, contact_ids)
    return [version for version in versions if version.id in due]


def _open(
    session: Session,
    day: date,
    rules: Rules,
    contact_ids: Sequence[int] | None,
    created: int,
    *,
    is_ahead: bool,
) -> Decided:
    if created > writing.MANY_ROWS:
        writing.look_again(session, "pg_temp.new_task", *_ASKED_FOR)
    decided = caps.decide(session, day, rules, contact_ids, ahead=is_ahead)
    opening.carry_out(session, day, rules, decided, ahead=is_ahead)
    if max(created, decided.opened) > writing.MANY_ROWS:
        writing.look_again(session, "task", *_ASKED_FOR, "guide_id", "planned_on")
    return decided


def _prepare(session: Session, day: date, now: datetime, contact_ids: Sequence[int] | None) -> None:
    """What opened tasks need: a message, a coupon, words, an invitation. Rows only: no calls."""
    mass.gather(session, day, now, contact_ids)
    coupon_sends.issue_for_open(session, day, now, contact_ids)
    words.render(session, day, contact_ids)
    sends.queue_machine(session, day, now, contact_ids)
    appointments.invite_for_open(session, day, now, contact_ids)


def _plan_ahead(
    session: Session, day: date, rules: Rules, contact_ids: Sequence[int] | None
) -> PlanResult:
    due = _due(session, day, rules, contact_ids)
    created = sum(candidates.create(session, version, day, rules) for version in due)
    decided = _open(session, day, rules, contact_ids, created, is_ahead=True)
    if decided.opened:
        words.render(session, day, contact_ids)
    return PlanResult(created, decided.opened, decided.deferred, 0, 0, 0)
