"""The brand's settings (品牌设置): how many tasks, how often, when; checked on the way in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import time
from typing import Any

from sqlalchemy.orm import Session

from bot.crm.models import Brand
from bot.errors import UserError

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_MOST_CATEGORIES = 200


@dataclass(frozen=True)
class LifecycleSettings:
    """Days without a purchase, and purchases, that separate the stages."""

    active_days: int = 180
    dormant_days: int = 365
    churned_days: int = 730
    loyal_purchases: int = 3


@dataclass(frozen=True)
class BrandSettings:
    """Everything under `settings` of the brand pack, defaults included."""

    tasks_per_guide: int = 20
    touch_gap_days: int = 3
    #: "21:00-09:00": guides are given nothing to send in between.
    quiet_hours: str = "21:00-09:00"
    morning: time = time(8, 47)
    lifecycle: LifecycleSettings = field(default_factory=LifecycleSettings)
    #: How many missed days planning catches up.
    catch_up_days: int = 3
    #: The brand's categories; what a customer has not bought of them is missing.
    categories: tuple[str, ...] = ()


def settings(session: Session) -> BrandSettings:
    """The settings as they stand; a brand not loaded yet has the defaults."""
    row = session.get(Brand, 1)
    return validate(row.settings if row else {})


def validate(given: Mapping[str, Any]) -> BrandSettings:
    """Check settings as written; UserError names the one that is wrong. Missing ones: defaults."""
    return BrandSettings(**_read(given, _READERS, ""))


Reader = Callable[[str, Any], Any]


def _read(given: object, readers: Mapping[str, Reader], prefix: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise UserError(f"{prefix.rstrip('.') or 'settings'} 要是“名称: 值”的列表。")
    unknown = next((name for name in given if name not in readers), None)
    if unknown is not None:
        known = "、".join(readers)
        raise UserError(
            f"settings 里没有“{prefix}{unknown}”这一项，可以写：{known}。", field=str(unknown)
        )
    return {name: readers[name](f"{prefix}{name}", value) for name, value in given.items()}


def _between(low: int, high: int) -> Reader:
    def read(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise UserError(f"{name} 要是 {low} 到 {high} 之间的整数。", field=name)
        return value

    return read


def _clock(name: str, value: Any) -> time:
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise UserError(f'{name} 要是时间，例如 "08:47"（请加引号）。', field=name)
    return time(int(found[1]), int(found[2]))


def _span(name: str, value: Any) -> str:
    parts = value.split("-") if isinstance(value, str) else []
    if len(parts) != 2 or not all(_CLOCK.fullmatch(part.strip()) for part in parts):
        raise UserError(f'{name} 要是时间段，例如 "21:00-09:00"。', field=name)
    begins, ends = (_clock(name, part.strip()) for part in parts)
    if begins == ends:
        raise UserError(f"{name} 的开始和结束不能相同。", field=name)
    return f"{begins:%H:%M}-{ends:%H:%M}"


def _names(name: str, value: Any) -> tuple[str, ...]:
    is_list = isinstance(value, list) and len(value) <= _MOST_CATEGORIES
    if not is_list or not all(isinstance(one, str) and one.strip() for one in value):
        raise UserError(f"{name} 要是品类名称的列表，最多 {_MOST_CATEGORIES} 个。", field=name)
    names = tuple(one.strip() for one in value)
    if len(set(names)) < len(names):
        raise UserError(f"{name} 里有重复的品类。", field=name)
    return names


def _lifecycle(name: str, value: Any) -> LifecycleSettings:
    limits = LifecycleSettings(**_read(value, _LIFECYCLE, f"{name}."))
    if not limits.active_days < limits.dormant_days < limits.churned_days:
        raise UserError(f"{name} 要满足 active_days < dormant_days < churned_days。", field=name)
    return limits


_LIFECYCLE: dict[str, Reader] = {
    "active_days": _between(1, 3650),
    "dormant_days": _between(1, 3650),
    "churned_days": _between(1, 7300),
    "loyal_purchases": _between(1, 1000),
}
_READERS: dict[str, Reader] = {
    "tasks_per_guide": _between(1, 200),
    "touch_gap_days": _between(0, 90),
    "quiet_hours": _span,
    "morning": _clock,
    "lifecycle": _lifecycle,
    "catch_up_days": _between(0, 30),
    "categories": _names,
}
