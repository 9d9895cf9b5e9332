"""Outbox (发件箱): everything we want WeCom to do, written where the reason for it is written.

A row holds the frozen bytes of one call. It is claimed with a lease and a fencing token in a
transaction of its own, the call is made with no transaction open, and the result counts only
while the lease is still ours. Leases and retry times run on the database's clock; `not_before`
and `deadline` are moments of the shop (they follow the sandbox's clock).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Identity,
    Index,
    LargeBinary,
    Row,
    SmallInteger,
    Text,
    Uuid,
    bindparam,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from bot import jobs
from bot.db import Base

#: The lanes of `bot.jobs.LANES` on which calls leave.
LANES = ("fast", "send", "marks")


class CallState(StrEnum):
    """Where a call stands. due → sending → done | dead | unknown | expired; due → cancelled."""

    DUE = "due"
    SENDING = "sending"
    DONE = "done"
    #: It cannot succeed; `last_error` says why.
    DEAD = "dead"
    #: It may have happened, and repeating it could double it: a person must look.
    UNKNOWN = "unknown"
    #: Its deadline passed first; `last_error` says what held it up.
    EXPIRED = "expired"
    CANCELLED = "cancelled"


#: The states that a person may want to look at, and from which `retry` starts again.
FAILED = (CallState.DEAD, CallState.UNKNOWN, CallState.EXPIRED)

_OPEN = text("state IN ('due', 'sending')")


class Outbox(Base):
    """One call to WeCom, now or later, exactly as it will be sent."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_open", "lane", "not_before", "id", postgresql_where=_OPEN),
        Index("ix_outbox_order_key", "order_key", "id", postgresql_where=_OPEN),
        Index(
            "ix_outbox_failed",
            "id",
            postgresql_where=text("state IN ('dead', 'unknown', 'expired')"),
        ),
        # What bot.retention looks for: each row stands in one of the two.
        Index("ix_outbox_whole", "done_at", postgresql_where=text("body <> ''")),
        Index("ix_outbox_key", "done_at", postgresql_where=text("body = ''")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    api: Mapped[str] = mapped_column(Text)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    dedupe_key: Mapped[str] = mapped_column(Text, unique=True)
    #: Calls of one order key go out one at a time, oldest first.
    order_key: Mapped[str | None] = mapped_column(Text)
    lane: Mapped[str] = mapped_column(Text, server_default="send")
    #: The members an app message goes to, for the limit per member.
    members: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    #: Ids for the function that runs after the call.
    subject: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    not_before: Mapped[datetime] = mapped_column(server_default=func.now())
    deadline: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(Text, server_default=CallState.DUE.value)
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    first_tried_at: Mapped[datetime | None]
    #: Workers that died with this call in hand.
    crashes: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: A try whose effect is not known has happened.
    ambiguous: Mapped[bool] = mapped_column(server_default=text("false"))
    retry_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_until: Mapped[datetime | None]
    lease_token: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    #: The worker process that has it in hand (bot.presence).
    lease_owner: Mapped[int | None]
    last_errcode: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    #: WeCom's answer; set as soon as the call succeeded, so that it is never made again.
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    done_at: Mapped[datetime | None]


class ApiPause(Base):
    """An API that nobody calls until a moment: a rate limit, or something HQ must set right."""

    __tablename__ = "api_pause"

    api: Mapped[str] = mapped_column(Text, primary_key=True)
    until: Mapped[datetime]
    #: True: waiting alone will not help, somebody must change the configuration.
    is_held: Mapped[bool] = mapped_column(server_default=text("false"))
    reason: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime] = mapped_column(server_default=func.now())


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A call to be added. `lane` is fast for what a 20 s clock runs on, else send."""

    kind: str
    api: str
    body: bytes
    dedupe_key: str
    not_before: datetime | None = None
    deadline: datetime | None = None
    members: Sequence[str] = ()
    order_key: str | None = None
    lane: str = "send"
    subject: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Delivery:
    """A row in a worker's hand, or in front of the functions that run after the call."""

    id: int
    kind: str
    api: str
    body: bytes
    dedupe_key: str
    order_key: str | None
    lane: str
    members: tuple[str, ...]
    subject: dict[str, Any]
    not_before: datetime
    deadline: datetime | None
    state: CallState
    attempts: int
    crashes: int
    ambiguous: bool
    first_tried_at: datetime | None
    lease_token: uuid.UUID | None
    last_errcode: int | None
    last_error: str | None
    result: dict[str, Any] | None
    created_at: datetime


def add(
    session: Session,
    *,
    kind: str,
    api: str,
    body: bytes,
    dedupe_key: str,
    not_before: datetime | None = None,
    deadline: datetime | None = None,
    members: Sequence[str] = (),
    order_key: str | None = None,
    lane: str = "send",
    subject: Mapping[str, Any] | None = None,
) -> int | None:
    """Want one call; returns its id, or None if this `dedupe_key` is wanted already.

    Nothing is sent before the caller's transaction commits; then the lane's bell rings.
    """
    draft = Draft(
        kind=kind,
        api=api,
        body=body,
        dedupe_key=dedupe_key,
        not_before=not_before,
        deadline=deadline,
        members=members,
        order_key=order_key,
        lane=lane,
        subject=subject or {},
    )
    return add_many(session, [draft]).get(dedupe_key)


