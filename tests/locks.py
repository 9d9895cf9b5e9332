"""Tests of what happens while another transaction holds a row."""

from __future__ import annotations

import time

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def wait_for_a_lock(sessions: sessionmaker[Session]) -> None:
    """Until somebody stands before a lock that another transaction of this database holds."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with sessions() as looking:
            if looking.scalar(_WAITING):
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")
