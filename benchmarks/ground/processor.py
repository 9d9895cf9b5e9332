"""Processor seconds (CPU 时间) of this process and of a database server beside it."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
# Places after the name in /proc/<pid>/stat.
_PARENT, _USER, _SYSTEM, _USER_OF_ENDED, _SYSTEM_OF_ENDED = 1, 11, 12, 13, 14


def seconds(postmaster: int | None) -> float:
    """Spent so far by this process, and by the server's processes, running or ended.

    Only this process where there is no /proc, or the server is not on this machine.
    """
    spent = time.process_time()
    fields = _fields(str(postmaster)) if postmaster else None
    if fields is None:
        return spent
    ticks = int(fields[_USER_OF_ENDED]) + int(fields[_SYSTEM_OF_ENDED])
    for entry in os.listdir("/proc"):
        child = _fields(entry) if entry.isdigit() else None
        if child is not None and int(child[_PARENT]) == postmaster:
            ticks += int(child[_USER]) + int(child[_SYSTEM])
    return spent + ticks / _TICKS


def server_in(folder: Path) -> int | None:
    """The process id of the PostgreSQL whose data lies somewhere in `folder`."""
    found = next(folder.rglob("postmaster.pid"), None)
    return int(found.read_text().split()[0]) if found else None


def _fields(pid: str) -> list[str] | None:
    try:
        return Path("/proc", pid, "stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
