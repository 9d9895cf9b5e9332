"""The migrations build what the models declare, on an empty database."""

from __future__ import annotations

import importlib
import subprocess
import sys

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from bot.db import Base, create_database_engine
from bot.embedded import Servers
from bot.settings import environment_for_children
from tests.servers import ROOT

VERSIONS = sorted((ROOT / "migrations" / "versions").glob("*.py"))


@pytest.fixture
def empty_database_url(servers: Servers) -> str:
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("drop database if exists empty_one with (force)")
        connection.execute("create database empty_one")
    return servers.database_url.replace("/daogou?", "/empty_one?")


def _alembic(url: str, var_dir: str, *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "alembic", *words],
        cwd=ROOT,
        env=environment_for_children({"DATABASE_URL": url, "VAR_DIR": var_dir}),
        check=True,
        capture_output=True,
    )


def test_there_is_a_first_migration() -> None:
    assert VERSIONS


def test_migrations_on_an_empty_database_give_the_declared_schema(
    servers: Servers, empty_database_url: str
) -> None:
    _alembic(empty_database_url, str(servers.place.var_dir), "upgrade", "head")
    importlib.import_module("app")
    engine = create_database_engine(empty_database_url)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Base.metadata) == []
    finally:
        engine.dispose()


def test_migrating_twice_changes_nothing(servers: Servers, empty_database_url: str) -> None:
    for _ in range(2):
        _alembic(empty_database_url, str(servers.place.var_dir), "upgrade", "head")
    with psycopg.connect(empty_database_url) as connection:
        assert len(connection.execute("select * from alembic_version").fetchall()) == 1
