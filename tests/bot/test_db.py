"""One transaction that is done again after a deadlock, and errors that tell nothing of people."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bot.db import transact

_LOCK = text("SELECT pg_advisory_xact_lock(:n)")


def test_of_two_that_wait_for_each_other_in_a_ring_both_are_done_in_the_end(sessions):
    both_hold_one = threading.Barrier(2, timeout=20)
    tries: dict[str, int] = {}
    failed: list[Exception] = []

    def work(name, first, second):
        def hold_two(session):
            tries[name] = tries.get(name, 0) + 1
            session.execute(_LOCK, {"n": first})
            if tries[name] == 1:
                both_hold_one.wait()
            session.execute(_LOCK, {"n": second})

        try:
            transact(sessions, hold_two)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=one) for one in (("a", 1, 2), ("b", 2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(tries.values()) == [1, 2]


def test_a_statement_that_is_wrong_is_not_tried_again(sessions):
    tries = []

    def divide(session):
        tries.append(1)
        session.execute(text("SELECT 1 / 0"))

    with pytest.raises(DBAPIError):
        transact(sessions, divide)
    assert len(tries) == 1


def test_an_error_of_the_database_does_not_tell_whom_it_was_about(session):
    with pytest.raises(DBAPIError) as failed:
        session.execute(text("SELECT 1 / 0 WHERE CAST(:name AS text) > ''"), {"name": "王芳"})
    assert "SELECT 1 / 0" in str(failed.value)
    assert "王芳" not in str(failed.value)
