"""SQL statements, pages and routes are compiled once per test process, not once per test.

SQLAlchemy keeps what it compiled with an engine and its dialect, Jinja and Werkzeug with an app,
and every test has both anew. All of them speak to one server in one way and show the same pages:
here they share what was compiled, as in a process that runs for weeks.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import Engine
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule

from tests.connections import connections


def share_statements(engine: Engine) -> Engine:
    """Let this engine use what the test process has compiled already; returns the engine.

    It takes connections which the engines of earlier tests have closed (`tests.connections`).
    """
    engine.dialect.__class__ = _Dialect
    database = engine.url.database or ""
    engine.dialect.home = (database, connections.turn(database))  # type: ignore[attr-defined]
    engine.update_execution_options(compiled_cache=_statements)
    return engine


def share_pages(app: Flask) -> Flask:
    """Let this app use what the test process has compiled already; returns the app."""
    app.jinja_env.bytecode_cache = _pages
    return app


def share_routes() -> None:
    """Let every app of this process use what was compiled for the routes of another."""
    Flask.url_rule_class = _Rule


class _Rule(Rule):
    """The function that writes a route's address closes over nothing: it may serve many apps."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        if self.defaults:
            # Their words are the converters' affair, which belong to one app.
            return super()._compile_builder(append_unknown)
        key = (self.rule, tuple(self._trace), append_unknown)
        if key not in _routes:
            _routes[key] = super()._compile_builder(append_unknown)
        return _routes[key]


class _Dialect(PGDialect_psycopg):
    """Any two are one and the same key: `create_database_engine` makes all of them alike."""

    supports_statement_cache = True
    #: The database, and the turn of its use in which the engine was made.
    home: tuple[str, int]

    def connect(self, *cargs: Any, **cparams: Any) -> Any:
        connect = super().connect
        return connections.open(*self.home, lambda: connect(*cargs, **cparams))

    def do_close(self, dbapi_connection: Any) -> None:
        connections.close(*self.home, dbapi_connection)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Dialect)

    def __hash__(self) -> int:
        return hash(_Dialect)


class _Pages(BytecodeCache):
    """Bytecode in memory; Jinja itself compares it with the page's present source."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


_statements: LRUCache[Any, Any] = LRUCache(3000)
_pages = _Pages()
_routes: dict[Hashable, Callable[..., tuple[str, str]]] = {}
