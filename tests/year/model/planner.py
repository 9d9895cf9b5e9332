"""The plan of the model (排期): enroll, recheck, make tasks, carry over, decide; night and day.

A night is for everybody; what happens in the day plans the people it is about at once, by the same
rules and under the same caps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from tests.year.model import appointments, conditions, leads, scores, triggers
from tests.year.model.caps import Caps
from tests.year.model.facts import SECOND_CARDS, Guide, Happening, Town
from tests.year.model.person import Book, Coupon, Person
from tests.year.model.scores import Score
from tests.year.model.tasks import (
    BY_MACHINE,
    CATCH_UP,
    Enrollment,
    Task,
    chain,
    due_at,
    grace,
    moved,
    reaches,
    wanted_at,
)

# A moved step, its grace, and a night to end it.
_LONGEST_WAIT = 14
# Where both a delay and quiet hours may move a step.
_COARSE = timedelta(days=2)
_FIXED = {"birthday", "purchase_anniversary", "festival", "date", "wedding_anniversary",
          "member_anniversary", "coupon_expiring", "points_expiring", "appointment"}  # fmt: skip


class Planner:
    """All nights and days, one after the other; `pack` is the starter pack as its YAML says."""

    def __init__(self, pack: dict[str, Any], town: Town) -> None:
        self.town, self.book = town, Book()
        self.sops: list[dict[str, Any]] = pack["sops"]
        self.coupons = {one["name"]: one for one in pack["coupon_templates"]}
        self.own = tuple((one["name"], one["month"], one["day"]) for one in pack["festivals"])
        self.published_on: date | None = None
        self.enrollments: dict[tuple[int, int, date], Enrollment] = {}
        self.active: dict[int, list[Enrollment]] = {sop: [] for sop in range(len(self.sops))}
        self.tasks: list[Task] = []
        self.waiting: list[Task] = []
        self.caps = Caps(town)
        self.cuts: scores.Cuts = {}
        self.scores: dict[int, Score] = {}

    # -- what is heard ---------------------------------------------------------------------

    def hear(self, happened: Iterable[Happening]) -> list[Person]:
        """Add up what is told; returns whom it is about."""
        people: dict[int, Person] = {}
        for one in happened:
            people |= {who.number: who for who in self.book.hear(one, SECOND_CARDS)}
        return list(people.values())

    def night(self, day: date, now: datetime) -> None:
        """The night of `day`: everybody, with what was told until now."""
        everybody = [self.book.people[number] for number in sorted(self.book.people)]
        for person in everybody:
            for coupon in person.coupons:
                if coupon.is_own and coupon.state == "issued" and coupon.expires_on < day:
                    coupon.state = "expired"
        self.cuts = scores.cuts_of(everybody, day)
        self._score(everybody, day)
        for person in everybody:
            leads.raise_due(person, now)
            appointments.settle(person, self.tasks, day)
        self._plan(everybody, day, now, is_night=True)

    def refresh(self, people: Sequence[Person], now: datetime) -> None:
        """What changed facts bring at once, for those whose they are."""
        self._score(people, now.date())
        for person in people:
            appointments.come(person, now.date())
            leads.raise_due(person, now)
        self._plan(people, now.date(), now, is_night=False)
        whom = {person.number for person in people}
        for task in self.open_on(now.date()):
            is_due = task.due_at is not None and task.due_at <= now
            if task.person.number in whom and task.kind in BY_MACHINE and is_due:
                # What is due already leaves with the plan that opened it.
                task.state = "done"

    def moments(self, day: date) -> set[tuple[str, str, date]]:
        """Moments and group messages of the day: (SOP, step, day)."""
        found = set()
        for sop in self.sops:
            trigger = sop["trigger"]
            if trigger["kind"] == "every" and _is_in_rhythm(trigger, day):
                found |= {(sop["name"], step["title"], day) for step in sop["steps"]}
        return found

    # -- what is done with tasks -----------------------------------------------------------

    def open_on(self, day: date) -> list[Task]:
        """What is on the lists of `day` and not done."""
        return [task for task in self.waiting if task.state == "open" and task.planned_on == day]

    def skip(self, task: Task) -> None:
        """The guide leaves it out: the customer may be written to, and the coupon is void."""
        task.state = "skipped"
        self.caps.free(task)
        _void(task)

    def put_off(self, task: Task, to_day: date) -> None:
        """The guide puts it off to a later day."""
        if task.due_at is not None:
            task.due_at += to_day - task.due_on
        task.state, task.due_on, task.planned_on = "deferred", to_day, None
        task.expires_on, task.held_by = to_day + timedelta(days=CATCH_UP), "guide"
        self.caps.free(task)

    # -- the plan --------------------------------------------------------------------------

    def _score(self, people: Iterable[Person], day: date) -> None:
        for one in people:
            self.scores[one.number] = scores.of(one, day, self.cuts, self.scores.get(one.number))

    def _plan(self, people: Sequence[Person], day: date, now: datetime, *, is_night: bool) -> None:
        if self.published_on is None:
            return
        whom = {person.number for person in people}
        followed = [person for person in people if person.guide is not None]
        for sop in range(len(self.sops)):
            self._enroll(sop, people if self._is_for_lost(sop) else followed, day)
        self._leave(whom)
        mine = [task for task in self.waiting if task.person.number in whom]
        self.caps.carry(mine, day)
        for sop in range(len(self.sops)):
            self._recheck(sop, whom, day)
            mine += self._make(sop, whom, day)
        for task in mine:
            if task.state == "deferred" and task.due_on <= day and task.expires_on < day:
                task.state = "expired"
        self.caps.refuse(mine, day)
        self.caps.decide(mine, day, self.scores)
        self._issue(mine, day, now)
        appointments.invite(mine, day, now, lambda guide: self._guide(guide).store)
        if is_night:
            self._forget(day)
        self.waiting = [task for task in self.waiting if task.is_waiting]

    def _anchors(self, sop: int, person: Person, day: date) -> dict[date, triggers.Anchor]:
        trigger, score = self.sops[sop]["trigger"], self.scores[person.number]
        if trigger["kind"] == "every":
            return {}
        return triggers.anchors(trigger, person, score, day, self.own)

    def _is_in_audience(self, sop: int, person: Person, day: date) -> bool:
        audience, score = self.sops[sop].get("audience"), self.scores[person.number]
        return conditions.holds(audience, person, score, day, self.own)

    def _enroll(self, sop: int, people: Sequence[Person], day: date) -> None:
        assert self.published_on is not None
        lead = max(0, -min(step["day"] for step in self.sops[sop]["steps"]))
        first = max(day - timedelta(days=CATCH_UP), self.published_on)
        last = day + timedelta(days=lead)
        for person in people:
            for anchor, at, guide in self._anchors(sop, person, day).values():
                key = (sop, person.number, anchor)
                is_new = first <= anchor <= last and key not in self.enrollments
                if is_new and self._is_in_audience(sop, person, day):
                    self.enrollments[key] = Enrollment(sop, person, anchor, at, guide)
                    self.active[sop].append(self.enrollments[key])

    def _is_for_lost(self, sop: int) -> bool:
        return bool(self.sops[sop]["trigger"]["kind"] == "lost")

    def _leave(self, whom: set[int]) -> None:
        """Whom nobody follows any more leaves every SOP, but that for who is lost."""
        for sop, enrolled in self.active.items():
            if self._is_for_lost(sop):
                continue
            for one in enrolled:
                if one.person.number in whom and one.person.guide is None:
                    self._withdraw(one)

    def _withdraw(self, enrollment: Enrollment) -> None:
        enrollment.is_active = False
        for task in enrollment.tasks.values():
            if task.is_waiting:
                task.state = "withdrawn"
                self.caps.free(task)

    def _due_steps(self, enrollment: Enrollment, day: date, more: timedelta) -> list[int]:
        found = []
        for place, step in enumerate(self.sops[enrollment.sop]["steps"]):
            wanted, _ = wanted_at(enrollment, step)
            if place not in enrollment.tasks and wanted <= day <= wanted + grace(step) + more:
                found.append(place)
        return found

    def _recheck(self, sop: int, whom: set[int], day: date) -> None:
        for enrollment in self.active[sop]:
            if not enrollment.is_active or enrollment.person.number not in whom:
                continue
            waits = any(t.is_waiting and t.due_on <= day for t in enrollment.tasks.values())
            if not waits and not self._due_steps(enrollment, day, timedelta(0)):
                continue
            is_there = self.sops[sop]["trigger"]["kind"] == "followed" or (
                enrollment.anchor in self._anchors(sop, enrollment.person, day)
            )
            if not is_there or not self._is_in_audience(sop, enrollment.person, day):
                self._withdraw(enrollment)

    def _make(self, sop: int, whom: set[int], day: date) -> list[Task]:
        made: list[Task] = []
        for enrollment in self.active[sop]:
            if not enrollment.is_active or enrollment.person.number not in whom:
                continue
            for place in self._due_steps(enrollment, day, timedelta(0)):
                task = self._task(enrollment, place)
                if task is not None:
                    enrollment.tasks[place] = task
                    made.append(task)
        self.tasks += made
        self.waiting += made
        return made

    def _task(self, enrollment: Enrollment, place: int) -> Task | None:
        person, step = enrollment.person, self.sops[enrollment.sop]["steps"][place]
        wanted, clock = wanted_at(enrollment, step)
        assert self.published_on is not None
        if wanted < self.published_on:
            return None
        kinds = chain(step["kind"], self.scores[person.number].tier, self._store_tier(person))
        if not kinds:
            return None
        is_choice = len(kinds) > 1
        kind = next((one for one in kinds if reaches(one, person, is_choice=is_choice)), None)
        used = kind or kinds[0]
        guide = self.caps.guide_of(enrollment)
        due = moved(step, guide, wanted, used, self.town.workdays)
        is_fixed = self.sops[enrollment.sop]["trigger"]["kind"] in _FIXED
        number = self.caps.next_number()
        return Task(
            number, person, enrollment.sop, place, step, enrollment, used, wanted, due,
            due_at(used, due, clock), due + grace(step), is_fixed,
            "deferred" if kind else "expired",
        )  # fmt: skip

    def _store_tier(self, person: Person) -> str | None:
        return None if person.guide is None else self._guide(person.guide).store_tier

    def _guide(self, number: int) -> Guide:
        return self.town.guides[number]

    def _issue(self, mine: Sequence[Task], day: date, now: datetime) -> None:
        for task in mine:
            if task.state in ("expired", "withdrawn", "skipped"):
                _void(task)
            if task.state != "open" or task.planned_on != day or "coupon" not in task.step:
                continue
            if task.coupon is None:
                name = task.step["coupon"]
                ends = day + timedelta(days=self.coupons[name]["valid_days"])
                task.coupon = Coupon(name, now, ends, is_own=True)
                task.person.coupons.append(task.coupon)

    def _forget(self, day: date) -> None:
        """Leave out whom no step can reach any more: nothing but time is won by it."""
        for sop, enrolled in self.active.items():
            latest = max(step["day"] for step in self.sops[sop]["steps"])
            self.active[sop] = [
                one
                for one in enrolled
                if one.is_active
                and (
                    (day - one.anchor).days <= latest + _LONGEST_WAIT
                    or any(task.is_waiting for task in one.tasks.values())
                )
            ]


def _void(task: Task) -> None:
    if task.coupon is not None and task.coupon.state == "issued":
        task.coupon.state = "expired"


def _is_in_rhythm(trigger: dict[str, Any], day: date) -> bool:
    if not trigger.get("from", "0") <= day.isoformat() <= trigger.get("until", "9"):
        return False
    if trigger["each"] == "week":
        return day.isoweekday() == trigger["weekday"]
    return trigger["each"] == "day" or day.day == trigger["month_day"]
