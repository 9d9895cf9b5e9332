"""One SQLite file as the sandbox's memory: short transactions, many threads and processes."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.sandbox.schema import SCHEMA

# Opening the file for the first time from several processes at once may meet a lock that
# SQLite's own waiting does not cover (the switch to WAL); then opening is simply tried again.
_OPEN_TRIES = 50


class Store:
    """Transactions over one file.

    Writers of one process queue at a lock, because SQLite's own waiting sleeps up to 100 ms at a
    time; between processes SQLite's waiting is what there is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.RLock()
        self._idle: list[sqlite3.Connection] = []
        self._pid = os.getpid()
        self.bell = threading.Event()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._open()

    @contextmanager
    def write(self, *, quiet: bool = False) -> Iterator[sqlite3.Connection]:
        """One write transaction; returning commits, raising rolls back.

        A `quiet` one is book-keeping that no phone shows: it leaves `version` as it is.
        """
        with self._writing:
            db = self._take()
            try:
                db.execute("BEGIN IMMEDIATE")
                before = db.total_changes
                yield db
                if not quiet and db.total_changes != before:
                    db.execute("UPDATE meta SET value = value + 1 WHERE key = 'version'")
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            finally:
                self._idle.append(db)
        if not quiet:
            self.bell.set()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent look; never waits for writers."""
        db = self._take()
        try:
            db.execute("BEGIN")
            yield db
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._idle.append(db)

    def version(self) -> int:
        """A number that grows with every change a phone could show."""
        with self.read() as db:
            return int(db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()[0])

    def close(self) -> None:
        """Give the file back; the store may be used again afterwards."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> sqlite3.Connection:
        if self._pid != os.getpid():
            # A forked child must never use its parent's connections, nor close them.
            self._inherited, self._idle, self._pid = self._idle, [], os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=15, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA cache_size = -4096")
        return db

    def _open(self) -> None:
        for tried in range(_OPEN_TRIES):
            db = self._connect()
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.executescript(SCHEMA)
            except sqlite3.OperationalError as error:
                db.close()
                if "locked" not in str(error) or tried == _OPEN_TRIES - 1:
                    raise
                time.sleep(0.05)
            else:
                self._idle.append(db)
                return
