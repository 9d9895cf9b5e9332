"""A worker process that takes a message, a call and a run in hand, and stays (占用者)."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

from bot import inbox, leases, runs
from bot.db import create_database_engine, create_sessions, transaction
from bot.presence import Presence


def main(url: str) -> None:
    engine = create_database_engine(url)
    sessions = create_sessions(engine)
    presence = Presence(engine)
    presence.start(sessions)
    while presence.owner() is None:
        time.sleep(0.01)
    with transaction(sessions) as session:
        held = inbox.claim(session, "fast", most=1)
        held_calls = leases.claim(session, "fast", now=datetime.now(UTC), most=1)
        held_runs = runs.claim(session)
    sys.stdout.write(f"{len(held)} {len(held_calls)} {len(held_runs)}\n")
    sys.stdout.flush()
    time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1])
