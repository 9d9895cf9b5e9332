"""The nights of the model (夜间排期): enroll, recheck, make tasks, carry over, decide."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from tests.year.model import conditions, scores, triggers
from tests.year.model.calendar import is_workday
from tests.year.model.facts import Coupon, Guide, Person, Town
from tests.year.model.scores import Score

CATCH_UP, GAP, SEATS = 3, 3, 20
_QUIET_FROM = time(21)
# A moved step, its grace, and a night to end it.
_LONGEST_WAIT = 14
_BY_GUIDE = ("chat", "call", "invite")
_FIXED = {"birthday", "purchase_anniversary", "festival", "date", "wedding_anniversary",
          "member_anniversary", "coupon_expiring", "points_expiring"}  # fmt: skip
_DELAY = re.compile(r"\+(\d+)h")


@dataclass
class Task:
    """One task, from the night it was made on."""

    number: int
    person: Person
    sop: int
    place: int
    step: dict[str, Any]
    anchor: date
    kind: str
    wanted_on: date
    due_on: date
    expires_on: date
    is_fixed: bool
    state: str = "deferred"
    planned_on: date | None = None
    held_by: str | None = None
    coupon: Coupon | None = None

    @property
    def is_waiting(self) -> bool:
        return self.state in ("deferred", "open")


@dataclass
class Enrollment:
    """A person in an SOP since a day 0."""

    sop: int
    person: Person
    anchor: date
    at: datetime | None
    is_active: bool = True
    tasks: dict[int, Task] = field(default_factory=dict)


class Planner:
    """All nights, one after the other; `pack` is the starter pack as read from its YAML."""

    def __init__(self, pack: dict[str, Any], town: Town) -> None:
        self.town = town
        self.sops: list[dict[str, Any]] = pack["sops"]
        self.coupons = {one["name"]: one for one in pack["coupon_templates"]}
        self.own = tuple((one["name"], one["month"], one["day"]) for one in pack["festivals"])
        self.enrollments: dict[tuple[int, int, date], Enrollment] = {}
        self.active: dict[int, list[Enrollment]] = {sop: [] for sop in range(len(self.sops))}
        self.tasks: list[Task] = []
        self.waiting: list[Task] = []
        self.touches: dict[int, dict[int, date]] = {}
        self.scores: dict[int, Score] = {}

    def night(self, day: date) -> None:
        """What the night of `day` does, with the facts of the days before it."""
        self.scores = scores.of_everybody(self.town.people, day, self.scores)
        for sop in range(len(self.sops)):
            self._enroll(sop, day)
        self._carry(day)
        for sop in range(len(self.sops)):
            self._recheck(sop, day)
            self._make(sop, day)
        for task in self.waiting:
            if task.state == "deferred" and task.due_on <= day and task.expires_on < day:
                task.state = "expired"
        self._decide(day)
        self._issue(day)
        self.waiting = [task for task in self.waiting if task.is_waiting]

    def end_day(self, day: date, left_undone: set[int]) -> None:
        """What was on the lists has been done, but for these tasks."""
        for task in self.waiting:
            if task.state == "open" and task.number not in left_undone:
                task.state = "done"

    def moments(self, day: date) -> set[tuple[str, str, date]]:
        """Moments and group messages of the day: (SOP, step, day)."""
        found = set()
        for sop in self.sops:
            trigger = sop["trigger"]
            if trigger["kind"] != "every" or not _is_in_rhythm(trigger, day):
                continue
            found |= {(sop["name"], step["title"], day) for step in sop["steps"]}
        return found

    def _anchors(self, sop: int, person: Person, day: date) -> dict[date, datetime | None]:
        trigger, score = self.sops[sop]["trigger"], self.scores[person.number]
        if trigger["kind"] == "every":
            return {}
        return triggers.anchors(trigger, person, score, day, self.own)

    def _is_in_audience(self, sop: int, person: Person, day: date) -> bool:
        audience, score = self.sops[sop].get("audience"), self.scores[person.number]
        return conditions.holds(audience, person, score, day, self.own)

    def _enroll(self, sop: int, day: date) -> None:
        lead = max(0, -min(step["day"] for step in self.sops[sop]["steps"]))
        first, last = day - timedelta(days=CATCH_UP), day + timedelta(days=lead)
        for person in self.town.people:
            if person.followed_at.date() >= day:
                continue
            for anchor, at in self._anchors(sop, person, day).items():
                key = (sop, person.number, anchor)
                is_new = first <= anchor <= last and key not in self.enrollments
                if is_new and self._is_in_audience(sop, person, day):
                    self.enrollments[key] = Enrollment(sop, person, anchor, at)
                    self.active[sop].append(self.enrollments[key])

    def _carry(self, day: date) -> None:
        for task in self.waiting:
            if task.state == "open" and task.planned_on is not None and task.planned_on < day:
                task.state, task.planned_on, task.held_by = "deferred", None, "undone"
                self.touches[task.person.number].pop(task.number, None)

    def _wanted_on(self, enrollment: Enrollment, step: dict[str, Any]) -> date:
        delay = _DELAY.fullmatch(step.get("at", ""))
        if delay is None or enrollment.at is None:
            return enrollment.anchor + timedelta(days=step["day"])
        later = enrollment.at + timedelta(hours=int(delay[1]))
        return later.date() + timedelta(days=later.time() >= _QUIET_FROM)

    def _due_steps(self, enrollment: Enrollment, day: date) -> list[int]:
        found = []
        for place, step in enumerate(self.sops[enrollment.sop]["steps"]):
            wanted = self._wanted_on(enrollment, step)
            if place not in enrollment.tasks and wanted <= day <= wanted + _grace(step):
                found.append(place)
        return found

    def _recheck(self, sop: int, day: date) -> None:
        for enrollment in self.active[sop]:
            waits = any(t.is_waiting and t.due_on <= day for t in enrollment.tasks.values())
            if not waits and not self._due_steps(enrollment, day):
                continue
            is_there = self.sops[sop]["trigger"]["kind"] == "followed" or (
                enrollment.anchor in self._anchors(sop, enrollment.person, day)
            )
            if is_there and self._is_in_audience(sop, enrollment.person, day):
                continue
            enrollment.is_active = False
            for task in enrollment.tasks.values():
                if task.is_waiting:
                    task.state = "withdrawn"
                    self.touches.get(task.person.number, {}).pop(task.number, None)
        latest = max(step["day"] for step in self.sops[sop]["steps"])
        self.active[sop] = [
            one
            for one in self.active[sop]
            if one.is_active
            and (
                (day - one.anchor).days <= latest + _LONGEST_WAIT
                or any(task.is_waiting for task in one.tasks.values())
            )
        ]

    def _make(self, sop: int, day: date) -> None:
        for enrollment in self.active[sop]:
            for place in self._due_steps(enrollment, day):
                step, person = self.sops[sop]["steps"][place], enrollment.person
                chain = self._chain(step["kind"], person)
                if not chain:
                    continue
                kind = next((one for one in chain if _reaches(one, person)), None)
                wanted = self._wanted_on(enrollment, step)
                due = wanted
                if step.get("if_missed") == "move":
                    due = self._moved(step, self._guide(person), wanted, kind or chain[0])
                task = Task(
                    len(self.tasks), person, sop, place, step, enrollment.anchor,
                    kind or chain[0], wanted, due, due + _grace(step),
                    self.sops[sop]["trigger"]["kind"] in _FIXED,
                    "deferred" if kind else "expired",
                )  # fmt: skip
                enrollment.tasks[place] = task
                self.tasks.append(task)
                self.waiting.append(task)

    def _chain(self, kind: Any, person: Person) -> list[str]:
        if isinstance(kind, dict):
            by = {
                "tier": self.scores[person.number].tier,
                "store_tier": self._guide(person).store_tier,
            }[kind["by"]]
            kind = kind.get(by, kind["else"])
        if kind == "none":
            return []
        return list(kind) if isinstance(kind, list) else [kind]

    def _guide(self, person: Person) -> Guide:
        return self.town.guides[person.guide]

    def _moved(self, step: dict[str, Any], guide: Guide, wanted: date, kind: str) -> date:
        for later in range(8):
            on = wanted + timedelta(days=later)
            if self._rests(step, guide, on, kind) is None:
                return on
        return wanted

    def _rests(self, step: dict[str, Any], guide: Guide, on: date, kind: str) -> str | None:
        is_machine = kind in ("sms", "template_message")
        if (step.get("workdays") and not is_workday(on)) or (not is_machine and guide.is_off(on)):
            return "guide_off"
        return None

    def _decide(self, day: date) -> None:
        pool = [t for t in self.waiting if t.state == "deferred" and t.due_on <= day]
        free: list[Task] = []
        best: dict[int, Task] = {}
        for task in sorted(pool, key=lambda t: self._rank(t, day)):
            task.held_by = self._rests(task.step, self._guide(task.person), day, task.kind)
            if task.held_by is not None:
                continue
            task.held_by = "touch_cap"
            is_best = best.setdefault(task.person.number, task) is task
            if is_best and not self._was_touched(task.person, day):
                free.append(task)
        seats = dict.fromkeys(range(len(self.town.guides)), SEATS)
        for task in sorted(free, key=lambda t: self._queue(t, day)):
            if task.kind in _BY_GUIDE:
                if seats[task.person.guide] == 0:
                    task.held_by = "guide_cap"
                    continue
                seats[task.person.guide] -= 1
            task.state, task.planned_on, task.held_by = "open", day, None
            self.touches.setdefault(task.person.number, {})[task.number] = day

    def _was_touched(self, person: Person, day: date) -> bool:
        touched = self.touches.get(person.number, {}).values()
        return any(abs((day - on).days) < GAP for on in touched)

    def _score(self, task: Task, day: date) -> int:
        return (
            task.step.get("priority", 50) * 100
            + self.scores[task.person.number].monetary * 10
            + (5 if task.is_fixed else 0)
            + min(max((day - task.due_on).days, 0), 4)
        )

    def _rank(self, task: Task, day: date) -> tuple[int, date, int, int, int]:
        return (-self._score(task, day), task.due_on, task.sop, task.place, task.number)

    def _queue(self, task: Task, day: date) -> tuple[int, date, int, int]:
        return (-self._score(task, day), task.due_on, task.person.number, task.number)

    def _issue(self, day: date) -> None:
        for task in self.waiting:
            if task.coupon and task.state in ("expired", "withdrawn", "skipped"):
                task.coupon.is_void = True
            if task.state != "open" or task.planned_on != day or "coupon" not in task.step:
                continue
            if task.coupon is None:
                name = task.step["coupon"]
                ends = day + timedelta(days=self.coupons[name]["valid_days"])
                moment = datetime.combine(day, time(2, 10))
                task.coupon = Coupon(f"own{task.number}", name, moment, ends, is_own=True)
                task.person.coupons.append(task.coupon)


def _grace(step: dict[str, Any]) -> timedelta:
    return timedelta(days=0 if step.get("if_missed") == "drop" else CATCH_UP)


def _reaches(kind: str, person: Person) -> bool:
    if kind == "sms":
        return person.has_mobile
    return person.has_openid if kind == "template_message" else True


def _is_in_rhythm(trigger: dict[str, Any], day: date) -> bool:
    if not trigger.get("from", "0") <= day.isoformat() <= trigger.get("until", "9"):
        return False
    if trigger["each"] == "week":
        return day.isoweekday() == trigger["weekday"]
    return trigger["each"] == "day" or day.day == trigger["month_day"]
