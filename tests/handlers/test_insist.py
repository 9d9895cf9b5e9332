"""What was done is written down over a restart of PostgreSQL; a wrong statement is not repeated."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from handlers.insist import insist, is_away


def test_a_write_whose_connection_was_cut_is_done_again(sessions, engine):
    tries: list[int] = []

    def write() -> None:
        with sessions.begin() as session:
            pid = session.scalar(text("SELECT pg_backend_pid()"))
            tries.append(pid)
            if len(tries) == 1:
                with engine.begin() as killer:
                    killer.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            session.execute(text("SELECT 1"))

    insist(write)

    assert len(tries) == 2


@pytest.mark.parametrize(
    "statement", ["SELECT 1/0", "SET LOCAL statement_timeout = 10; SELECT pg_sleep(1)"]
)
def test_a_failure_of_the_statement_itself_is_no_absence(sessions, statement):
    tries: list[int] = []

    def write() -> None:
        tries.append(1)
        with sessions.begin() as session:
            session.connection().exec_driver_sql(statement)

    with pytest.raises(DBAPIError) as caught:
        insist(write)
    assert len(tries) == 1
    assert not is_away(caught.value)
