"""When a step is due (步骤时间): "10:00" on the wall clock, or "+2h" after the anchor."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta

from bot.clock import SHANGHAI
from bot.errors import UserError

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_DELAY = re.compile(r"\+(?:(\d{1,2})h)?(?:(\d{1,2})m)?")
_LONGEST = timedelta(hours=23, minutes=59)


def parse(at: str | None) -> time | timedelta | None:
    """The wall-clock time or the delay; None: all day. Raises UserError for anything else."""
    if at is None:
        return None
    clock = _CLOCK.fullmatch(at)
    if clock:
        return time(int(clock[1]), int(clock[2]))
    delay = _DELAY.fullmatch(at)
    if delay and (delay[1] or delay[2]):
        length = timedelta(hours=int(delay[1] or 0), minutes=int(delay[2] or 0))
        if timedelta(0) < length <= _LONGEST:
            return length
    raise UserError(f"时间「{at}」要写成 10:00，或 +2h、+30m（24 小时以内）", field="at")


def local_clock(moment: datetime | None) -> time | None:
    """The Shanghai wall clock of a moment."""
    return None if moment is None else moment.astimezone(SHANGHAI).time()
