"""How a guide says days, times and money (口语), as filters of the templates."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from flask import Blueprint
from flask.blueprints import BlueprintSetupState

from bot.clock import SHANGHAI, business_day
from handlers.web import the_bot

_WEEKDAYS = "一二三四五六日"


def weekday(on: date) -> str:
    """周六."""
    return f"周{_WEEKDAYS[on.weekday()]}"


def plain_day(on: date, today: date) -> str:
    """11月21日, with the year only when it is another one."""
    words = f"{on.month}月{on.day}日"
    return words if on.year == today.year else f"{on.year}年{words}"


def near_day(on: date, today: date) -> str:
    """今天, 昨天, 前天, 明天, 后天, 周三 (within the six days before), else the date."""
    ahead = (on - today).days
    named = {-2: "前天", -1: "昨天", 0: "今天", 1: "明天", 2: "后天"}.get(ahead)
    if named:
        return named
    return weekday(on) if -7 < ahead < 0 else plain_day(on, today)


def moment(at: datetime, now: datetime) -> str:
    """刚刚, 12 分钟前, 今天 10:30, 昨天 18:05, 周三, 3月5日, 2025年3月5日."""
    gone = now - at
    if timedelta(0) <= gone < timedelta(minutes=1):
        return "刚刚"
    if timedelta(0) <= gone < timedelta(hours=1):
        return f"{int(gone.total_seconds()) // 60} 分钟前"
    local, today = at.astimezone(SHANGHAI), business_day(now)
    day = near_day(local.date(), today)
    return f"{day} {local:%H:%M}" if abs((local.date() - today).days) <= 1 else day


def ago(on: date, today: date) -> str:
    """今天, 3 天前, 5 个月前, 2 年前: how long ago a purchase was."""
    days = (today - on).days
    if days <= 0:
        return "今天"
    if days < 60:
        return f"{days} 天前"
    return f"{days // 30} 个月前" if days < 730 else f"{days // 365} 年前"


def money(fen: int) -> str:
    """¥12,800, with decimals only where there are any."""
    sign, rest = ("-" if fen < 0 else ""), abs(fen)
    return f"{sign}¥{rest // 100:,}" + (f".{rest % 100:02}" if rest % 100 else "")


def initial(name: str) -> str:
    """The character that stands for a person where a picture would."""
    return next((c for c in name if c.isalnum()), "客").upper()


def _now() -> datetime:
    return the_bot().clock.now()


def register(bp: Blueprint) -> None:
    """Make them known to this door's templates, under names of their own."""

    def add(state: BlueprintSetupState) -> None:
        state.app.jinja_env.filters.update(
            h5_money=money,
            h5_initial=initial,
            h5_weekday=weekday,
            h5_ago=lambda on: ago(on, business_day(_now())),
            h5_day=lambda on: near_day(on, business_day(_now())),
            h5_date=lambda on: plain_day(on, business_day(_now())),
            h5_moment=lambda at: moment(at, _now()),
        )

    bp.record_once(add)
