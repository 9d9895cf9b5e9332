"""The test servers themselves: every test gets an empty, migrated database of its own."""

from __future__ import annotations

import psycopg
import pytest
from redis import Redis

from bot.db import Base
from bot.embedded import Servers
from tests.databases import Databases

_OID = "SELECT oid FROM pg_database WHERE datname = current_database()"


@pytest.mark.parametrize("turn", [1, 2])
def test_what_one_test_writes_no_other_sees(database_url: str, redis_url: str, turn: int) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("create table written_by_a_test (turn int)")
        connection.execute("insert into written_by_a_test values (%s)", (turn,))
    with Redis.from_url(redis_url) as redis:
        assert redis.dbsize() == 0
        redis.set("turn", turn)


def test_the_database_has_the_products_tables(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "select table_name from information_schema.tables where table_schema = 'public'"
        )
        names = {row[0] for row in found}
    assert names >= set(Base.metadata.tables)
    assert names


def _do(servers: Servers, name: str, *statements: str) -> None:
    url = servers.database_url.replace("/daogou?", f"/{name}?")
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def _rows(servers: Servers, name: str, query: str) -> list[tuple[object, ...]]:
    url = servers.database_url.replace("/daogou?", f"/{name}?")
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchall()


_KNOWN = "SELECT relpages, reltuples FROM pg_class WHERE relname = 'store'"
_ADD = "INSERT INTO store (code, name) VALUES ('S1', '店') RETURNING id"


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE more (id int)",
        "ALTER TABLE store ADD COLUMN more int",
        "DROP TABLE api_pause",
        "CREATE INDEX more ON store (name)",
        "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE VIEW more AS SELECT 1",
        "ALTER TABLE store ALTER COLUMN name SET DEFAULT 'x'",
        "ANALYZE",
        "DELETE FROM alembic_version",
        "DROP TABLE alembic_version",
        "UPDATE alembic_version SET version_num = 'x'",
        "SELECT lo_create(0)",
    ],
)
def test_a_database_in_which_more_than_rows_changed_is_thrown_away(
    servers: Servers, databases: Databases, change: str
) -> None:
    name = databases.take()
    oid = _rows(servers, name, _OID)
    _do(servers, name, change)
    databases.give_back(name)
    name = databases.take()
    assert _rows(servers, name, _OID) != oid
    databases.give_back(name)


def test_a_setting_of_a_database_goes_with_it(servers: Servers, databases: Databases) -> None:
    name = databases.take()
    _do(servers, name, f"ALTER DATABASE {name} SET statement_timeout = '7s'")
    databases.give_back(name)
    name = databases.take()
    assert _rows(servers, name, "SHOW statement_timeout") == [("0",)]
    databases.give_back(name)


def test_a_database_taken_again_has_no_rows_and_counts_from_one(
    servers: Servers, databases: Databases
) -> None:
    name = databases.take()
    oid = _rows(servers, name, _OID)
    _do(servers, name, _ADD, "DELETE FROM store", _ADD.replace("S1", "S2"))
    databases.give_back(name)
    name = databases.take()
    assert _rows(servers, name, _OID) == oid
    assert _rows(servers, name, "SELECT count(*) FROM store") == [(0,)]
    assert _rows(servers, name, _KNOWN) == [(0, -1.0)]
    assert _rows(servers, name, _ADD) == [(1,)]
    assert _rows(servers, name, "SELECT ctid::text FROM store") == [("(0,1)",)]
    databases.give_back(name)


def test_who_stayed_connected_is_sent_away_and_finds_the_database_no_more(
    servers: Servers, databases: Databases
) -> None:
    name = databases.take()
    url = servers.database_url.replace("/daogou?", f"/{name}?")
    with psycopg.connect(url) as left_behind:
        left_behind.execute("LOCK TABLE store IN ACCESS EXCLUSIVE MODE")
        left_behind.execute("SELECT pg_advisory_lock(1)")
        databases.give_back(name)
        with pytest.raises(psycopg.OperationalError):
            left_behind.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)
