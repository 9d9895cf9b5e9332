"""What a dead worker process held is free at once; what a paused one holds is not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import text

from bot import inbox, leases, outbox, runs
from bot.db import transaction
from bot.presence import Presence, is_served
from bot.settings import environment_for_children
from tests import letters
from tests.installation import until
from tests.servers import ROOT

NOW = datetime(2030, 3, 5, 2, tzinfo=UTC)


@pytest.fixture
def holder(database_url, sessions) -> Iterator[subprocess.Popen[str]]:
    """A real process that has one message, one call and one run in hand."""
    plaintext = letters.added("wm1", code="c1")
    with transaction(sessions) as session:
        inbox.store(session, [inbox.arrival(b"key", plaintext, {}, NOW)])
        outbox.add(session, kind="x", api="a/b", body=b"{}", dedupe_key="k", lane="fast")
        runs.request(session, "night", date(2030, 3, 5))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bot.holder", database_url],
        cwd=ROOT,
        env=environment_for_children({}),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "1 1 1\n"
    yield process
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)
        process.kill()
    process.stdout.close()
    process.wait(10)


def _claim(sessions) -> tuple[int, int, int]:
    with transaction(sessions) as session:
        return (
            len(inbox.claim(session, "fast", most=5)),
            len(leases.claim(session, "fast", now=datetime.now(UTC), most=5)),
            len(runs.claim(session)),
        )


def _until_taken(sessions) -> float:
    began, taken = time.monotonic(), (0, 0, 0)
    while taken != (1, 1, 1):
        taken = tuple(map(sum, zip(taken, _claim(sessions), strict=True)))  # type: ignore[assignment]
        assert time.monotonic() - began < 5
    return time.monotonic() - began


def test_what_a_killed_worker_held_is_taken_over_within_a_second(holder, sessions):
    assert _claim(sessions) == (0, 0, 0)

    os.kill(holder.pid, signal.SIGKILL)

    assert _until_taken(sessions) < 1.0
    with sessions() as session:
        # The call may have been made: whoever has it now must know.
        [row] = session.execute(text("SELECT ambiguous, crashes, attempts FROM outbox")).all()
    assert tuple(row) == (True, 1, 2)


def test_a_paused_worker_keeps_what_it_holds_until_its_lease_ends(holder, sessions):
    os.kill(holder.pid, signal.SIGSTOP)
    time.sleep(0.5)
    assert _claim(sessions) == (0, 0, 0)

    with transaction(sessions) as session:
        for table in ("inbox", "outbox", "job_run"):
            session.execute(text(f"UPDATE {table} SET lease_until = now()"))

    assert _claim(sessions) == (1, 1, 1)


def test_a_worker_whose_connection_is_cut_says_at_once_that_it_still_lives(engine, sessions):
    presence = Presence(engine)
    presence.start(sessions)
    try:
        owner = _owner(presence)
        with transaction(sessions) as session:
            session.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks"
                    " WHERE locktype = 'advisory' AND objid = :owner"
                ),
                {"owner": owner},
            )
        time.sleep(0.3)
        assert _owner(presence) == owner
        with sessions() as session:
            held = session.scalar(
                text("SELECT count(*) FROM pg_locks WHERE objid = :owner"), {"owner": owner}
            )
        assert held == 1
    finally:
        presence.stop()
    assert presence.owner() is None


def test_a_lease_of_nobody_in_particular_runs_to_its_end(sessions):
    """The command line claims too, and holds no lock."""
    with transaction(sessions) as session:
        runs.request(session, "night", date(2030, 3, 5))
    assert _claim(sessions) == (0, 0, 1)
    assert _claim(sessions) == (0, 0, 0)


def _owner(presence: Presence) -> int:
    deadline = time.monotonic() + 10
    while (owner := presence.owner()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return owner


def test_a_lane_is_served_while_a_process_that_works_on_it_lives(engine, sessions):
    def served(lane: str) -> bool:
        with transaction(sessions) as session:
            return is_served(session, lane)

    assert not served("fast")
    presence, second = Presence(engine, ["fast"]), Presence(engine, ["fast"])
    for one in (presence, second):
        one.start(sessions)
        _owner(one)
    assert served("fast")
    assert not served("events")
    presence.stop()
    assert served("fast")
    second.stop()
    until(lambda: not served("fast"), 5)
