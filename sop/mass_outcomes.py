"""What became of mass messages (群发结果), customer by customer: done, skipped, still open."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm import timeline
from bot.wecom import mass
from sop import mass_sends

#: How long a guide may confirm: longer than any brand catches up.
WATCHED = timedelta(days=32)

_REASONS: dict[int, str] = {
    mass.Sent.NOT_FRIENDS: "客户已不是导购的好友，群发没有送达",
    mass.Sent.OVER_LIMIT: "客户本月收到的群发已达上限，没有送达",
}
_DONE = text(
    """
    UPDATE task AS t
    SET state = 'done', ended_at = got.at, sent_at = got.at, state_reason = NULL
    FROM unnest(CAST(:people AS text[]), CAST(:moments AS timestamptz[])) AS got (person, at)
    JOIN contact AS c ON c.external_userid = got.person
    WHERE t.mass_send_id = :id AND t.contact_id = c.id AND t.state = 'open'
    RETURNING t.id, t.contact_id, t.guide_id, t.why ->> 'step' AS title, t.ended_at
    """
)
# She got it, whatever became of her task meanwhile: that is the day she was written to.
_TOUCH = text(
    """
    INSERT INTO touch_ledger (contact_id, touched_on, channel, task_id)
    SELECT t.contact_id, timezone('Asia/Shanghai', got.at)::date, 'mass_message', t.id
    FROM unnest(CAST(:people AS text[]), CAST(:moments AS timestamptz[])) AS got (person, at)
    JOIN contact AS c ON c.external_userid = got.person
    JOIN task AS t ON t.mass_send_id = :id AND t.contact_id = c.id
    ON CONFLICT (task_id) DO UPDATE SET touched_on = excluded.touched_on
    WHERE touch_ledger.touched_on <> excluded.touched_on
    """
)
_COUNT = text(
    """
    UPDATE mass_send AS m
    SET sent_count = counted.done, checked_at = :now, error = NULL,
        state = CASE WHEN :confirmed THEN 'confirmed' ELSE m.state END
    FROM (SELECT count(*) AS done FROM task WHERE mass_send_id = :id AND state = 'done') AS counted
    WHERE m.id = :id AND m.state IN ('created', 'confirmed')
    """
)


_TO_WATCH = text(
    """
    SELECT m.id, m.msgid FROM mass_send AS m
    WHERE m.planned_on >= :since AND m.state IN ('created', 'confirmed') AND m.msgid IS NOT NULL
      AND EXISTS (
          SELECT FROM task AS t
          WHERE t.mass_send_id = m.id
            AND (t.state = 'open' OR m.state = 'created'
                 AND t.state IN ('expired', 'withdrawn') AND t.ended_at > :ended_since))
    ORDER BY m.checked_at NULLS FIRST, m.id
    """
)


@dataclass(frozen=True)
class Watched:
    """A mass message whose guide may have confirmed it."""

    id: int
    msgid: str


def to_watch(session: Session, now: datetime) -> list[Watched]:
    """The messages of the last days whose results are not all known, oldest look first.

    A message whose tasks have ended otherwise is looked at for one day more: a guide may confirm
    in the very hour in which her customer's task ends.
    """
    rows = session.execute(
        _TO_WATCH, {"since": business_day(now - WATCHED), "ended_since": now - timedelta(days=1)}
    )
    return [Watched(row.id, row.msgid) for row in rows]


def apply(
    session: Session,
    send_id: int,
    outcomes: Sequence[mass.Outcome],
    *,
    is_confirmed: bool,
    now: datetime,
) -> int:
    """Write down what became of a mass message; returns the tasks that are done now.

    Seeing the same outcomes again changes nothing. A customer who got it counts as touched on
    that day, also if her task had been withdrawn meanwhile.
    """
    by_status: dict[int, list[mass.Outcome]] = defaultdict(list)
    for one in outcomes:
        by_status[one.status].append(one)
    got = by_status[mass.Sent.SENT]
    given = {
        "id": send_id,
        "people": [one.receiver for one in got],
        "moments": [one.sent_at or now for one in got],
    }
    done: Sequence[Row[*tuple[Any, ...]]] = []
    if got:
        done = session.execute(_DONE, given).all()
        session.execute(_TOUCH, given)
        timeline.record_many(session, [_line(row) for row in done])
    for status, reason in _REASONS.items():
        if by_status[status]:
            people = [one.receiver for one in by_status[status]]
            mass_sends.skip(session, send_id, people, reason, now)
    session.execute(_COUNT, {"id": send_id, "confirmed": is_confirmed, "now": now})
    return len(done)


def note_look(session: Session, send_id: int, now: datetime) -> None:
    """WeCom was away when it was asked for this one: the next run asks for others first."""
    mass_sends.set_values(session, send_id, None, checked_at=now)


def note_error(session: Session, send_id: int, reason: str, now: datetime) -> None:
    """WeCom would not say what became of a message."""
    mass_sends.set_values(session, send_id, None, error=reason[:300], checked_at=now)


def _line(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    return {
        "contact_id": row.contact_id,
        "guide_id": row.guide_id,
        "kind": "task",
        "occurred_at": row.ended_at.isoformat(),
        "text": f"导购群发了「{row.title or '群发'}」",
        "detail": {"task_id": row.id, "state": "done"},
        "dedupe_key": f"task:{row.id}:done",
    }
