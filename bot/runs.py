"""Runs of timed jobs (定时任务): once per job and day, however many clocks ask.

The row (job, day) is the lock: two clocks, a restarted clock and a person at the command line ask
for the same row. A run that died is taken up again when its lease ends.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Index, SmallInteger, Text, Uuid, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from bot import jobs, metrics, presence
from bot.db import Base

MOST_ATTEMPTS = 5
# A worker renews the lease while it works; this is how long a paused one keeps its run.
_LEASE = timedelta(seconds=60)


class RunState(StrEnum):
    """Where a run stands. due → running → done | failed."""

    DUE = "due"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class JobRun(Base):
    """One job on one business day."""

    __tablename__ = "job_run"
    __table_args__ = (
        Index("ix_job_run_open", "next_at", postgresql_where=text("state IN ('due', 'running')")),
    )

    job: Mapped[str] = mapped_column(Text, primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(Text, server_default=RunState.DUE.value)
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    next_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_until: Mapped[datetime | None]
    lease_token: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    #: The worker process that has it in hand (bot.presence).
    lease_owner: Mapped[int | None]
    #: What the job counted (rows changed, calls wanted).
    rows: Mapped[int | None] = mapped_column(BigInteger)
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    last_error: Mapped[str | None] = mapped_column(Text)
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]


@dataclass(frozen=True)
class Run:
    """A run in a worker's hand, or in a list."""

    job: str
    day: date
    state: RunState
    attempts: int
    lease_token: uuid.UUID | None
    rows: int | None
    last_error: str | None


def request(session: Session, job: str, day: date, *, again: bool = False) -> bool:
    """Want `job` for `day`; False: it is wanted, running or done already.

    `again=True` is for a person: a run that has ended is started once more.
    """
    wanted = insert(JobRun).values(job=job, day=day)
    if again:
        fresh = {
            "state": RunState.DUE,
            "attempts": 0,
            "next_at": func.now(),
            "last_error": None,
            "requested_at": func.now(),
        }
        conflict = wanted.on_conflict_do_update(
            index_elements=[JobRun.job, JobRun.day],
            set_=fresh,
            where=JobRun.state.in_([RunState.DONE, RunState.FAILED]),
        )
    else:
        conflict = wanted.on_conflict_do_nothing()
    asked = session.execute(conflict.returning(JobRun.job)).first() is not None
    if asked:
        jobs.ring(session, "slow")
    return asked


_CLAIM = text(
    f"""
    UPDATE job_run SET state = 'running', attempts = job_run.attempts + 1, lease_token = :token,
           lease_until = now() + :lease, lease_owner = :owner, started_at = now()
     WHERE (job, day) IN (
           SELECT due.job, due.day FROM job_run due
            WHERE due.state IN ('due', 'running')
              AND CASE due.state WHEN 'due' THEN due.next_at <= now()
                       ELSE due.lease_until <= now() OR {presence.IS_OWNER_GONE} END
            ORDER BY due.day, due.requested_at LIMIT :most FOR UPDATE SKIP LOCKED)
    RETURNING job, day, state, attempts, lease_token, rows, last_error
    """
)


def claim(session: Session, *, most: int = 1) -> list[Run]:
    """Take runs in hand, oldest day first; the try is counted, the caller commits."""
    given = {"token": uuid.uuid4(), "lease": _LEASE, "owner": presence.owner_of(session)}
    rows = session.execute(_CLAIM, {**given, "most": most})
    return [_run(row._mapping) for row in rows]


def renew(session: Session, held: Run) -> bool:
    """Keep a run that is still being worked on; False: it was lost to somebody else."""
    return _change(session, held, {"lease_until": func.now() + _LEASE})


def finish(session: Session, held: Run, rows: int | None, detail: dict[str, Any]) -> bool:
    """A run is done; `rows` is what it counted."""
    return _change(
        session,
        held,
        {
            "state": RunState.DONE,
            "rows": rows,
            "detail": detail,
            "last_error": None,
            "done_at": func.now(),
            "lease_until": None,
        },
    )


def fail(
    session: Session, held: Run, reason: str, *, wait: timedelta, counted: bool = True
) -> bool:
    """A run raised: again after `wait`, or failed after the fifth counted try."""
    over = counted and held.attempts >= MOST_ATTEMPTS
    return _change(
        session,
        held,
        {
            "state": RunState.FAILED if over else RunState.DUE,
            "attempts": JobRun.attempts - (0 if counted else 1),
            "next_at": func.now() + wait,
            "last_error": reason[:2000],
            "done_at": func.now() if over else None,
            "lease_until": None,
        },
    )


def is_done(session: Session, job: str, day: date) -> bool:
    """Whether `job` has been done for `day`."""
    return (
        session.scalar(
            select(JobRun.state == RunState.DONE).where(JobRun.job == job, JobRun.day == day)
        )
        is True
    )


def has_ended(session: Session, job: str, day: date) -> bool:
    """Whether the run of `job` for `day` is over, one way or the other."""
    state = session.scalar(select(JobRun.state).where(JobRun.job == job, JobRun.day == day))
    return state in (RunState.DONE, RunState.FAILED)


def recent(session: Session, *, limit: int = 50) -> list[Run]:
    """The newest runs, for the console and `doctor`."""
    rows = session.execute(
        select(*(getattr(JobRun, name) for name in Run.__dataclass_fields__))
        .order_by(JobRun.requested_at.desc())
        .limit(limit)
    )
    return [_run(row._mapping) for row in rows]


def _run(values: Any) -> Run:
    return Run(**{**values, "state": RunState(values["state"])})


def _change(session: Session, held: Run, values: dict[str, Any]) -> bool:
    changed = session.execute(
        update(JobRun)
        .where(
            JobRun.job == held.job,
            JobRun.day == held.day,
            JobRun.lease_token == held.lease_token,
            JobRun.state == RunState.RUNNING,
        )
        .values(**values)
        .returning(JobRun.job)
    ).first()
    if changed is None:
        metrics.FENCED.labels("job_run").inc()
    return changed is not None
