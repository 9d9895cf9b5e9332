"""Days as guides write them: 周五, 明天, 3天后, 12月3日, 下周一."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta

_WEEKDAYS = {"一": 0, "二": 1, "三": 2, "四": 3, "五": 4, "六": 5, "日": 6, "天": 6}
_NEAR = {"今天": 0, "今日": 0, "明天": 1, "明日": 1, "后天": 2, "大后天": 3, "下周": None}
_WEEKDAY = re.compile(r"(下+)?(?:个)?(?:这)?(?:周|星期|礼拜)([一二三四五六日天])")
_IN_DAYS = re.compile(r"([0-9]{1,3}|[一二两三四五六七八九十])天(?:之)?后")
_IN_WEEKS = re.compile(r"([0-9]{1,2}|[一二两三四])(?:周|个?星期|个?礼拜)(?:之)?后")
_NUMERALS = {c: n for n, c in enumerate("一二三四五六七八九十", 1)} | {"两": 2}
_MONTH_DAY = re.compile(r"([0-9]{1,2})(?:月|[-/.])([0-9]{1,2})[日号]?")
_FULL = re.compile(r"([0-9]{4})(?:年|[-/.])([0-9]{1,2})(?:月|[-/.])([0-9]{1,2})[日号]?")
_DAY = re.compile(r"([0-9]{1,2})[日号]")


def parse_day(text: str, today: date) -> date | None:
    """The day meant, counted from today; None if it is no day. A weekday is the next one, never
    today; a date without a year is the coming one."""
    words = text.strip().removeprefix("到").removeprefix("至").strip()
    if words in _NEAR:
        ahead = _NEAR[words]
        return today + timedelta(days=7 - today.weekday() if ahead is None else ahead)
    for pattern, read in _READERS:
        match = pattern.fullmatch(words)
        if match is not None:
            try:
                return read(match, today)
            except (ValueError, OverflowError):
                return None
    return None


def _weekday(match: re.Match[str], today: date) -> date:
    wanted = _WEEKDAYS[match[2]]
    if match[1]:
        monday = today - timedelta(days=today.weekday()) + timedelta(weeks=len(match[1]))
        return monday + timedelta(days=wanted)
    return today + timedelta(days=(wanted - today.weekday() - 1) % 7 + 1)


def _count(numeral: str) -> int:
    return _NUMERALS.get(numeral) or int(numeral)


def _month_day(match: re.Match[str], today: date) -> date:
    this_year = date(today.year, int(match[1]), int(match[2]))
    return this_year if this_year >= today else this_year.replace(year=today.year + 1)


def _day_of_month(match: re.Match[str], today: date) -> date:
    wanted = today.replace(day=int(match[1]))
    if wanted >= today:
        return wanted
    next_month = today.replace(day=1) + timedelta(days=32)
    return next_month.replace(day=int(match[1]))


_READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], date], date]], ...] = (
    (_WEEKDAY, _weekday),
    (_IN_DAYS, lambda m, today: today + timedelta(days=_count(m[1]))),
    (_IN_WEEKS, lambda m, today: today + timedelta(weeks=_count(m[1]))),
    (_FULL, lambda m, today: date(int(m[1]), int(m[2]), int(m[3]))),
    (_MONTH_DAY, _month_day),
    (_DAY, _day_of_month),
)
