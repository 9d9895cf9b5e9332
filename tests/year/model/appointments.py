"""Appointments of the model (预约): invited by a task, booked, then kept or not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from tests.year.model.person import Appointment, Person, Visit
from tests.year.model.tasks import Task

_LATE_DAYS = 7


def invite(mine: Iterable[Task], day: date) -> None:
    """Each open task that invites is an invitation."""
    for task in mine:
        if task.kind != "invite" or task.state != "open" or task.planned_on != day:
            continue
        if all(one.task != task.number for one in task.person.appointments):
            assert task.guide is not None
            task.person.appointments.append(Appointment(task.guide, task.number))


def settle(person: Person, tasks: Sequence[Task], day: date) -> None:
    """The night: who was not asked, who came, who did not."""
    for one in person.appointments:
        if one.state == "invited" and tasks[one.task - 1].state in (
            "skipped", "expired", "withdrawn",
        ):  # fmt: skip
            one.state = "cancelled"
        if one.slot_at is None:
            continue
        on = one.slot_at.date()
        is_looked_at = one.state == "booked" or (
            one.state == "missed" and on >= day - timedelta(days=_LATE_DAYS)
        )
        if is_looked_at and on <= day and any(_keeps(visit, one) for visit in person.visits):
            one.state = "arrived"
        if one.state == "booked" and on < day:
            one.state = "missed"


def live(person: Person) -> Appointment | None:
    """The one that still counts: a booked one first, then the newest invitation."""
    for state in ("booked", "invited"):
        found = [one for one in person.appointments if one.state == state]
        if found:
            return found[-1]
    return None


def book(person: Person, slot_at: datetime, store: int) -> None:
    """She names a time."""
    one = live(person)
    assert one is not None
    one.state, one.slot_at, one.store = "booked", slot_at, store


def arrive(person: Person, day: date, now: datetime) -> None:
    """Her guide sees her in the store on the day she is booked for."""
    for one in person.appointments:
        if one.state == "booked" and one.slot_at is not None and one.slot_at.date() == day:
            one.state = "arrived"
            assert one.store is not None
            person.visits.append(Visit(now, one.store, "到店"))


def _keeps(visit: Visit, one: Appointment) -> bool:
    assert one.slot_at is not None
    same_day = visit.at.date() == one.slot_at.date()
    return same_day and visit.store == one.store and visit.kind != "线上"
