"""The test servers themselves: every test gets its own empty, migrated database."""

from __future__ import annotations

import psycopg
import pytest
from redis import Redis

from bot.db import Base


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
