"""Opening hours (营业时间) as HQ writes them, read as times: "10:00-22:00", "周末 10点-22点半".

Where several spans are written (weekdays and weekends), the time that all of them are open counts:
nobody is to be asked to the counter when it may be closed.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import time

_TIME = r"([01]?[0-9]|2[0-4])(?:[:：]([0-5][0-9])|点(半)?)"
_SPAN = re.compile(rf"{_TIME}\s*(?:[-–—~～至到]+)\s*(?:次日|凌晨)?{_TIME}")
_MIDNIGHT = 24 * 60


def parse(text: str | None) -> tuple[time, time] | None:
    """When a store opens and closes; None: not said, not readable, or open past midnight."""
    plain = unicodedata.normalize("NFKC", text or "")
    spans = [_minutes(found) for found in _SPAN.finditer(plain)]
    if not spans:
        return None
    opens, closes = max(one[0] for one in spans), min(one[1] for one in spans)
    if closes <= opens:
        return None
    return _time(opens), _time(closes)


def _minutes(found: re.Match[str]) -> tuple[int, int]:
    return _one(found[1], found[2], found[3]), _one(found[4], found[5], found[6])


def _one(hour: str, minute: str | None, half: str | None) -> int:
    return min(int(hour) * 60 + int(minute or (30 if half else 0)), _MIDNIGHT)


def _time(minutes: int) -> time:
    # A time of day ends a minute before midnight.
    minutes = min(minutes, _MIDNIGHT - 1)
    return time(minutes // 60, minutes % 60)
