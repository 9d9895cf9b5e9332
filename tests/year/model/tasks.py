"""Tasks of the model (任务) and their times: when a step falls due, on which day, at which hour."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from tests.year.model.calendar import is_workday
from tests.year.model.facts import Guide
from tests.year.model.person import Coupon, Person

CATCH_UP = 3
BY_GUIDE = ("chat", "call", "invite")
BY_MACHINE = ("sms", "template_message")
_QUIET_FROM, _QUIET_UNTIL = time(21), time(9)
#: When a machine sends and a guide confirms what has no hour.
_USUAL = time(10)
_HALF_AN_HOUR = timedelta(minutes=30)
_DELAY = re.compile(r"\+(\d+)h")


@dataclass
class Task:
    """One task, from the moment it was made in; `guide` is whose list it is on."""

    number: int
    person: Person
    sop: int
    place: int
    step: dict[str, Any]
    enrollment: Enrollment
    kind: str
    wanted_on: date
    due_on: date
    due_at: datetime | None
    expires_on: date
    is_fixed: bool
    state: str = "deferred"
    planned_on: date | None = None
    held_by: str | None = None
    guide: int | None = None
    coupon: Coupon | None = None

    @property
    def anchor(self) -> date:
        return self.enrollment.anchor

    @property
    def is_waiting(self) -> bool:
        return self.state in ("deferred", "open")

    @property
    def is_by_hand(self) -> bool:
        return self.kind in BY_GUIDE


@dataclass
class Enrollment:
    """A person in an SOP since a day 0; `guide`: the day 0 is of this guide."""

    sop: int
    person: Person
    anchor: date
    at: datetime | None
    guide: int | None
    is_active: bool = True
    tasks: dict[int, Task] = field(default_factory=dict)


def wanted_at(enrollment: Enrollment, step: dict[str, Any]) -> tuple[date, time | None]:
    """The day a step is wanted on, and its hour if it says one; never in quiet hours."""
    said = step.get("at")
    delay = _DELAY.fullmatch(said or "")
    if delay is not None and enrollment.at is not None:
        later = enrollment.at + timedelta(hours=int(delay[1]))
        if later.time() >= _QUIET_FROM:
            return later.date() + timedelta(days=1), _QUIET_UNTIL
        return later.date(), max(later.time(), _QUIET_UNTIL)
    on = enrollment.anchor + timedelta(days=step["day"])
    return on, None if said is None else time.fromisoformat(said.zfill(5))


def grace(step: dict[str, Any]) -> timedelta:
    """How long after its day a step makes sense."""
    return timedelta(days=0 if step.get("if_missed") == "drop" else CATCH_UP)


def due_at(kind: str, on: date, clock: time | None) -> datetime | None:
    """The moment on the due day; None: all day."""
    if clock is None and kind in BY_GUIDE:
        return None
    return datetime.combine(on, clock or _USUAL)


def rests(
    step: dict[str, Any], guide: Guide | None, on: date, kind: str, workdays: Mapping[date, bool]
) -> bool:
    """Whether nobody can do this on `on`."""
    if step.get("workdays") and not is_workday(on, workdays):
        return True
    return kind not in BY_MACHINE and guide is not None and guide.is_off(on)


def moved(
    step: dict[str, Any],
    guide: Guide | None,
    wanted: date,
    kind: str,
    workdays: Mapping[date, bool],
) -> date:
    """The first day within a week on which somebody can, if the step moves."""
    if step.get("if_missed") == "move":
        for days in range(8):
            if not rests(step, guide, wanted + timedelta(days=days), kind, workdays):
                return wanted + timedelta(days=days)
    return wanted


def opened_at(task: Task, guide: Guide | None, day: date) -> datetime | None:
    """Its moment once it is on the list of `day`: what is not by hand keeps its hour on a later
    day, and what a guide does or confirms lies within the hours of her store."""
    moment = task.due_at
    if moment is None:
        return None
    if not task.is_by_hand and moment.date() < day:
        moment = datetime.combine(day, moment.time())
    if task.kind in BY_MACHINE or guide is None or guide.hours is None:
        return moment
    opens, closes = guide.hours
    if moment.time() < opens:
        return datetime.combine(moment, opens)
    if moment.time() >= closes:
        last = datetime.combine(moment, closes) - _HALF_AN_HOUR
        return max(last, datetime.combine(moment, opens), datetime.combine(moment, _QUIET_UNTIL))
    return moment


def chain(kind: Any, tier: str, store_tier: str | None) -> list[str]:
    """The kinds to be tried for somebody, in their order; empty: no task."""
    if isinstance(kind, dict):
        by = {"tier": tier, "store_tier": store_tier}[kind["by"]]
        kind = kind.get(by, kind["else"])
    if kind == "none":
        return []
    return list(kind) if isinstance(kind, list) else [kind]


def reaches(kind: str, person: Person, *, is_choice: bool) -> bool:
    """Whether there is an address; where there is a choice, one that is not refused either."""
    has_address = {
        "sms": person.has_mobile,
        "template_message": person.has_openid,
    }.get(kind, True)
    return has_address and not (is_choice and person.refuses(kind))
