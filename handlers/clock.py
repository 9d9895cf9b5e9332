"""The clock process (时钟): APScheduler holds the times, one clock of many is the leader.

Leadership is a session lock on a connection of its own: it spares work, it is not what makes a
job happen once (that is the row of its run).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from bot.bot import Bot
from bot.clock import SHANGHAI
from handlers import timetable

log = logging.getLogger(__name__)

# Any number, the same in every clock of the product.
_LOCK = 7_226_001
_TAKE_OVER_SECONDS = 2.0


class Leadership:
    """The right to be the one clock; lost with the connection, then somebody else has it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        # The main loop and the scheduler's threads ask over the one connection that holds the lock.
        self._turn = threading.Lock()

    def hold(self) -> bool:
        """Whether this process is the leader now; tries to become it."""
        with self._turn:
            try:
                return self._is_held()
            except SQLAlchemyError:
                self._drop()
                return False

    def release(self) -> None:
        """Give the right away."""
        with self._turn:
            self._drop()

    def _is_held(self) -> bool:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(
                isolation_level="AUTOCOMMIT"
            )
            try_lock = text("SELECT pg_try_advisory_lock(:n)")
            if not self._connection.scalar(try_lock, {"n": _LOCK}):
                self._drop()
                return False
        self._connection.execute(text("SELECT 1"))
        return True

    def _drop(self) -> None:
        if self._connection is not None:
            # Invalidated, not returned: a pooled connection would keep the lock.
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def run_clock(bot: Bot, stop: threading.Event) -> None:
    """Look at the timetable until `stop` is set."""
    leadership = Leadership(bot.engine)
    scheduler = BackgroundScheduler(timezone=SHANGHAI)
    for name, every, job in (
        ("look", timetable.LOOK_EVERY, timetable.look),
        ("tick", timetable.TICK_EVERY, timetable.tick),
    ):
        scheduler.add_job(
            _guarded,
            "interval",
            seconds=every.total_seconds(),
            args=[name, job, bot, leadership],
            id=name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=3600,
        )
    scheduler.start()
    was_leader = False
    while not stop.is_set():
        is_leader = leadership.hold()
        if is_leader and not was_leader:
            log.info("clock leader=yes")
            # A clock that begins looks at once: what was missed is caught up now.
            for name, job in (("look", timetable.look), ("tick", timetable.tick)):
                _guarded(name, job, bot, leadership)
        was_leader = is_leader
        stop.wait(_TAKE_OVER_SECONDS)
    scheduler.shutdown(wait=True)
    leadership.release()


def _guarded(name: str, job: Callable[[Bot], object], bot: Bot, leadership: Leadership) -> None:
    if not leadership.hold():
        return
    try:
        job(bot)
    except Exception:
        # The door of the clock: one failed look must not end the ticking; the next one repeats it.
        log.exception("clock job=%s failed", name)
