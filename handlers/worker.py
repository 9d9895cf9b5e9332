"""Door: a worker process (工作进程): threads that keep its lanes busy until it is told to stop."""

from __future__ import annotations

import logging
import queue
import signal
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from bot.bot import Bot
from bot.db import transaction
from bot.jobs import Doorkeeper
from bot.presence import Presence, is_served
from handlers.lanes import LANES, Source, with_rows

log = logging.getLogger(__name__)

# How long pieces in hand may still take after a stop; longer ones are taken up again elsewhere.
_LAST_SECONDS = 12.0
_AFTER_FAILURE_SECONDS = 1.0
# Bells of one moment are answered by one look: under load what is found then is done together.
_BREATH_SECONDS = 0.04


class _Hands:
    """The threads of one source, and how many of them are free."""

    def __init__(self, bot: Bot, source: Source, alarm: threading.Event) -> None:
        self.source = source
        self._bot = bot
        self._alarm = alarm
        self._pieces: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._busy = 0
        # The last look found as many as there were free hands: there may be more.
        self._hungry = False
        for number in range(source.at_once):
            threading.Thread(target=self._work, name=f"{source.name}-{number}", daemon=True).start()

    def take(self) -> int:
        """Claim for the free hands; returns the pieces found."""
        with self._lock:
            free = self.source.at_once - self._busy
            # Claiming for every single freed hand would cost a statement a piece.
            if free < max(1, self.source.at_once // 4):
                return 0
        pieces = self.source.claim(self._bot, free)
        with self._lock:
            self._busy += len(pieces)
            self._hungry = len(pieces) >= free
        for piece in pieces:
            self._pieces.put(piece)
        return len(pieces)

    def is_busy(self) -> bool:
        with self._lock:
            return self._busy > 0

    def _work(self) -> None:
        while True:
            piece = self._pieces.get()
            try:
                self.source.work(self._bot, piece)
            except Exception:  # a hand never goes home because of one piece; its lease will end
                log.exception("source=%s piece dropped until its lease ends", self.source.name)
                time.sleep(_AFTER_FAILURE_SECONDS)
            with self._lock:
                self._busy -= 1
                wanted = self._hungry
            if wanted:
                self._alarm.set()


class Crew:
    """Works on some lanes, each in threads of its own, so that none can starve another.

    Lanes it `stands_in_for` it works on only while no living process does: a welcome does not wait
    until the one fast worker has started again.
    """

    def __init__(self, bot: Bot, lanes: Iterable[str], stands_in_for: Iterable[str] = ()) -> None:
        self._bot = bot
        self._lanes = tuple(lanes)
        self._stands_in_for = tuple(stands_in_for)
        self._stopping = threading.Event()
        self._hands: list[_Hands] = []
        self._loops: list[threading.Thread] = []
        self._doorkeeper: Doorkeeper | None = None
        self._presence = Presence(bot.engine, self._lanes)

    def start(self) -> None:
        """Begin: bells are listened to if there is a Redis, and every lane looks by itself."""
        self._presence.start(self._bot.sessions)
        for lane in self._lanes:
            self._begin(lane, self._bot.bells.alarm(lane))
        for lane in self._stands_in_for:
            # Not the bell's alarm: it rings for whoever serves the lane, also from here.
            self._begin(lane, threading.Event(), stands_in=True)
        if self._bot.bells.redis_url is not None:
            self._doorkeeper = Doorkeeper(self._bot.bells.redis_url, self._lanes, self._bot.bells)
            self._doorkeeper.start()
        log.info("worker lanes=%s started", ",".join(self._lanes))

    def stop(self) -> bool:
        """Claim nothing more and finish what is in hand; False: something was left to its lease."""
        self._stopping.set()
        if self._doorkeeper is not None:
            self._doorkeeper.stop()
        for lane in self._lanes:
            self._bot.bells.alarm(lane).set()
        for loop in self._loops:
            loop.join(_LAST_SECONDS)
        last = time.monotonic() + _LAST_SECONDS
        while time.monotonic() < last:
            if not any(hands.is_busy() for hands in self._hands):
                break
            time.sleep(0.05)
        clean = not any(hands.is_busy() for hands in self._hands)
        self._presence.stop()
        log.info("worker lanes=%s stopped clean=%s", ",".join(self._lanes), clean)
        return clean

    def _begin(self, lane: str, alarm: threading.Event, *, stands_in: bool = False) -> None:
        hands = [_Hands(self._bot, source, alarm) for source in LANES[lane].sources]
        self._hands += hands
        loop = threading.Thread(
            target=self._loop,
            args=(lane, hands, alarm, stands_in),
            name=f"lane-{lane}",
            daemon=True,
        )
        loop.start()
        self._loops.append(loop)

    def _loop(
        self, lane: str, hands: Sequence[_Hands], alarm: threading.Event, stands_in: bool
    ) -> None:
        look = LANES[lane].look_seconds
        while not self._stopping.is_set():
            alarm.clear()
            found = sum([self._look(lane, one, stands_in) for one in hands])
            if found:
                self._stopping.wait(_BREATH_SECONDS)
            else:
                alarm.wait(look)

    def _look(self, lane: str, hands: _Hands, stands_in: bool) -> int:
        try:
            if stands_in and self._is_served(lane):
                return 0
            return hands.take()
        except Exception as error:  # PostgreSQL is away, or whatever: look again
            log.warning("lane=%s cannot look reason=%s", lane, type(error).__name__)
            self._stopping.wait(_AFTER_FAILURE_SECONDS)
            return 0

    def _is_served(self, lane: str) -> bool:
        with transaction(self._bot.sessions) as session:
            return is_served(session, lane)


def run_lanes(bot: Bot, lanes: Sequence[str], stands_in_for: Sequence[str] = ()) -> None:
    """Work on `lanes` until SIGTERM or SIGINT; what is in hand is finished first.

    To be called from the main thread of a worker process, which owns `bot` alone.
    """
    told = threading.Event()

    def stop(signum: int, frame: object) -> None:
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    crew = Crew(bot, lanes, stands_in_for)
    crew.start()
    told.wait()
    crew.stop()
    bot.bells.close()
    bot.engine.dispose()


def settle(bot: Bot, *, most_passes: int = 200) -> int:
    """Do everything that is due, in this thread, until nothing is left; returns the pieces done.

    What waits for a later moment (a retry, a morning) stays. For tests and the command line.
    """
    done = 0
    for _ in range(most_passes):
        before = done
        for source in with_rows(bot):
            for piece in source.claim(bot, 50):
                source.work(bot, piece)
                done += 1
        if done == before:
            return done
    raise RuntimeError(f"there is still work after {most_passes} passes")
