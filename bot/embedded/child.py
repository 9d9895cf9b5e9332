"""One process that is kept running: start, look, stop, start again (子进程)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot.embedded.account import Account

_LAUNCH = Path(__file__).with_name("launch.py")
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 3.0
# A child that lived this long has started well: its next restart comes quickly again.
_SETTLED_SECONDS = 2.0


@dataclass
class Child:
    """What to run and how to end it.

    `ends` are the signals tried in turn with the seconds each is given, before SIGKILL.
    `sweeps_group`: its own children go with it (they share its process group).
    """

    name: str
    argv: Sequence[str]
    log: Path
    pid_file: Path
    env: Mapping[str, str] | None = None
    account: Account | None = None
    cwd: Path | None = None
    ends: Sequence[tuple[signal.Signals, float]] = ((signal.SIGTERM, 10.0),)
    sweeps_group: bool = True
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _started_at: float = 0.0
    _pause: float = _FIRST_PAUSE_SECONDS
    _not_before: float = 0.0
    _asked: bool = False

    def start(self) -> None:
        """Start it; it is killed if this process (or the starting thread) dies."""
        uid, gid = (self.account.uid, self.account.gid) if self.account else (-1, -1)
        launch = [sys.executable, "-I", "-S", str(_LAUNCH), str(int(self.ends[0][0]))]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*launch, str(os.getpid()), str(uid), str(gid), *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.cwd,
                start_new_session=True,
            )
        self._asked = False
        self._started_at = time.monotonic()
        write_whole(self.pid_file, f"{self._process.pid}\n")

    @property
    def pid(self) -> int | None:
        """The process number while there is one."""
        return self._process.pid if self._process else None

    def alive(self) -> bool:
        """Whether it runs; cleans up behind one that just ended."""
        if self._process is None:
            return False
        if self._process.returncode is None and self._ended() and self.sweeps_group:
            # Before its number is given back: what it left behind would hold its port.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.poll() is None

    def exit_text(self) -> str:
        """How it ended, for a log line."""
        code = self._process.returncode if self._process else None
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"

    @property
    def waiting(self) -> bool:
        """Whether its death was already noticed and its pause is running."""
        return self._not_before > 0.0

    def due(self) -> bool:
        """Whether a dead child may be started again now; plans the pause on the first look."""
        now = time.monotonic()
        if self._not_before == 0.0:
            settled = now - self._started_at > _SETTLED_SECONDS
            self._pause = _FIRST_PAUSE_SECONDS if settled else self._pause
            self._not_before = now + self._pause
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        return now >= self._not_before

    def restart(self) -> None:
        """Start it again after `due`."""
        self._not_before = 0.0
        self.restarts += 1
        self.start()

    def ask_to_stop(self) -> None:
        """Send the first signal and return at once."""
        if self.alive() and self._process is not None and not self._asked:
            self._asked = True
            self._process.send_signal(self.ends[0][0])

    def stop(self) -> None:
        """End it: each signal in turn, then SIGKILL; returns when it is gone."""
        self.ask_to_stop()
        for index, (number, seconds) in enumerate(self.ends):
            if not self.alive() or self._process is None:
                break
            if index > 0:
                self._process.send_signal(number)
            deadline = time.monotonic() + seconds
            while self.alive() and time.monotonic() < deadline:
                time.sleep(0.01)
        if self.alive() and self._process is not None:
            self._process.kill()
            while self.alive():
                time.sleep(0.01)
        self.pid_file.unlink(missing_ok=True)

    def last_words(self) -> str:
        """The last line of its log, for an error message."""
        try:
            lines = self.log.read_bytes()[-4000:].decode("utf-8", "replace").split("\n")
        except OSError:
            return "no log"
        return next((line.strip() for line in reversed(lines) if line.strip()), "empty log")

    def _ended(self) -> bool:
        if not hasattr(os, "waitid") or self._process is None:
            return False
        try:
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self._process.pid, flags) is not None
        except ChildProcessError:
            return False


def write_whole(path: Path, text: str) -> None:
    """Whoever reads this file sees the old words or the new ones, never half of them."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(text, encoding="ascii")
    draft.replace(path)
