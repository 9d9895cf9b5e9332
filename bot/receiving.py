"""Receiving (接收回调): a request is answered only when what it carried is durable.

Requests that come while an INSERT is under way share the next one (group commit): one statement,
one flush of the log, many answers. When PostgreSQL fails, or takes longer than two seconds, the
request goes to the spool on disk and is stored later; only when that fails too is it refused.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from bot import inbox, metrics
from bot.bells import Bells
from bot.bot import Bot
from bot.db import transaction
from bot.errors import CallbackError
from bot.inbox import Arrival
from bot.spool import Kept, Spool
from bot.wecom import callback
from bot.wecom.callback import CallbackKeys

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 2.0
# After a failure requests go to the spool at once for this long; then PostgreSQL is asked again.
_REST_SECONDS = 1.0
_LARGEST_BATCH = 500
# While several come at once, so long is waited for more of them: a statement costs the same for
# sixteen as for two. A request that comes alone is written at once.
_GATHER_SECONDS = 0.002


class Receipt(StrEnum):
    """How an authentic request was kept."""

    NEW = "new"
    SEEN = "seen"
    QUARANTINED = "quarantined"
    SPOOLED = "spooled"


@dataclass(frozen=True)
class _Unreadable:
    body: bytes
    query: dict[str, str]
    reason: str
    received_at: datetime


_Item = Arrival | _Unreadable


def keys_of(bot: Bot) -> CallbackKeys:
    """The callback keys of the installation."""
    wecom = bot.settings.wecom
    return CallbackKeys(wecom.callback_token, wecom.callback_aes_key, wecom.corp_id)


def spool_of(bot: Bot) -> Spool:
    """The spool of the installation, seen from this process."""
    return Spool(bot.settings.var_dir / "spool")


class Receiver:
    """Keeps authentic callbacks durably; one per web process, safe from all its threads."""

    def __init__(self, engine: Engine, keys: CallbackKeys, bells: Bells, spool: Spool) -> None:
        self._engine = engine
        self._keys = keys
        self._bells = bells
        self._spool = spool
        self._writer = _Writer(engine)
        self._drainer_lock = threading.Lock()
        self._drainer: threading.Thread | None = None

    def take(self, query: Mapping[str, str], body: bytes, at: datetime) -> Receipt:
        """Keep one request. Raises CallbackError (not authentic) or OSError (no disk left)."""
        item = _read(self._keys, query, body, at)
        try:
            is_new = self._writer.write(item)
        except (SQLAlchemyError, FutureTimeout, _Away) as error:
            log.warning("callback spooled reason=%s", type(error).__name__)
            self._spool.append(query, body, at)
            metrics.SPOOLED.inc()
            self._start_drainer()
            return Receipt.SPOOLED
        if isinstance(item, _Unreadable):
            log.error("callback quarantined reason=%s", item.reason)
            return Receipt.QUARANTINED
        self._bells.ring(item.lane)
        return Receipt.NEW if is_new else Receipt.SEEN

    def close(self) -> None:
        """End the writer's thread and connection; what comes afterwards goes to the spool."""
        self._writer.close()

    def _start_drainer(self) -> None:
        with self._drainer_lock:
            if self._drainer is None or not self._drainer.is_alive():
                self._drainer = threading.Thread(target=self._drain, name="spool", daemon=True)
                self._drainer.start()

    def _drain(self) -> None:
        while self._spool.size():
            time.sleep(_REST_SECONDS)
            try:
                drain(self._spool, self._keys, self._engine, self._bells)
            except (SQLAlchemyError, OSError) as error:
                log.warning("spool waits reason=%s", type(error).__name__)


def drain(spool: Spool, keys: CallbackKeys, engine: Engine, bells: Bells) -> int:
    """Move what the spool holds into the inbox; returns the requests moved."""

    def keep(records: list[Kept]) -> None:
        arrivals: list[Arrival] = []
        with Session(engine) as session, session.begin():
            for record in records:
                item = _reread(keys, record)
                if isinstance(item, Arrival):
                    arrivals.append(item)
                else:
                    _quarantine(session, item)
            if arrivals:
                inbox.store(session, arrivals)
        metrics.UNSPOOLED.labels("stored").inc(len(arrivals))
        metrics.UNSPOOLED.labels("quarantined").inc(len(records) - len(arrivals))
        for lane in {one.lane for one in arrivals}:
            bells.ring(lane)

    return spool.drain(keep)


