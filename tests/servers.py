"""Real PostgreSQL and Redis for the tests: one pair per test process, an empty database per test.

The fixtures are made known by `conftest.py`. A database comes from a template that holds the
migrated schema, so a test may commit, kill and reconnect as the product does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from bot.embedded import Servers
from bot.settings import Settings, environment_for_children
from tests.databases import Databases

ROOT = Path(__file__).parents[1]
_TEMPLATE = "template_daogou"
# A crash of the machine may cost a test run its data; in exchange every commit is quicker. Nothing
# is cleaned or measured behind a test's back: that would change plans at moments of its own.
_HASTY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_connections": "100",
}


# Where Linux keeps files in memory: a test's database is hundreds of files that nobody will miss.
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 * 1024**3


def reachable_folder(parent: Path | None = None) -> Path:
    """A new short folder, by default a temporary one, which the servers' user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="dg-", dir=parent))
    folder.chmod(0o755)
    return folder


def _quick_parent() -> Path | None:
    """Memory, where there is plenty of it; else whatever is the system's temporary folder."""
    if not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _ROOM_BYTES:
        return None
    return _MEMORY


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL and Redis in a folder of their own, stopped and removed at the end."""
    folder = reachable_folder(_quick_parent())
    settings = Settings.from_env({"VAR_DIR": str(folder)})
    try:
        with Servers.attach_or_start(settings, postgres_options=_HASTY) as running:
            yield running
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def _admin(servers: Servers) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection that makes and drops databases; the template exists."""
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(f"create database {_TEMPLATE}")
        _make_schema(servers, named(servers, _TEMPLATE))
        yield connection


@pytest.fixture(scope="session")
def databases(
    servers: Servers, _admin: psycopg.Connection[tuple[object, ...]]
) -> Iterator[Databases]:
    found = Databases(_admin, lambda name: named(servers, name), _TEMPLATE)
    yield found
    found.close()


@pytest.fixture
def database_url(servers: Servers, databases: Databases) -> Iterator[str]:
    """The address of an empty, migrated database that no other test ever has under this name."""
    name = databases.take()
    yield named(servers, name)
    databases.give_back(name)


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """The address of an empty Redis database."""
    assert servers.redis_url, "the tests need a Redis: install redis-server 6.2 or newer"
    url = f"{servers.redis_url}?db=1"
    with Redis.from_url(url) as redis:
        redis.flushdb()
    return url


def named(servers: Servers, name: str) -> str:
    return servers.database_url.replace("/daogou?", f"/{name}?")


def _make_schema(servers: Servers, url: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=ROOT,
        env=environment_for_children({"DATABASE_URL": url, "VAR_DIR": str(servers.place.var_dir)}),
        check=True,
    )
