"""The only place that reads the time; Asia/Shanghai lives here.

A sandbox may run ahead of the real world ("let days pass"): `Clock` then adds the offset kept in
a small file under VAR_DIR, so that every process of one installation agrees on the time.
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")

# How long a process may trust the offset it read; a moved sandbox clock is seen after this.
_OFFSET_TRUST_SECONDS = 0.2


class Clock:
    """The current time, with the sandbox's offset if there is an offset file."""

    def __init__(self, offset_file: Path | None = None) -> None:
        self._offset_file = offset_file
        self._offset = timedelta(0)
        self._read_at = -1.0

    def now(self) -> datetime:
        """The current moment in UTC."""
        return datetime.now(UTC) + self.offset()

    def real_now(self) -> datetime:
        """The moment without the sandbox's lead: for what belongs to a person at a screen, such as
        a sign-in, which must not end because the sandbox let a week pass."""
        return datetime.now(UTC)

    def offset(self) -> timedelta:
        """How far the sandbox's clock runs ahead of the real one (zero on a real corp)."""
        if self._offset_file is None:
            return timedelta(0)
        tick = time.monotonic()
        if self._read_at < 0 or tick - self._read_at > _OFFSET_TRUST_SECONDS:
            self._offset = _read_offset(self._offset_file)
            self._read_at = tick
        return self._offset

    def advance(self, by: timedelta) -> None:
        """Let time pass in the sandbox. Time only runs forward."""
        if self._offset_file is None:
            raise ValueError("only a sandbox clock can be moved")
        if by < timedelta(0):
            raise ValueError("time only runs forward")
        total = _read_offset(self._offset_file) + by
        fresh = self._offset_file.with_suffix(".new")
        fresh.write_text(f"{total.total_seconds()}\n", encoding="ascii")
        fresh.replace(self._offset_file)
        self._read_at = -1.0


def _read_offset(path: Path) -> timedelta:
    try:
        return timedelta(seconds=float(path.read_text(encoding="ascii")))
    except (FileNotFoundError, ValueError):
        return timedelta(0)


def business_day(moment: datetime) -> date:
    """The Asia/Shanghai date of an aware moment."""
    return moment.astimezone(SHANGHAI).date()


def at(day: date, hour: int, minute: int = 0) -> datetime:
    """The UTC moment of a Shanghai wall-clock time on a business day."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=SHANGHAI).astimezone(UTC)
