"""The caps of the model (上限): whom one may write to, and what fits on a guide's list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from tests.year.model.facts import Guide, Town
from tests.year.model.scores import Score
from tests.year.model.tasks import Enrollment, Task, opened_at, rests

GAP, SEATS = 3, 20


class Caps:
    """Who was written to when, and how full the lists of the day are."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._touches: dict[int, dict[int, date]] = defaultdict(dict)
        self._listed: list[Task] = []
        self._number = 0

    def next_number(self) -> int:
        """Tasks are numbered as they are made."""
        self._number += 1
        return self._number

    def guide_of(self, enrollment: Enrollment) -> Guide | None:
        """Who does it: the guide whose day 0 it was, while she follows, else the responsible."""
        own, person = enrollment.guide, enrollment.person
        number = own if own is not None and person.follows(own) else person.guide
        return None if number is None else self._town.guides[number]

    def free(self, task: Task) -> None:
        """Give back what the task had claimed of the customer's attention."""
        self._touches[task.person.number].pop(task.number, None)

    def carry(self, mine: Iterable[Task], day: date) -> None:
        """What was open on an earlier day competes again."""
        for task in mine:
            if task.state == "open" and task.planned_on is not None and task.planned_on < day:
                task.state, task.planned_on, task.held_by = "deferred", None, "undone"
                self.free(task)

    def refuse(self, mine: Iterable[Task], day: date) -> None:
        """What the customer has refused ends."""
        for task in mine:
            if task.is_waiting and task.due_on <= day and task.person.refuses(task.kind):
                task.state = "withdrawn"
                self.free(task)

    def decide(self, mine: Sequence[Task], day: date, scores: Mapping[int, Score]) -> None:
        """Open what both caps allow."""
        pool = [t for t in mine if t.state == "deferred" and t.due_on <= day]
        free: list[Task] = []
        best: dict[int, Task] = {}
        for task in sorted(pool, key=lambda t: _rank(t, day, scores)):
            guide = self.guide_of(task.enrollment)
            if rests(task.step, guide, day, task.kind, self._town.workdays):
                task.held_by = "guide_off"
                continue
            task.held_by = "touch_cap"
            is_best = best.setdefault(task.person.number, task) is task
            if is_best and not self._was_touched(task, day):
                free.append(task)
        taken = self._taken(day)
        for task in sorted(free, key=lambda t: _queue(t, day, scores)):
            guide = self.guide_of(task.enrollment)
            if task.is_by_hand and guide is not None:
                if taken[guide.number] >= SEATS:
                    task.held_by = "guide_cap"
                    continue
                taken[guide.number] += 1
            self._open(task, guide, day)

    def _open(self, task: Task, guide: Guide | None, day: date) -> None:
        task.state, task.planned_on, task.held_by = "open", day, None
        task.guide = None if guide is None else guide.number
        task.due_at = opened_at(task, guide, day)
        self._touches[task.person.number][task.number] = day
        self._listed.append(task)

    def _taken(self, day: date) -> dict[int, int]:
        """How many seats of each guide's list are taken."""
        self._listed = [task for task in self._listed if task.planned_on == day]
        taken: dict[int, int] = defaultdict(int)
        for task in self._listed:
            if task.is_by_hand and task.state in ("open", "done") and task.guide is not None:
                taken[task.guide] += 1
        return taken

    def _was_touched(self, task: Task, day: date) -> bool:
        touched = self._touches[task.person.number]
        return any(abs((day - on).days) < GAP for on in touched.values())


def _score(task: Task, day: date, scores: Mapping[int, Score]) -> int:
    return (
        task.step.get("priority", 50) * 100
        + scores[task.person.number].monetary * 10
        + (5 if task.is_fixed else 0)
        + min(max((day - task.due_on).days, 0), 4)
    )


def _rank(
    task: Task, day: date, scores: Mapping[int, Score]
) -> tuple[int, date, int, int, int]:
    return (-_score(task, day, scores), task.due_on, task.sop, task.place, task.number)


def _queue(task: Task, day: date, scores: Mapping[int, Score]) -> tuple[int, date, int, int]:
    return (-_score(task, day, scores), task.due_on, task.person.number, task.number)
