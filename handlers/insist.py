"""Writing down what was done while PostgreSQL restarts (坚持写入): a moment's patience, bounded."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

# A PostgreSQL that was killed answers again after two or three seconds; leases are longer.
_TRIES = 8
_PAUSE_SECONDS = 0.5


def is_away(error: BaseException) -> bool:
    """Whether this says that PostgreSQL does not answer, rather than that a statement is wrong."""
    if not isinstance(error, OperationalError | InterfaceError):
        return isinstance(error, DBAPIError) and error.connection_invalidated
    # Deadlocks and timeouts come under the same class; they have a code of their own. No code: the
    # connection itself failed. 08: connection, 53: no room for another, 57P: shutting down or up.
    code = getattr(error.orig, "sqlstate", None)
    return (
        error.connection_invalidated
        or code is None
        or code[:2] in ("08", "53")
        or (code[:3] == "57P")
    )


def insist(write: Callable[[], None]) -> None:
    """Run `write`, a whole transaction, again while PostgreSQL is away; raises the last failure."""
    for tries_left in reversed(range(_TRIES)):
        try:
            write()
            return
        except DBAPIError as error:
            if not is_away(error) or not tries_left:
                raise
            time.sleep(_PAUSE_SECONDS)
