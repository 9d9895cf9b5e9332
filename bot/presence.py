"""Presence (在岗): a worker process that lives can be told from one that died, at once.

Each worker process holds a session lock of PostgreSQL under a number of its own. A dead process's
connection closes with it, so a lease of an owner whose lock is free need not be waited for; a
paused one (SIGSTOP) keeps its lock, and its leases run to their end. Taking over early is safe for
the same reason as taking over late: every write names the lease it belongs to.

A second, shared lock says which lanes are served, so that another process can stand in for one
whose only worker is just starting again.
"""

from __future__ import annotations

import logging
import secrets
import select
import threading
import zlib
from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

log = logging.getLogger(__name__)

# Any number, the same in every process of the product; the second half of the lock is the owner.
_LOCKS = 7_226_002
_SERVED = 7_226_003
_INFO = "presence"
_AGAIN_SECONDS, _LONGEST_AGAIN_SECONDS = 0.1, 1.0
_LOOK_SECONDS = 5.0

#: Whether the owner of the row `due` is gone. Evaluated once a statement, and only when a lease
#: that still runs is met. A PostgreSQL that has just started has no locks yet: everybody who lives
#: gets three seconds to take theirs again.
IS_OWNER_GONE = f"""
    (due.lease_owner IS NOT NULL AND due.lease_owner <> ALL (ARRAY(
        SELECT CAST(objid AS bigint) FROM pg_locks
         WHERE locktype = 'advisory' AND classid = {_LOCKS} AND objsubid = 2 AND granted
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())))
     AND pg_postmaster_start_time() < clock_timestamp() - interval '3 seconds')
"""


class Presence:
    """One process's lock, kept by a thread that notices at once when its connection is lost."""

    def __init__(self, engine: Engine, lanes: Iterable[str] = ()) -> None:
        self._engine = engine
        self._lanes = tuple(lanes)
        self._number = secrets.randbelow(2**31 - 1) + 1
        self._connection: Connection | None = None
        self._held = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self, sessions: sessionmaker[Session]) -> None:
        """Begin, and let every later session of `sessions` claim in this process's name."""
        info = sessions.kw.get("info") or {}
        sessions.configure(info={**info, _INFO: self})
        self._thread.start()

    def owner(self) -> int | None:
        """The number under which a lease may be taken now; None: only time can end such a lease."""
        return self._number if self._held.is_set() else None

    def stop(self) -> None:
        """Let the lock go: whatever is still in hand may be taken up by others."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_LOOK_SECONDS + 1.0)

    def _run(self) -> None:
        pause = _AGAIN_SECONDS
        while not self._stopping.is_set():
            try:
                opened = self._open()
                pause = _AGAIN_SECONDS
                self._watch(opened)
            except (SQLAlchemyError, OSError, ValueError) as error:
                if self._held.is_set():
                    log.warning("presence lost reason=%s", type(error).__name__)
            self._close()
            self._stopping.wait(pause)
            pause = min(pause * 1.5, _LONGEST_AGAIN_SECONDS)

    def _open(self) -> Connection:
        opened = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        # It is held for the life of the process and must not come back to the pool with its lock.
        opened.detach()
        self._connection = opened
        given = {"locks": _LOCKS, "number": self._number}
        while not opened.scalar(text("SELECT pg_try_advisory_lock(:locks, :number)"), given):
            # The server has not noticed yet that our last connection is gone.
            self._stopping.wait(_AGAIN_SECONDS)
        for lane in self._lanes:
            served = {"served": _SERVED, "lane": _number_of(lane)}
            opened.execute(text("SELECT pg_advisory_lock_shared(:served, :lane)"), served)
        self._held.set()
        return opened

    def _watch(self, connection: Connection) -> None:
        """Return when stopping; raises as soon as the connection is cut."""
        socket = connection.connection.dbapi_connection.fileno()  # type: ignore[union-attr]
        while not self._stopping.is_set():
            # Nobody speaks on this connection: something to read is its end.
            readable, _, _ = select.select([socket], [], [], 1.0)
            if readable:
                connection.execute(text("SELECT 1"))

    def _close(self) -> None:
        self._held.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except SQLAlchemyError as error:
                log.info("presence closed reason=%s", type(error).__name__)


def is_served(session: Session, lane: str) -> bool:
    """Whether a living process works on `lane`; until the end of the transaction none begins to."""
    given = {"served": _SERVED, "lane": _number_of(lane)}
    return not session.scalar(text("SELECT pg_try_advisory_xact_lock(:served, :lane)"), given)


def _number_of(lane: str) -> int:
    return zlib.crc32(lane.encode()) % 2**31


def owner_of(session: Session) -> int | None:
    """The owner under which this session's process takes leases; None outside a worker."""
    presence = session.info.get(_INFO)
    return presence.owner() if isinstance(presence, Presence) else None
