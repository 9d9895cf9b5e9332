"""Everything of one installation in one terminal (进程总管): servers, then the app's processes.

The supervisor holds the lock of VAR_DIR, so a second one says so and leaves. Children that die are
started again after a short pause; stopping goes apps, Redis, PostgreSQL.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from bot.embedded.child import Child, write_whole
from bot.embedded.orphans import MARK, clear_marked
from bot.embedded.servers import Servers
from bot.errors import SettingsError
from bot.settings import Settings, environment_for_children

log = logging.getLogger("daogou.embedded")

_READY_SECONDS = 180.0
_LOOK_SECONDS = 0.1
_COMMAND_SECONDS = 15.0
_TRIM_LOGS_EVERY_SECONDS = 60.0
_LOG_LIMIT_BYTES = 16 * 1024 * 1024


class Supervisor:
    """Use as a context manager, in the main thread: leaving it stops everything it started."""

    def __init__(self, settings: Settings) -> None:
        self.servers = Servers(settings)
        self._children: list[Child] = []
        self._stop = threading.Event()
        self._running = False
        self._old_handlers: dict[signal.Signals, object] = {}
        self._trim_at = 0.0

    def __enter__(self) -> Self:
        self._lock()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._old_handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        # From here on a second Ctrl-C must not leave anything behind.
        self._running = True
        try:
            self._stop_children()
        finally:
            self.servers.close()
            (self.servers.place.run / "supervisor.pid").unlink(missing_ok=True)
            self.servers.place.unlock()
            for number, handler in self._old_handlers.items():
                signal.signal(number, handler)  # type: ignore[arg-type]
        # Ctrl-C while starting is a normal end as well: nothing is left, nothing went wrong.
        return isinstance(error, KeyboardInterrupt)

    def start_servers(self) -> Servers:
        """Clear away what a killed start left, then start PostgreSQL and Redis where needed."""
        place = self.servers.place
        write_whole(place.run / "supervisor.pid", f"{os.getpid()}\n")
        clear_marked(place.var_dir)
        self.servers.start(role="run")
        return self.servers

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        ready: Callable[[], bool] | None = None,
    ) -> None:
        """Start one process of the app and keep it running; its output goes to `log/<name>.log`.

        `env` is laid over this process's environment. With `ready`, returns when that says True;
        raises `SettingsError` with the process's last words when it ends before.
        """
        place = self.servers.place
        child = Child(
            name=name,
            argv=argv,
            log=place.log / f"{name}.log",
            pid_file=place.run / f"{name}.pid",
            env=environment_for_children({**(env or {}), MARK: str(place.var_dir)}),
        )
        self._children.append(child)
        child.start()
        deadline = time.monotonic() + _READY_SECONDS
        while ready is not None and not ready():
            if not child.alive():
                raise SettingsError(f"{name} does not start: {child.last_words()} ({child.log})")
            if time.monotonic() > deadline:
                raise SettingsError(f"{name} does not answer; see {child.log}")
            time.sleep(0.05)

    def run_until_stopped(self) -> None:
        """Watch over the children until SIGINT or SIGTERM; returns at once if one came before."""
        self._running = True
        while not self._stop.wait(_LOOK_SECONDS):
            self._look_after()

    def stop(self) -> None:
        """Make `run_until_stopped` return; may be called from any thread."""
        self._stop.set()

    def _lock(self) -> None:
        place = self.servers.place
        deadline = time.monotonic() + _COMMAND_SECONDS
        while not place.lock():
            facts = place.read_run_file()
            # A command holds the servers only for its own short time: worth waiting for, and so
            # is one that is just starting and has not yet said what it is.
            if facts.get("role") == "run" or time.monotonic() > deadline:
                raise SettingsError(
                    f"daogou already runs on this VAR_DIR (process {facts.get('pid', 'unknown')}):"
                    f" {place.var_dir}"
                )
            time.sleep(0.1)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()
        if not self._running:
            # Still starting (or migrating): break out of whatever is being waited for.
            self._running = True
            raise KeyboardInterrupt

    def _look_after(self) -> None:
        for child in self._children:
            if child.alive():
                continue
            if not child.waiting:
                log.warning(
                    "%s ended (%s), starting it; see %s", child.name, child.exit_text(), child.log
                )
            if child.due():
                child.restart()
        if time.monotonic() > self._trim_at:
            self._trim_at = time.monotonic() + _TRIM_LOGS_EVERY_SECONDS
            for path in self.servers.place.log.glob("*.log"):
                _trim(path)

    def _stop_children(self) -> None:
        # All are asked at once, then each is waited for: stopping takes as long as the slowest.
        for child in self._children:
            child.ask_to_stop()
        for child in reversed(self._children):
            child.stop()


def _trim(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.stat().st_size > _LOG_LIMIT_BYTES:
            # Writers append, so cutting the file under them is safe; the copy keeps the last part.
            Path(f"{path}.1").write_bytes(path.read_bytes())
            os.truncate(path, 0)
