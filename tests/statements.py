"""SQLAlchemy compiles a statement once per test process, not once per test and engine.

Its cache belongs to an engine and to an engine's dialect. Every test has an engine of its own, yet
all of them speak to one server in one way: here they share what was compiled, as the engine of a
worker that runs for weeks does.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import Engine
from sqlalchemy.util import LRUCache

_compiled: LRUCache[Any, Any] = LRUCache(3000)


def share(engine: Engine) -> Engine:
    """Let this engine use what the test process has compiled already; returns the engine."""
    return engine
    engine.update_execution_options(compiled_cache=_compiled)
    return engine


class _Shared(PGDialect_psycopg):
    """Any two are one and the same key: `create_database_engine` makes all of them alike."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Shared)

    def __hash__(self) -> int:
        return hash(_Shared)
