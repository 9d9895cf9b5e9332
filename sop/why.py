"""Why a task exists (为什么有这项任务): the structure kept with it, and its one line for the guide.

Keys of the structure: `sop`, `version`, `step`, `kind` (of the trigger), `trigger` (the fact that
matched), `noun` (what a countdown speaks of), `audience` (the condition in words), `anchored_on`;
`channel` (why this way to reach her) and `moved` (from which day, and why), where they apply;
from the caps: `rank` (priority, value, waited days, how many others of the customer it went
before, its place, the day; `ahead` where the day had not begun), `held` (from which day on the caps
held it back, and why) and `deferred` (days that others decided: undone, moved by the guide).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from sqlalchemy import func, literal
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.elements import ColumnElement

from sop import triggers
from sop.running import Running

_VALUE_STEPS = 5


def begun(
    version: Running, facts: Any, anchored_on: Any, title: ColumnElement[Any]
) -> ColumnElement[Any]:
    """The structure of a new task, in SQL."""
    entry = triggers.of(version.trigger)
    fixed = {
        "sop": version.sop_name,
        "version": version.number,
        "kind": entry.key,
        "noun": entry.noun(version.trigger),
        "audience": version.audience_sentence(),
    }
    told = func.jsonb_build_object(
        "trigger", facts["trigger"], "anchored_on", anchored_on, "step", title, type_=JSONB
    )
    return literal(fixed, JSONB).op("||", return_type=JSONB())(told)


def line(kept: Mapping[str, Any], day: date) -> str:
    """「2024年11月25日 买过对戒，4 天后购买周年 · 纪念日 v3」 as read on `day`."""
    return f"{reason(kept, day)} · {kept.get('sop', '')} v{kept.get('version', '')}"


def reason(kept: Mapping[str, Any], day: date) -> str:
    """The line without its source, for where room is short."""
    parts = (str(kept.get("trigger") or ""), _countdown(kept, day))
    return "，".join(part for part in parts if part)


def ranking(kept: Mapping[str, Any]) -> str | None:
    """「优先级 80 · 客户价值 4/5 · 已等 2 天」; None for a task the caps have not opened."""
    rank = kept.get("rank")
    if not isinstance(rank, Mapping):
        return None
    words = [f"优先级 {rank['priority']}", f"客户价值 {rank['value']}/{_VALUE_STEPS}"]
    if rank.get("waited"):
        words.append(f"已等 {rank['waited']} 天")
    if rank.get("before"):
        words.append(f"先于这位客户的另外 {rank['before']} 项")
    return " · ".join(words)


def deferrals(kept: Mapping[str, Any], until: date | None = None) -> list[tuple[date, str]]:
    """The days on which it was held back, and why.

    What the caps said holds from its day to the next word, the last one to the day the task was
    opened, or to `until` (excluded) where it was not.
    """
    held, told = kept.get("held") or {}, kept.get("deferred") or {}
    words = sorted((date.fromisoformat(on), str(said)) for on, said in {**held, **told}.items())
    if not words:
        return []
    opened = (kept.get("rank") or {}).get("on")
    opened_on = date.fromisoformat(opened) if opened else None
    is_open = opened_on is not None and opened_on > words[-1][0]
    ends = [*(on for on, _ in words[1:]), opened_on if is_open else until]
    found: list[tuple[date, str]] = []
    for (on, said), end in zip(words, ends, strict=True):
        days = 1 if end is None or on.isoformat() in told else max((end - on).days, 1)
        found += [(on + timedelta(days=n), said) for n in range(days)]
    return found


def channel(kept: Mapping[str, Any]) -> str | None:
    """「客户等级 S，由导购一对一联系」; None where it depends on nothing."""
    words = kept.get("channel")
    return str(words) if words else None


def moved(kept: Mapping[str, Any], due_on: date) -> str | None:
    """「原定 11月21日，导购当天休息，改到 11月23日」; None for a task that was not moved."""
    told = kept.get("moved")
    if not isinstance(told, Mapping):
        return None
    began = date.fromisoformat(str(told["from"]))
    to = f"{due_on.month}月{due_on.day}日"
    return f"原定 {began.month}月{began.day}日，{told['reason']}，改到 {to}"


def _countdown(kept: Mapping[str, Any], day: date) -> str:
    noun, anchored_on = kept.get("noun"), kept.get("anchored_on")
    if not noun or not anchored_on:
        return ""
    days = (date.fromisoformat(anchored_on) - day).days
    # The fact may name the day already ("11月25日 生日"): then only the distance is said.
    named = str(noun) in str(kept.get("trigger") or "")
    if days == 0:
        return "就在今天" if named else f"今天{noun}"
    if days > 0:
        return f"还有 {days} 天" if named else f"{days} 天后{noun}"
    return f"已过 {-days} 天" if named else f"{noun}已过 {-days} 天"
