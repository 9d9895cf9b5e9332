"""Connections that outlive the tests which opened them (复用连接).

A new connection costs the server a process that knows nothing: it reads the catalog, parses and
plans every statement anew, which is half of what a short test asks of PostgreSQL. An engine that
`compiled.share_statements` was called for takes a connection that an earlier test's engine has
closed, set back to how it was made; what is at work, broken or of an ended test is not taken.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Any

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus

Connection = psycopg.Connection[Any]

# What a transaction does not undo.
_AS_MADE = b"RESET ALL; SELECT pg_advisory_unlock_all(); UNLISTEN *; CLOSE ALL; DISCARD TEMP"


class Connections:
    """The connections of one test process that are at rest, by the database they lead to."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._resting: dict[str, list[Connection]] = {}
        #: How often a database was given back: engines of earlier turns get nothing more.
        self._turns: dict[str, int] = {}

    def turn(self, database: str) -> int:
        """The turn in which an engine is made now."""
        with self._lock:
            return self._turns.get(database, 0)

    def open(self, database: str, turn: int, connect: Callable[[], Connection]) -> Connection:
        """A connection at rest, or a new one; OperationalError for an engine of an ended test."""
        with self._lock:
            if turn != self._turns.get(database, 0):
                raise psycopg.OperationalError(f"the test that had {database} has ended")
            resting = self._resting.get(database)
            if resting:
                return resting.pop()
        return connect()

    def close(self, database: str, turn: int, connection: Connection) -> None:
        """Lay a connection to rest as it was made; close it where that can't be done."""
        if _is_as_made(connection):
            with self._lock:
                if turn == self._turns.get(database, 0):
                    self._resting.setdefault(database, []).append(connection)
                    return
        with suppress(psycopg.Error):
            connection.close()

    def end_turn(self, database: str) -> set[int]:
        """Engines of this test get nothing more. The server's process ids of who rests."""
        with self._lock:
            self._turns[database] = self._turns.get(database, 0) + 1
            return {one.info.backend_pid for one in self._resting.get(database, [])}

    def forget(self, database: str) -> None:
        """Close all that lead to this database, which goes."""
        with self._lock:
            resting = self._resting.pop(database, [])
        for one in resting:
            with suppress(psycopg.Error):
                one.close()


def _is_as_made(connection: Connection) -> bool:
    if connection.closed or connection.info.transaction_status != TransactionStatus.IDLE:
        return False
    try:
        connection.autocommit = False
        connection.isolation_level = connection.read_only = connection.deferrable = None
        done = connection.pgconn.exec_(_AS_MADE)
    except psycopg.Error:
        return False
    return done.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


connections = Connections()
