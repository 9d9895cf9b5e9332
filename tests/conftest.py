"""Fixtures of all tests. Nothing is replaced by a fake: servers and sandbox are real."""

from __future__ import annotations

from tests.browsing import browser
from tests.fixtures_db import engine, session, sessions
from tests.servers import _admin, database_url, redis_url, servers

__all__ = [
    "_admin",
    "browser",
    "database_url",
    "engine",
    "redis_url",
    "servers",
    "session",
    "sessions",
]
