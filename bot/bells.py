"""Bells (门铃): tell waiting workers that there is work, quickly and at best effort.

A bell carries no work: the table is the truth and every worker also looks by itself. So ringing
never blocks and never fails: a thread of its own talks to Redis, and when Redis is away the bell
is silent.
"""

from __future__ import annotations

import logging
import os
import threading
import time

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Retry
from rq.exceptions import DuplicateJobError

from bot import metrics

log = logging.getLogger(__name__)

#: What RQ executes in a worker; it only wakes the lane's loop.
WAKE = "bot.jobs.wake"
# Bells are for those who wait now: a queue nobody answers is not filled further.
_MOST_WAITING = 16
# Between two rings: each costs a good part of a millisecond of the ringing process's one processor.
_PAUSE_SECONDS = 0.05
# After a failure Redis is left alone this long; the workers' own looking takes over.
_SILENCE_SECONDS = 2.0


def connect(redis_url: str) -> Redis:
    """A Redis client that gives up quickly."""
    return Redis.from_url(redis_url, socket_connect_timeout=1, socket_timeout=5)


def queue(connection: Redis, lane: str) -> Queue:
    """The RQ queue of a lane; JSON only, so that Redis cannot make a worker run code."""
    return Queue(lane, connection=connection, serializer="json")


class Bells:
    """Rings lanes over Redis (other processes) and directly (this process).

    The first ring leaves at once, those of the next moment become one: a burst of a thousand
    events costs a handful of bells.
    """

    def __init__(self, redis_url: str | None) -> None:
        self.redis_url = redis_url
        self._alarms: dict[str, threading.Event] = {}
        self._wanted: set[str] = set()
        self._changed = threading.Condition()
        self._ringer: threading.Thread | None = None
        self._ringer_pid = 0
        self._closed = False

    def alarm(self, lane: str) -> threading.Event:
        """The event that is set when this process should look at `lane`."""
        return self._alarms.setdefault(lane, threading.Event())

    def ring(self, lane: str) -> None:
        """Tell whoever works on `lane`. Returns at once, whatever state Redis is in."""
        local = self._alarms.get(lane)
        if local is not None:
            local.set()
            return
        if self.redis_url is None or self._closed:
            return
        with self._changed:
            self._wanted.add(lane)
            # A thread does not survive fork: a child starts its own.
            if self._ringer is None or self._ringer_pid != os.getpid():
                self._ringer_pid = os.getpid()
                self._ringer = threading.Thread(target=self._run, name="bells", daemon=True)
                self._ringer.start()
            self._changed.notify()

    def answers(self) -> bool:
        """Whether Redis is there now."""
        if self.redis_url is None:
            return False
        connection = connect(self.redis_url)
        try:
            return bool(connection.ping())
        except (RedisError, OSError):
            return False
        finally:
            connection.close()

    def close(self) -> None:
        """Stop ringing; what was not rung yet is found by looking."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        assert self.redis_url is not None
        connection = connect(self.redis_url)
        while True:
            with self._changed:
                while not self._wanted and not self._closed:
                    self._changed.wait()
                if self._closed:
                    break
                lanes, self._wanted = self._wanted, set()
            for lane in sorted(lanes):
                _ring_over_redis(connection, lane)
            time.sleep(_PAUSE_SECONDS)
        connection.close()


def _ring_over_redis(connection: Redis, lane: str) -> None:
    try:
        lane_queue = queue(connection, lane)
        if lane_queue.count >= _MOST_WAITING:
            metrics.BELLS.labels(lane, "unanswered").inc()
            return
        # One id per second, not one for ever: a bell whose worker died mid-ring must not silence
        # the next. The monotonic clock is the same for all processes of a machine.
        lane_queue.enqueue(
            WAKE,
            lane,
            job_id=f"bell-{lane}-{int(time.monotonic())}",
            unique=True,
            result_ttl=0,
            failure_ttl=60,
            job_timeout=10,
            retry=Retry(max=1),
        )
        metrics.BELLS.labels(lane, "rung").inc()
    except DuplicateJobError:
        metrics.BELLS.labels(lane, "coalesced").inc()
    except (RedisError, OSError) as error:
        metrics.BELLS.labels(lane, "failed").inc()
        log.warning("bell lane=%s failed reason=%s", lane, type(error).__name__)
        time.sleep(_SILENCE_SECONDS)