def add_many(session: Session, drafts: Sequence[Draft]) -> dict[str, int]:
    """Want many calls in one statement per thousand; returns dedupe_key → id of the new ones."""
    if not drafts:
        return {}
    added = session.execute(
        insert(Outbox)
        .values(not_before=func.coalesce(bindparam("not_before"), func.now()))
        .on_conflict_do_nothing(index_elements=[Outbox.dedupe_key])
        .returning(Outbox.dedupe_key, Outbox.id),
        [_values(draft) for draft in drafts],
    )
    ids = {key: id_ for key, id_ in added}  # noqa: C416 - rows are not pairs to the type checker
    for lane in {draft.lane for draft in drafts if draft.dedupe_key in ids}:
        jobs.ring(session, lane)
    return ids


def _values(draft: Draft) -> dict[str, Any]:
    if draft.lane not in LANES:
        raise ValueError(f"calls leave on {', '.join(LANES)}, not {draft.lane!r}")
    return {
        "kind": draft.kind,
        "api": draft.api,
        "body": draft.body,
        "dedupe_key": draft.dedupe_key,
        "order_key": draft.order_key,
        "lane": draft.lane,
        "members": list(draft.members),
        "subject": dict(draft.subject),
        "not_before": draft.not_before,
        "deadline": draft.deadline,
    }


def replace(session: Session, dedupe_key: str, *, body: bytes, deadline: datetime | None) -> bool:
    """Give a call that has certainly not happened new bytes and a new deadline; False: too late.

    For a welcome whose second event brings a fresh code. A call in a worker's hand, a call that
    is done and a call whose effect is unknown stay as they are.
    """
    replaced = session.execute(
        update(Outbox)
        .where(
            Outbox.dedupe_key == dedupe_key,
            Outbox.state.in_([CallState.DUE, CallState.EXPIRED, CallState.DEAD]),
            ~Outbox.ambiguous,
            Outbox.result.is_(None),
        )
        .values(**_AGAIN, body=body, deadline=deadline)
        .returning(Outbox.lane)
    ).scalar_one_or_none()
    if replaced is not None:
        jobs.ring(session, replaced)
    return replaced is not None


def cancel(session: Session, dedupe_keys: Sequence[str]) -> int:
    """Take back calls that no worker has in hand; returns how many."""
    return len(
        session.execute(
            update(Outbox)
            .where(Outbox.dedupe_key.in_(dedupe_keys), Outbox.state == CallState.DUE)
            .values(state=CallState.CANCELLED, done_at=func.now())
            .returning(Outbox.id)
        ).all()
    )


_AGAIN: dict[str, Any] = {
    "state": CallState.DUE,
    "attempts": 0,
    "crashes": 0,
    "first_tried_at": None,
    "retry_at": func.now(),
    "lease_until": None,
    "lease_token": None,
    "done_at": None,
}


def dead_letters(session: Session, *, limit: int = 100, kind: str | None = None) -> list[Delivery]:
    """Calls that ended badly, newest first: dead, unknown, expired."""
    wanted = select(*_COLUMNS).where(Outbox.state.in_(FAILED))
    if kind is not None:
        wanted = wanted.where(Outbox.kind == kind)
    return [
        delivery(row) for row in session.execute(wanted.order_by(Outbox.id.desc()).limit(limit))
    ]


def failure_reasons(session: Session) -> list[tuple[str, str, str, int]]:
    """(kind, state, reason, count) of the dead letters, most frequent first."""
    rows = session.execute(
        select(Outbox.kind, Outbox.state, func.coalesce(Outbox.last_error, ""), func.count())
        .where(Outbox.state.in_(FAILED))
        .group_by(Outbox.kind, Outbox.state, Outbox.last_error)
        .order_by(func.count().desc())
    )
    return [(kind, state, reason, count) for kind, state, reason, count in rows]


def retry(session: Session, ids: Sequence[int] | None = None, *, reason: str | None = None) -> int:
    """Try dead letters again, by id or by the exact reason; returns how many.

    A passed deadline is lifted: whoever asks has seen that it passed. A call whose answer is
    already kept is not made again, only what comes after it.
    """
    if ids is None and reason is None:
        return 0
    wanted = update(Outbox).where(Outbox.state.in_(FAILED))
    if ids is not None:
        wanted = wanted.where(Outbox.id.in_(ids))
    if reason is not None:
        wanted = wanted.where(Outbox.last_error == reason)
    lanes = session.scalars(wanted.values(**_AGAIN, deadline=None).returning(Outbox.lane)).all()
    for lane in set(lanes):
        jobs.ring(session, lane)
    return len(lanes)


_COLUMNS = tuple(getattr(Outbox, name) for name in Delivery.__dataclass_fields__)


def delivery(row: Row[Any]) -> Delivery:
    """A Delivery from a row that holds its columns by name."""
    values = dict(row._mapping)
    values["members"] = tuple(values["members"])
    values["state"] = CallState(values["state"])
    return Delivery(**values)
