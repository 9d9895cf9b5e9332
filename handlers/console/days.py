"""Days in an address (日期参数): what a person may type there, and what stands for nonsense."""

from __future__ import annotations

import re
from datetime import date

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 2000, 2100


def read(said: str | None, otherwise: date) -> date:
    """The day in `said`; `otherwise` for none, for nonsense and for another century."""
    if said is None or _DAY.fullmatch(said) is None:
        return otherwise
    try:
        day = date.fromisoformat(said)
    except ValueError:
        return otherwise
    return day if _FIRST_YEAR <= day.year <= _LAST_YEAR else otherwise
