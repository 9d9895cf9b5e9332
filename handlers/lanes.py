"""Door: the lanes (车道). What each lane works on, and how one piece of it is done.

A lane looks for work when its bell rings, and by itself every so often: without Redis everything
still happens, at most one look later.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import exists, select, text
from sqlalchemy.exc import SQLAlchemyError

from bot import errors, inbox, leases, metrics, receiving, runs
from bot.bot import Bot
from bot.crm.models import ChangedContact
from bot.db import transaction
from bot.inbox import Message
from bot.runs import Run
from handlers import events, insist, refresh, timetable
from handlers.deliver import deliver
from handlers.events import Handling, roster_refresh

log = logging.getLogger(__name__)

# So many messages at most are handled together: under load that is a few transactions for all.
_HANDFUL = 16


@dataclass(frozen=True)
class Source:
    """One kind of work: `claim` takes up to n pieces in hand (committed), `work` does one.

    `at_once` bounds how many pieces are in work in this process. `rows` are those without which
    there is nothing to claim, as SQL behind FROM that may use `:now`; "" where no table tells.
    """

    name: str
    claim: Callable[[Bot, int], Sequence[Any]]
    work: Callable[[Bot, Any], None]
    at_once: int
    rows: str = ""


@dataclass(frozen=True)
class Lane:
    """One lane of a worker process; `look_seconds` is how often it looks unasked."""

    sources: tuple[Source, ...]
    look_seconds: float


def _messages(lane: str, at_once: int) -> Source:
    def claim(bot: Bot, most: int) -> Sequence[Sequence[Message]]:
        with transaction(bot.sessions) as session:
            found = inbox.claim(session, lane, most=most)
        gathered = events.gathered()
        together = [one for one in found if one.kind in gathered]
        handfuls = [together[at : at + _HANDFUL] for at in range(0, len(together), _HANDFUL)]
        return [*handfuls, *([one] for one in found if one.kind not in gathered)]

    rows = f"inbox WHERE lane = '{lane}' AND state IN ('due', 'running') AND next_at <= now()"
    return Source(f"messages-{lane}", claim, work_messages, at_once, rows)


def _calls(lane: str, at_once: int) -> Source:
    def claim(bot: Bot, most: int) -> Sequence[Any]:
        with transaction(bot.sessions) as session:
            return leases.claim(session, lane, now=bot.clock.now(), most=most)

    rows = f"outbox WHERE lane = '{lane}' AND state IN ('due', 'sending') AND not_before <= :now"
    return Source(f"calls-{lane}", claim, deliver, at_once, rows)


def work_messages(bot: Bot, held: Sequence[Message]) -> None:
    """Handle a handful of stored messages, and write down how each of them went."""
    try:
        ends = events.handle(bot, [one.plaintext for one in held])
    except Exception as error:  # whatever happens, the next messages must have their turn
        ends = [Handling(failures=[error]) for _ in held]
    good: list[Message] = []
    ignored: set[int] = set()
    for one, end in zip(held, ends, strict=True):
        if end.failures:
            _message_failed(bot, one, ExceptionGroup(f"{one.kind} failed", end.failures))
            continue
        good.append(one)
        if not end.handled:
            ignored.add(one.id)
            _say_ignored(one)

    def write() -> None:
        with transaction(bot.sessions) as session:
            inbox.finish(session, good, ignored=ignored)

    if good:
        insist.insist(write)
    for one in good:
        metrics.EVENTS.labels(one.kind, "ignored" if one.id in ignored else "done").inc()


def _say_ignored(held: Message) -> None:
    log.warning(
        "event kind=%s ignored; to handle it, give it a class in bot.wecom.events, a reader in"
        " bot.wecom.reading.READERS and a row in handlers.events.HANDLERS",
        held.kind,
    )
    metrics.UNKNOWN_EVENTS.labels(held.kind).inc()


def _message_failed(bot: Bot, held: Message, error: Exception) -> None:
    wait, counted = _patience(held, error)
    # That PostgreSQL was away is said once where it is noticed, not with a traceback a message.
    log.error(
        "event id=%d kind=%s failed attempts=%d reason=%s",
        held.id,
        held.kind,
        held.attempts,
        _reason(error),
        exc_info=error if counted else None,
    )

    def write() -> None:
        with transaction(bot.sessions) as session:
            inbox.fail(session, held, _reason(error), wait=wait, counted=counted)

    insist.insist(write)
    metrics.EVENTS.labels(held.kind, "failed").inc()


def _patience(held: Message, error: Exception) -> tuple[timedelta, bool]:
    """How long a failed message waits, and whether this try counts against it."""
    for one in _leaves(error):
        if isinstance(one, errors.RateLimited):
            return timedelta(seconds=max(0.1, one.retry_after)), False
        if isinstance(one, errors.NotConfigured | errors.TokenRejected):
            return timedelta(minutes=5), False
        if insist.is_away(one):
            return timedelta(seconds=0.5), False
    seconds = (0.4 if held.lane == "fast" else 1.0) * 4.0 ** max(0, held.attempts - 1)
    return timedelta(seconds=min(seconds, 300.0) * random.uniform(0.7, 1.0)), True


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in _leaves(one)]
    return [error]


def _reason(error: Exception) -> str:
    """Class names, and the words only of our own errors: others may quote what people wrote."""
    parts = []
    for one in _leaves(error):
        words = f": {one}" if isinstance(one, errors.DaogouError) else ""
        parts.append(f"{type(one).__name__}{words}")
    return "; ".join(parts)


def _changed(bot: Bot, most: int) -> Sequence[None]:
    with bot.sessions() as session:
        return [None] if session.scalar(select(exists(select(ChangedContact)))) else []


def _refresh(bot: Bot, _: None) -> None:
    refresh.refresh_changed(bot)


def _due_runs(bot: Bot, most: int) -> Sequence[Run]:
    with transaction(bot.sessions) as session:
        return runs.claim(session, most=most)


def work_run(bot: Bot, held: Run) -> None:
    """Do one timed job for its day; the lease is renewed while it runs."""
    job = timetable.JOBS.get(held.job)
    if job is None:
        _run_failed(bot, held, LookupError(f"no row for {held.job!r} in timetable.JOBS"))
        return
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(bot, held, ended), daemon=True)
    renewing.start()
    try:
        rows = job(bot, held.day)
    except Exception as error:  # the run must end as failed, whatever the job raised
        ended.set()
        _run_failed(bot, held, error)
        return
    ended.set()

    def write() -> None:
        with transaction(bot.sessions) as session:
            runs.finish(session, held, rows, {})

    insist.insist(write)
    metrics.RUNS.labels(held.job, "done").inc()
    log.info("run job=%s day=%s rows=%s", held.job, held.day, rows)


def _run_failed(bot: Bot, held: Run, error: Exception) -> None:
    log.error("run job=%s day=%s failed", held.job, held.day, exc_info=error)
    limited = isinstance(error, errors.RateLimited)
    wait = error.retry_after if isinstance(error, errors.RateLimited) else 30.0 * held.attempts
    with transaction(bot.sessions) as session:
        runs.fail(session, held, _reason(error), wait=timedelta(seconds=wait), counted=not limited)
    metrics.RUNS.labels(held.job, "failed").inc()


def _renew(bot: Bot, held: Run, ended: threading.Event) -> None:
    while not ended.wait(15.0):
        try:
            with transaction(bot.sessions) as session:
                if not runs.renew(session, held):
                    return
        except SQLAlchemyError as error:
            log.warning("run job=%s not renewed reason=%s", held.job, type(error).__name__)


def _spooled(bot: Bot, most: int) -> Sequence[None]:
    return [None] if receiving.spool_of(bot).size() else []


def _drain_spool(bot: Bot, _: None) -> None:
    receiving.drain(receiving.spool_of(bot), receiving.keys_of(bot), bot.engine, bot.bells)


_TO_READ = "contact WHERE refresh_after <= :now AND external_userid IS NOT NULL"

#: The lanes of bot.jobs.LANES, and what each works on.
LANES: dict[str, Lane] = {
    "fast": Lane((_messages("fast", 24), _calls("fast", 24)), 0.2),
    "events": Lane(
        (
            _messages("events", 16),
            Source("changes", _changed, _refresh, 1, "changed_contact"),
            # A thousand edits in a minute stay a few polite calls at a time.
            Source("details", roster_refresh.claim, roster_refresh.read, 4, _TO_READ),
        ),
        0.5,
    ),
    "send": Lane((_calls("send", 32),), 1.0),
    # WeCom refuses more than a few mark_tag calls at once (45033).
    "marks": Lane((_calls("marks", 4),), 1.0),
    "slow": Lane(
        (
            Source("runs", _due_runs, work_run, 1, "job_run WHERE state IN ('due', 'running')"),
            Source("spool", _spooled, _drain_spool, 1),
        ),
        2.0,
    ),
}
_SOURCES = [source for lane in LANES.values() for source in lane.sources]
_WITH_ROWS = text(
    "SELECT "
    + ", ".join(f"EXISTS (SELECT FROM {one.rows})" if one.rows else "true" for one in _SOURCES)
)


def with_rows(bot: Bot) -> list[Source]:
    """The sources that may have something to claim: one question instead of a claim of each."""
    with bot.sessions() as session:
        found = session.execute(_WITH_ROWS, {"now": bot.clock.now()}).one()
    return [source for source, has_rows in zip(_SOURCES, found, strict=True) if has_rows]
