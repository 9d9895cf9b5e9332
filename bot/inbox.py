"""Inbox (收件箱): each message WeCom sent, kept once before it was answered, handled until done.

A message is what was decrypted: delivered three times, it is one row whose `seen_count` is three.
Handling is leased and fenced like the outbox; what fails five times is dead, visible, and out of
the way of the others.
"""

from __future__ import annotations

import json
import uuid
from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from bot import jobs, metrics, presence
from bot.db import Base, transaction
from bot.wecom import callback
from bot.wecom.events import (
    ContactEdited,
    CorpTagChanged,
    Event,
    GroupChatChanged,
    UnknownEvent,
)

MOST_ATTEMPTS = 5
QUARANTINE_ROWS = 10_000

# These say "look again", without saying what changed: two of them in one second are the same
# bytes, so a second delivery is taken as a second change.
_REREADS = (ContactEdited, CorpTagChanged, GroupChatChanged)


class MessageState(StrEnum):
    """Where a message stands. due → running → done | ignored | dead."""

    DUE = "due"
    RUNNING = "running"
    DONE = "done"
    #: A kind that nobody handles (yet).
    IGNORED = "ignored"
    DEAD = "dead"


class Inbox(Base):
    """One message of WeCom, whatever the number of its deliveries."""

    __tablename__ = "inbox"
    __table_args__ = (
        Index("ix_inbox_open", "lane", "id", postgresql_where=text("state IN ('due', 'running')")),
        Index("ix_inbox_dead", "id", postgresql_where=text("state = 'dead'")),
        # What bot.retention looks for: each row stands in one of the two.
        Index("ix_inbox_whole", "done_at", postgresql_where=text("plaintext <> ''")),
        Index("ix_inbox_hash", "done_at", postgresql_where=text("plaintext = ''")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    event_key: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    plaintext: Mapped[bytes] = mapped_column(LargeBinary)
    query: Mapped[dict[str, Any]] = mapped_column(JSONB)
    #: The class of bot.wecom.events it was read as.
    kind: Mapped[str] = mapped_column(Text)
    lane: Mapped[str] = mapped_column(Text)
    #: Whether a further delivery means a further change.
    rereads: Mapped[bool]
    received_at: Mapped[datetime]
    stored_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_count: Mapped[int] = mapped_column(server_default="1")
    state: Mapped[str] = mapped_column(Text, server_default=MessageState.DUE.value)
    #: Delivered again while it was being handled: handle once more.
    again: Mapped[bool] = mapped_column(server_default=text("false"))
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    next_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_until: Mapped[datetime | None]
    lease_token: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    #: The worker process that has it in hand (bot.presence).
    lease_owner: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    done_at: Mapped[datetime | None]


class Quarantine(Base):
    """A rightly signed envelope that could not be read: kept as it came, until the key is right."""

    __tablename__ = "quarantine"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    query: Mapped[dict[str, Any]] = mapped_column(JSONB)
    reason: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime]


@dataclass(frozen=True)
class Arrival:
    """A message at the door: decrypted, read, not stored yet."""

    event_key: bytes
    plaintext: bytes
    query: Mapping[str, str]
    kind: str
    lane: str
    rereads: bool
    received_at: datetime


@dataclass(frozen=True)
class Message:
    """A stored message in a worker's hand."""

    id: int
    plaintext: bytes
    kind: str
    lane: str
    received_at: datetime
    attempts: int
    lease_token: uuid.UUID | None
    last_error: str | None


def arrival(event_key: bytes, plaintext: bytes, query: Mapping[str, str], at: datetime) -> Arrival:
    """Read a message as far as storing needs. Raises CallbackError("unreadable")."""
    event, is_urgent = callback.parse_and_weigh(plaintext)
    return Arrival(
        event_key=event_key,
        plaintext=plaintext,
        query=dict(query),
        kind=kind_of(event),
        lane="fast" if is_urgent else "events",
        rereads=isinstance(event, _REREADS),
        received_at=at,
    )


def kind_of(event: Event) -> str:
    """The name under which a message is listed: its class, or what WeCom calls it."""
    if isinstance(event, UnknownEvent):
        return ":".join(filter(None, (event.msg_type, event.event, event.change_type)))[:120]
    return type(event).__name__


# One round trip for a whole batch; sorted by key, so that two batches with the same messages
# cannot lock each other out.
_STORE = text(
    """
    INSERT INTO inbox (event_key, plaintext, query, kind, lane, rereads, received_at, seen_count)
    SELECT decode(key, 'base64'), decode(plaintext, 'base64'), query, kind, lane, rereads,
           received_at, seen_count
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        key text, plaintext text, query jsonb, kind text, lane text, rereads boolean,
        received_at timestamptz, seen_count integer)
    ON CONFLICT (event_key) DO UPDATE SET
        seen_count = inbox.seen_count + excluded.seen_count,
        again = inbox.again OR (inbox.rereads AND inbox.state = 'running'),
        attempts = CASE WHEN inbox.rereads AND inbox.state = 'done' THEN 0
                        ELSE inbox.attempts END,
        next_at = CASE WHEN inbox.rereads AND inbox.state = 'done'
                       THEN now() + interval '2 seconds' ELSE inbox.next_at END,
        state = CASE WHEN inbox.rereads AND inbox.state = 'done' THEN 'due'
                     ELSE inbox.state END
    RETURNING event_key, (xmax = 0) AS is_new
    """
)


def store(target: Connection | Session, arrivals: Sequence[Arrival]) -> dict[bytes, bool]:
    """Keep messages in one statement; returns event_key → whether it was new.

    The same message may stand in `arrivals` several times. The caller commits, and rings.
    """
    unique = {one.event_key: one for one in arrivals}
    counts: dict[bytes, int] = dict.fromkeys(unique, 0)
    for one in arrivals:
        counts[one.event_key] += 1
    rows = [unique[key] for key in sorted(unique)]
    written = [
        {
            "key": b64encode(row.event_key).decode(),
            "plaintext": b64encode(row.plaintext).decode(),
            "query": row.query,
            "kind": row.kind,
            "lane": row.lane,
            "rereads": row.rereads,
            "received_at": row.received_at.isoformat(),
            "seen_count": counts[row.event_key],
        }
        for row in rows
    ]
    # One JSON text: the driver takes twice as long for eight arrays.
    stored = target.execute(_STORE, {"rows": json.dumps(written)})
    fresh = {bytes(key): is_new for key, is_new in stored}
    metrics.INBOX_BATCH.observe(len(rows))
    metrics.INBOX_ROWS.labels("new").inc(sum(fresh.values()))
    metrics.INBOX_ROWS.labels("seen").inc(len(arrivals) - sum(fresh.values()))
    return fresh


def receive(
    sessions: sessionmaker[Session],
    event_key: bytes,
    plaintext: bytes,
    query: Mapping[str, str],
    at: datetime,
) -> bool:
    """Keep one message, durably, before returning; True if it was new.

    The web process gathers many with `bot.receiving`; this is for one at a time.
    """
    one = arrival(event_key, plaintext, query, at)
    with transaction(sessions) as session:
        fresh = store(session, [one])[event_key]
        jobs.ring(session, one.lane)
    return fresh


def quarantine(
    session: Session, body: bytes, query: Mapping[str, str], reason: str, at: datetime
) -> None:
    """Keep what cannot be read; the newest 10,000 are kept."""
    added = session.execute(
        insert(Quarantine)
        .values(body=body, query=dict(query), reason=reason, received_at=at)
        .returning(Quarantine.id)
    ).scalar_one()
    session.execute(delete(Quarantine).where(Quarantine.id <= added - QUARANTINE_ROWS))


# How long a paused worker keeps a message; a dead one's is free at once. On the fast lane it must
# be taken up while a welcome code still lives.
_LEASE_SECONDS = {"fast": 8, "events": 90}

_CLAIM = text(
    f"""
    UPDATE inbox SET state = 'running', attempts = inbox.attempts + 1, lease_token = :token,
           lease_until = now() + make_interval(secs => :lease), lease_owner = :owner
     WHERE id IN (
           SELECT due.id FROM inbox due
            WHERE due.lane = :lane AND due.state IN ('due', 'running')
              AND CASE due.state WHEN 'due' THEN due.next_at <= now()
                       ELSE due.lease_until <= now() OR {presence.IS_OWNER_GONE} END
            ORDER BY due.id LIMIT :most FOR UPDATE SKIP LOCKED)
    RETURNING id, plaintext, kind, lane, received_at, attempts, lease_token, last_error
    """
)


def claim(session: Session, lane: str, *, most: int) -> list[Message]:
    """Take up to `most` messages in hand, oldest first; the try is counted, the caller commits."""
    rows = session.execute(
        _CLAIM,
        {
            "lane": lane,
            "most": most,
            "lease": _LEASE_SECONDS[lane],
            "token": uuid.uuid4(),
            "owner": presence.owner_of(session),
        },
    ).all()
    return [Message(**row._mapping) for row in sorted(rows, key=lambda row: row.id)]


_FINISH = text(
    """
    UPDATE inbox SET state = CASE WHEN inbox.again THEN 'due' ELSE ended.state END,
           attempts = CASE WHEN inbox.again THEN 0 ELSE inbox.attempts END,
           again = false, next_at = now(), last_error = NULL, done_at = now(), lease_until = NULL
      FROM unnest(cast(:ids AS bigint[]), cast(:tokens AS uuid[]), cast(:states AS text[]))
           AS ended (id, token, state)
     WHERE inbox.id = ended.id AND inbox.lease_token = ended.token AND inbox.state = 'running'
    RETURNING inbox.id
    """
)


def finish(session: Session, held: Sequence[Message], *, ignored: Collection[int] = ()) -> set[int]:
    """Messages are handled (those of the ids `ignored`: by nobody); returns the ids that count.

    A message that is missing there has lost its lease, and somebody else has it.
    """
    given = {
        "ids": [one.id for one in held],
        "tokens": [one.lease_token for one in held],
        "states": [
            (MessageState.IGNORED if one.id in ignored else MessageState.DONE).value for one in held
        ],
    }
    ended = set(session.scalars(_FINISH, given)) if held else set()
    if len(ended) < len(held):
        metrics.FENCED.labels("inbox").inc(len(held) - len(ended))
    return ended


def fail(
    session: Session, held: Message, reason: str, *, wait: timedelta, counted: bool = True
) -> bool:
    """Handling failed: wait and try again, or dead after the fifth counted try."""
    dead = counted and held.attempts >= MOST_ATTEMPTS
    return _change(
        session,
        held,
        {
            "state": MessageState.DEAD if dead else MessageState.DUE,
            "attempts": Inbox.attempts - (0 if counted else 1),
            "next_at": func.now() + wait,
            "last_error": reason[:2000],
            "done_at": func.now() if dead else None,
        },
    )


def _change(session: Session, held: Message, values: dict[str, Any]) -> bool:
    changed = session.execute(
        update(Inbox)
        .where(
            Inbox.id == held.id,
            Inbox.lease_token == held.lease_token,
            Inbox.state == MessageState.RUNNING,
        )
        .values(**values, lease_until=None)
        .returning(Inbox.id)
    ).first()
    if changed is None:
        metrics.FENCED.labels("inbox").inc()
    return changed is not None


def dead_letters(session: Session, *, limit: int = 100) -> list[Message]:
    """Messages that failed five times, newest first, with the reason."""
    rows = session.execute(
        select(*(getattr(Inbox, name) for name in Message.__dataclass_fields__))
        .where(Inbox.state == MessageState.DEAD)
        .order_by(Inbox.id.desc())
        .limit(limit)
    )
    return [Message(**row._mapping) for row in rows]


def retry(session: Session, ids: Sequence[int] | None = None, *, reason: str | None = None) -> int:
    """Handle dead messages again, by id or by the exact reason; returns how many."""
    if ids is None and reason is None:
        return 0
    wanted = update(Inbox).where(Inbox.state == MessageState.DEAD)
    if ids is not None:
        wanted = wanted.where(Inbox.id.in_(ids))
    if reason is not None:
        wanted = wanted.where(Inbox.last_error == reason)
    lanes = session.scalars(
        wanted.values(
            state=MessageState.DUE, attempts=0, next_at=func.now(), done_at=None
        ).returning(Inbox.lane)
    ).all()
    for lane in set(lanes):
        jobs.ring(session, lane)
    return len(lanes)