def replay(sessions: sessionmaker[Session], keys: CallbackKeys) -> int:
    """Read the quarantine again, after a key was set right; returns the messages that came out."""
    with transaction(sessions) as session:
        held = session.query(inbox.Quarantine).with_for_update(skip_locked=True).limit(1000).all()
        freed = 0
        for row in held:
            try:
                one = _read(keys, row.query, row.body, row.received_at)
            except CallbackError:
                continue
            if isinstance(one, Arrival):
                inbox.store(session, [one])
                session.delete(row)
                freed += 1
    return freed


def _read(keys: CallbackKeys, query: Mapping[str, str], body: bytes, at: datetime) -> _Item:
    try:
        plaintext = callback.open_sealed(keys, query, body)
        key = callback.event_key(keys.receive_id, plaintext)
        return inbox.arrival(key, plaintext, query, at)
    except CallbackError as error:
        if error.kind != "unreadable":
            raise
        return _Unreadable(body, dict(query), error.reason, at)


def _reread(keys: CallbackKeys, record: Kept) -> _Item:
    try:
        return _read(keys, record.query, record.body, record.received_at)
    except CallbackError as error:
        # It was authentic when it was spooled, so the keys have changed since: never drop it.
        return _Unreadable(record.body, record.query, error.reason, record.received_at)


def _quarantine(session: Session, item: _Unreadable) -> None:
    inbox.quarantine(session, item.body, item.query, item.reason, item.received_at)


class _Away(Exception):
    """PostgreSQL has just failed or is not answering; do not wait for it."""


class _Writer:
    """One thread and one connection that write what all request threads hand in."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._waiting: list[tuple[_Item, Future[bool]]] = []
        self._changed = threading.Condition()
        self._pid = 0
        self._busy_since: float | None = None
        self._rest_until = 0.0
        self._thread: threading.Thread | None = None
        self._closed = False

    def close(self) -> None:
        """Write what waits, then end; a fork's own writer is its own affair."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(PATIENCE_SECONDS)

    def write(self, item: _Item) -> bool:
        """Whether the item was new. Raises _Away, TimeoutError or what the database raised."""
        tick = time.monotonic()
        busy = self._busy_since
        if tick < self._rest_until or (busy is not None and tick - busy > PATIENCE_SECONDS):
            raise _Away
        done: Future[bool] = Future()
        with self._changed:
            if self._closed:
                raise _Away
            if self._pid != os.getpid():
                self._start()
            self._waiting.append((item, done))
            self._changed.notify()
        try:
            return done.result(timeout=PATIENCE_SECONDS)
        except FutureTimeout:
            # If the writer has it in hand already, the message may be stored as well as spooled;
            # it is one row all the same.
            done.cancel()
            raise

    def _start(self) -> None:
        # A thread and a connection do not survive fork: each process has its own.
        self._pid = os.getpid()
        self._connection = None
        self._waiting = []
        self._thread = threading.Thread(target=self._run, name="inbox-writer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        is_crowded = False
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    break
            if is_crowded:
                time.sleep(_GATHER_SECONDS)
            with self._changed:
                batch = self._waiting[:_LARGEST_BATCH]
                del self._waiting[:_LARGEST_BATCH]
            batch = [(item, done) for item, done in batch if done.set_running_or_notify_cancel()]
            if not batch:
                continue
            is_crowded = len(batch) > 1
            self._busy_since = time.monotonic()
            try:
                self._write_batch(batch)
            except Exception as error:  # every waiting request must hear of it, whatever it is
                self._rest_until = time.monotonic() + _REST_SECONDS
                self._close()
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
            finally:
                self._busy_since = None
        self._close()

    def _write_batch(self, batch: list[tuple[_Item, Future[bool]]]) -> None:
        arrivals = [item for item, _ in batch if isinstance(item, Arrival)]
        fresh = self._store(arrivals) if arrivals else {}
        for item, done in batch:
            if isinstance(item, Arrival):
                # Of several deliveries in one batch, the first is the new one.
                done.set_result(fresh.pop(item.event_key, False))
        for item, done in batch:
            if isinstance(item, _Unreadable):
                with Session(self._engine) as session, session.begin():
                    _quarantine(session, item)
                done.set_result(True)

    def _store(self, arrivals: list[Arrival]) -> dict[bytes, bool]:
        try:
            return inbox.store(self._open(), arrivals)
        except SQLAlchemyError:
            # The connection may only be stale (PostgreSQL was restarted): one fresh one is tried.
            self._close()
            return inbox.store(self._open(), arrivals)

    def _open(self) -> Connection:
        if self._connection is None:
            opened = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            # It is never given back to the pool, so it may be set for its one purpose.
            opened.detach()
            opened.exec_driver_sql("SET synchronous_commit = on")
            opened.exec_driver_sql("SET statement_timeout = '4s'")
            self._connection = opened
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except SQLAlchemyError as error:
                log.info("inbox connection closed reason=%s", type(error).__name__)
