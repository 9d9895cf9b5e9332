"""Leases on the outbox (租约): take calls in hand, and write down how they ended, fenced.

Every statement that ends a lease names its token: whoever lost the lease (paused too long, given
up for dead) changes nothing, and is counted. A call whose worker died (bot.presence) or whose lease
ended is taken up again; `crashes` and `ambiguous` then say that a try with unknown effect lies
behind it.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import TextClause, func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot import metrics, presence
from bot.outbox import ApiPause, CallState, Delivery, Outbox, delivery

# A call may take 2 s to connect and 5 s to answer. On the fast lane a paused worker's welcome must
# be taken up while its code still lives (20 s).
_LEASE_SECONDS = {"fast": 9.0, "send": 30.0, "marks": 30.0}

_RETURNED = ", ".join(f"o.{name}" for name in Delivery.__dataclass_fields__)


def _claim(returned: str, order: str) -> TextClause:
    return text(
        f"""
        UPDATE outbox o
           SET state = 'sending', attempts = o.attempts + 1,
               first_tried_at = coalesce(o.first_tried_at, now()),
               crashes = o.crashes + (o.state = 'sending')::int,
               ambiguous = o.ambiguous OR o.state = 'sending',
               lease_until = now() + make_interval(secs => :lease), lease_token = :token,
               lease_owner = :owner
         WHERE o.id IN (
               SELECT due.id FROM outbox due
                WHERE due.lane = :lane AND due.not_before <= :now
                  AND due.state IN ('due', 'sending')
                  AND CASE due.state WHEN 'due' THEN due.retry_at <= now()
                           ELSE due.lease_until <= now() OR {presence.IS_OWNER_GONE} END
                  AND NOT EXISTS (SELECT 1 FROM api_pause p
                                   WHERE p.api = due.api AND p.until > now()
                                     AND (due.deadline IS NULL OR due.deadline > :now))
                  AND (due.order_key IS NULL OR NOT EXISTS (
                       SELECT 1 FROM outbox earlier
                        WHERE earlier.order_key = due.order_key AND earlier.id < due.id
                          AND earlier.state IN ('due', 'sending')))
                ORDER BY {order}
                LIMIT :most FOR UPDATE SKIP LOCKED)
        RETURNING {returned}
        """
    )


# The send lane may hold a morning's digests, so it goes along its index; on the fast lane what has
# a deadline (a welcome) goes before what has none (an alert), however many of these wait.
_CLAIM = {
    "send": _claim(_RETURNED, "due.not_before, due.id"),
    "fast": _claim(_RETURNED, "due.deadline NULLS LAST, due.id"),
    "marks": _claim(_RETURNED, "due.not_before, due.id"),
}


def claim(session: Session, lane: str, *, now: datetime, most: int) -> list[Delivery]:
    """Take up to `most` calls that are due in hand; the caller commits before it calls WeCom.

    The try is counted here, so that a call that kills its worker is counted too. Calls of a
    paused API stay where they are, except to expire; calls behind an open one of the same
    order key wait for it.
    """
    rows = session.execute(
        _CLAIM[lane],
        {
            "lane": lane,
            "now": now,
            "most": most,
            "lease": _LEASE_SECONDS[lane],
            "token": uuid.uuid4(),
            "owner": presence.owner_of(session),
        },
    ).all()
    return [delivery(row) for row in sorted(rows, key=lambda row: (row.not_before, row.id))]


# Every call ends here, so this statement is not put together anew each time.
_FINISH = text(
    """
    UPDATE outbox SET state = :state, lease_until = NULL, done_at = now(), last_error = :error,
           last_errcode = :errcode, result = COALESCE(CAST(:result AS jsonb), result)
     WHERE id = :id AND lease_token = :token AND state = 'sending' RETURNING id
    """
)


def keep_result(session: Session, held: Delivery, result: dict[str, Any]) -> bool:
    """Note WeCom's answer before anything else is done with it; False: the lease is lost."""
    return _change(session, held, {"result": result})


def finish(
    session: Session,
    held: Delivery,
    state: CallState,
    *,
    result: dict[str, Any] | None = None,
    error: str | None = None,
    errcode: int | None = None,
) -> bool:
    """End a call in `state`; False: the lease is lost, and the caller must undo what it did."""
    given = {
        "id": held.id,
        "token": held.lease_token,
        "state": state.value,
        "result": None if result is None else json.dumps(result, ensure_ascii=False),
        "error": error,
        "errcode": errcode,
    }
    return _counts(session.execute(_FINISH, given).first() is not None)


def put_back(
    session: Session,
    held: Delivery,
    *,
    wait: timedelta,
    error: str | None,
    errcode: int | None = None,
    counted: bool = True,
    ambiguous: bool = False,
) -> bool:
    """Let a call wait and be tried again. `counted=False` takes back the count of this try."""
    return _change(
        session,
        held,
        {
            "state": CallState.DUE,
            "lease_until": None,
            "retry_at": func.now() + wait,
            "attempts": Outbox.attempts - (0 if counted else 1),
            "ambiguous": Outbox.ambiguous | ambiguous,
            "last_error": error,
            "last_errcode": errcode,
        },
    )


def pause_api(session: Session, api: str, *, wait: timedelta, reason: str, is_held: bool) -> None:
    """Nobody claims a call of `api` for `wait`; a longer pause that runs already stays."""
    fresh = insert(ApiPause).values(
        api=api, until=func.now() + wait, reason=reason, is_held=is_held
    )
    session.execute(
        fresh.on_conflict_do_update(
            index_elements=[ApiPause.api],
            set_={
                "until": func.greatest(ApiPause.until, fresh.excluded.until),
                "reason": fresh.excluded.reason,
                "is_held": fresh.excluded.is_held,
                "since": func.now(),
            },
        )
    )


def resume_api(session: Session, api: str) -> bool:
    """End a pause at once, when HQ has set right what was wrong; False: there was none."""
    return (
        session.execute(
            update(ApiPause)
            .where(ApiPause.api == api, ApiPause.until > func.now())
            .values(until=func.now())
            .returning(ApiPause.api)
        ).first()
        is not None
    )


def _change(session: Session, held: Delivery, values: dict[str, Any]) -> bool:
    changed = session.execute(
        update(Outbox)
        .where(
            Outbox.id == held.id,
            Outbox.lease_token == held.lease_token,
            Outbox.state == CallState.SENDING,
        )
        .values(**values)
        .returning(Outbox.id)
    ).first()
    return _counts(changed is not None)


def _counts(was_ours: bool) -> bool:
    if not was_ours:
        metrics.FENCED.labels("outbox").inc()
    return was_ours
