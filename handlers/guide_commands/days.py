"""Days and times as guides write them: 周五, 明天, 3天后, 12月3日, 下周一 15:00."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta

from bot.clock import at

_WEEKDAYS = {"一": 0, "二": 1, "三": 2, "四": 3, "五": 4, "六": 5, "日": 6, "天": 6}
_NEAR = {"今天": 0, "今日": 0, "明天": 1, "明日": 1, "后天": 2, "大后天": 3, "下周": None}
_WEEKDAY = re.compile(r"(下+)?(?:个)?(?:这)?(?:周|星期|礼拜)([一二三四五六日天])")
_IN_DAYS = re.compile(r"([0-9]{1,3}|[一二两三四五六七八九十])天(?:之)?后")
_IN_WEEKS = re.compile(r"([0-9]{1,2}|[一二两三四])(?:周|个?星期|个?礼拜)(?:之)?后")
_NUMERALS = {c: n for n, c in enumerate("一二三四五六七八九十", 1)} | {"两": 2}
_MONTH_DAY = re.compile(r"([0-9]{1,2})(?:月|[-/.])([0-9]{1,2})[日号]?")
_FULL = re.compile(r"([0-9]{4})(?:年|[-/.])([0-9]{1,2})(?:月|[-/.])([0-9]{1,2})[日号]?")
_DAY = re.compile(r"([0-9]{1,2})[日号]")
_CLOCK = re.compile(
    r"(早上|上午|中午|下午|傍晚|晚上)?\s*([0-9]{1,2})(?::|点钟?|时)(半|[0-9]{2}(?=分?$)|)分?$"
)
_AFTERNOON = frozenset({"下午", "傍晚", "晚上"})
_STORES_CLOSED = range(1, 9)


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


def parse_moment(text: str, today: date) -> datetime | None:
    """The moment meant (周六 15:00, 明天下午3点半), as an aware one; None if it is none. Without a
    day it is today's. 「3点」 alone is in the afternoon, when stores are open; 「03:00」 is not."""
    found = _CLOCK.search(text.strip())
    if found is None or found.end() != len(text.strip()):
        return None
    named = text.strip()[: found.start()].strip(" ,，、")
    day = parse_day(named, today) if named else today
    hour, minutes = int(found[2]), 30 if found[3] == "半" else int(found[3] or 0)
    if _is_afternoon(found[1], found[2]):
        hour += 12
    if day is None or hour > 23 or minutes > 59:
        return None
    return at(day, hour, minutes)


def _is_afternoon(word: str | None, digits: str) -> bool:
    hour = int(digits)
    if word is None:
        return hour in _STORES_CLOSED and not digits.startswith("0")
    return hour < 11 if word == "中午" else word in _AFTERNOON and hour < 12


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
