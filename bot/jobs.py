"""Lanes and bells (车道与门铃): ring after commit, and hear the bell in a worker.

The table is the truth, RQ is a doorbell: one queue per lane and per RQ worker, JSON arguments,
lane names only. Losing every bell costs at most a lane's poll interval.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError
from rq.timeouts import TimerDeathPenalty
from rq.worker import SimpleWorker
from sqlalchemy import event
from sqlalchemy.orm import Session
from sqlalchemy.orm.session import SessionTransaction

from bot import bells
from bot.bells import Bells

log = logging.getLogger(__name__)

#: fast: what a 20 s clock runs on. events: other callbacks. send: calls to WeCom. marks: tags that
#: come in tens of thousands and wait for messages to people. slow: timed jobs.
LANES = ("fast", "events", "send", "marks", "slow")

_PENDING = "lanes_to_ring"
# RQ resolves a job by the name of a function, so what the job wakes must be found from here.
_heard: dict[str, threading.Event] = {}


def ring(session: Session, lane: str) -> None:
    """Ring `lane` once this session's transaction is committed; a rollback forgets it.

    Ringing many times in one transaction rings once. Without bells in `session.info` the workers
    find the row by looking.
    """
    if lane not in LANES:
        raise ValueError(f"there is no lane {lane!r}; lanes are {', '.join(LANES)}")
    if session.info.get("bells") is not None:
        session.info.setdefault(_PENDING, set()).add(lane)


@event.listens_for(Session, "after_commit")
def _ring_after_commit(session: Session) -> None:
    # SQLAlchemy reports the release of a savepoint as a commit too; nobody sees the rows yet.
    if session.in_nested_transaction():
        return
    lanes = session.info.pop(_PENDING, None)
    if lanes:
        for lane in sorted(lanes):
            session.info["bells"].ring(lane)


@event.listens_for(Session, "after_soft_rollback")
def _forget_after_rollback(session: Session, transaction: SessionTransaction) -> None:
    if not transaction.nested:
        session.info.pop(_PENDING, None)


def wake(lane: str) -> None:
    """The only RQ job: set the alarm of a lane in the process that runs it."""
    alarm = _heard.get(lane)
    if alarm is not None:
        alarm.set()


class BellWorker(SimpleWorker):
    """An RQ worker that may live in a thread: no signals, and the process decides when to stop."""

    death_penalty_class = TimerDeathPenalty

    def _install_signal_handlers(self) -> None:
        """Signals belong to the main thread, which stops all lanes together."""

    def stop(self) -> None:
        """Leave `work` after the bell in hand."""
        self._stop_requested = True


class Doorkeeper:
    """Listens to the bells of some lanes, one RQ worker and one queue each, until stopped."""

    def __init__(self, redis_url: str, lanes: Sequence[str], alarms: Bells) -> None:
        self._redis_url = redis_url
        self._stopping = threading.Event()
        self._workers: dict[str, BellWorker] = {}
        for lane in lanes:
            _heard[lane] = alarms.alarm(lane)
        self._threads = [
            threading.Thread(target=self._listen, args=(lane,), name=f"bell-{lane}", daemon=True)
            for lane in lanes
        ]

    def start(self) -> None:
        """Begin to listen; a Redis that is away is tried again every two seconds."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask the listeners to end. They are daemons: nobody has to wait for a silent Redis."""
        self._stopping.set()
        for worker in self._workers.values():
            worker.stop()

    def _listen(self, lane: str) -> None:
        while not self._stopping.is_set():
            try:
                worker = self._worker(lane)
                self._workers[lane] = worker
                worker.work(logging_level="WARNING")
            except (RedisError, OSError, ValueError) as error:
                log.warning("bell lane=%s deaf reason=%s", lane, type(error).__name__)
            self._stopping.wait(2.0)

    def _worker(self, lane: str) -> BellWorker:
        connection = bells.connect(self._redis_url)
        options: dict[str, Any] = {"worker_ttl": 30, "maintenance_interval": 60}
        return BellWorker(
            [bells.queue(connection, lane)], connection=connection, serializer="json", **options
        )
