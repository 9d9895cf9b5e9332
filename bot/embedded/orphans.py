"""Processes that an earlier, killed start left behind (遗留进程).

Only called while holding the lock of the place, so whatever is found has no living starter.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bot.errors import SettingsError

MARK = "DAOGOU_PLACE"
"""The variable every app process carries; its value is the VAR_DIR it belongs to."""

_PROC = Path("/proc")


def clear_folder(folder: Path, gentle: signal.Signals, *, pid_file: Path | None = None) -> None:
    """Wait for, then end, every process whose current folder is `folder`.

    A server that lost its starter is already stopping; deleting its pid file while one of its
    processes is alive would corrupt the data, so this returns only when none is.
    """
    _end(lambda: _in_folder(folder, pid_file), gentle, f"processes still use {folder}")


def clear_marked(var_dir: Path) -> None:
    """End app processes (and their children) that a killed supervisor left behind."""
    mark = f"{MARK}={var_dir}".encode()
    _end(lambda: _with_mark(mark), signal.SIGTERM, "processes of an earlier start do not end")


def _end(find: Callable[[], list[int]], gentle: signal.Signals, complaint: str) -> None:
    # Patience first (the death signal is at work), then the gentle signal, then the hard one.
    for number, seconds in ((None, 1.0), (gentle, 10.0), (signal.SIGKILL, 5.0)):
        left = find()
        for pid in left if number is not None else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number or gentle)
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            time.sleep(0.02)
            left = find()
        if not left:
            return
    raise SettingsError(f"VAR_DIR is in use: {complaint}: {', '.join(map(str, find()))}")


def _in_folder(folder: Path, pid_file: Path | None) -> list[int]:
    if sys.platform != "linux":
        return _named_in(pid_file)
    wanted = str(folder)
    found = []
    for entry in _processes():
        with contextlib.suppress(OSError):
            if os.readlink(entry / "cwd") == wanted and not _is_zombie(entry):
                found.append(int(entry.name))
    return found


def _with_mark(mark: bytes) -> list[int]:
    found = []
    for entry in _processes():
        with contextlib.suppress(OSError):
            marked = mark in (entry / "environ").read_bytes().split(b"\0")
            if marked and int(entry.name) != os.getpid() and not _is_zombie(entry):
                found.append(int(entry.name))
    return found


def _processes() -> list[Path]:
    return [entry for entry in _PROC.iterdir() if entry.name.isdigit()] if _PROC.is_dir() else []


def _is_zombie(entry: Path) -> bool:
    return (entry / "stat").read_text(errors="replace").rsplit(")", 1)[1].split()[0] == "Z"


def _named_in(pid_file: Path | None) -> list[int]:
    # Without /proc: the process in the pid file, if it is a server and not a reused number.
    try:
        pid = int(pid_file.read_text(encoding="ascii").split()[0]) if pid_file else 0
    except (OSError, ValueError, IndexError):
        return []
    if pid <= 0:
        return []
    listed = subprocess.run(
        ["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return [pid] if any(name in listed.stdout for name in ("postgres", "redis", "valkey")) else []
