"""Fixtures of all tests. Nothing is replaced by a fake: servers and sandbox are real."""

from __future__ import annotations

import gc
import os
import sys

from tests.browsing import browser
from tests.compiled import share_routes
from tests.fixtures_db import engine, session, sessions
from tests.servers import ROOT, _admin, database_url, databases, redis_url, servers

__all__ = [
    "_admin",
    "browser",
    "database_url",
    "databases",
    "engine",
    "redis_url",
    "servers",
    "session",
    "sessions",
]

share_routes()

if sys.dont_write_bytecode:
    # The tests start the app many times over, and compiling it costs each start three seconds.
    # Where no bytecode may lie beside the sources, it goes into a folder of its own.
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(ROOT / ".venv" / "bytecode")
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": sys.pycache_prefix}

# A worker holds every imported module and compiled statement; looking through all of it for garbage
# every few hundred objects takes a good part of a test's time.
gc.set_threshold(50_000, 50, 100)
