"""How people say times, days and money (显示口径), known to every template as `say`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from bot.clock import SHANGHAI, business_day
from content_library import words
from handlers.web import the_bot

_WEEKDAYS = "一二三四五六日"
# WeCom's names are at most this long; a list cuts them by its own width.
_LONGEST_NAME = 200


def moment(at: datetime | None) -> str:
    """今天 10:30, 昨天 18:05, 周三 09:00, 3月5日, 2025年3月5日."""
    if at is None:
        return "–"
    local = at.astimezone(SHANGHAI)
    gone = (business_day(the_bot().clock.now()) - local.date()).days
    near = gone in (0, 1) or 1 < gone < 7
    return f"{day_word(local.date())} {local:%H:%M}" if near else day_word(local.date())


def day_word(on: date | None) -> str:
    """今天, 明天, 昨天, 周三 (within six days), 3月5日, 2025年3月5日."""
    if on is None:
        return "–"
    today = business_day(the_bot().clock.now())
    ahead = (on - today).days
    if ahead in (-1, 0, 1):
        return {-1: "昨天", 0: "今天", 1: "明天"}[ahead]
    if -7 < ahead < 0:
        return f"周{_WEEKDAYS[on.weekday()]}"
    return date_word(on)


def date_word(on: date) -> str:
    """3月5日; another year is named."""
    this_year = business_day(the_bot().clock.now()).year
    words = f"{on.month}月{on.day}日"
    return words if on.year == this_year else f"{on.year}年{words}"


def long_day(on: date) -> str:
    """11月21日 周六."""
    return f"{date_word(on)} 周{_WEEKDAYS[on.weekday()]}"


def slot(at: datetime) -> str:
    """今天 15:00, 明天 15:00, 11月28日 15:00: an hour that is still to come keeps its clock."""
    local = at.astimezone(SHANGHAI)
    return f"{day_word(local.date())} {local:%H:%M}"


def yuan(fen: int | None) -> str:
    """¥12,800, or ¥12,800.50 where there is a rest."""
    if fen is None:
        return "–"
    return f"¥{fen // 100:,}" if fen % 100 == 0 else f"¥{fen / 100:,.2f}"


def count(number: Any) -> str:
    """12,800."""
    return f"{number:,}" if number is not None else "–"


def percent(part: int, whole: int) -> str:
    """64%; nothing of nothing is a dash. 100% is only said when it is all."""
    if not whole:
        return "–"
    return f"{part * 100 // whole}%"


def person(*names: str | None) -> str:
    """The first of these names in which something can be seen, else that there is none."""
    seen = (words.clean(name, _LONGEST_NAME) for name in names)
    return next((name for name in seen if name), "未命名客户")


def initial(name: str | None) -> str:
    """The character that stands for a person where a picture would."""
    return next((c for c in (name or "") if c.isalnum()), "客").upper()
