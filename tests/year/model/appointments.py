"""Appointments of the model (预约): invited by a task, booked, then kept or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta

from tests.year.model.person import Appointment, Person, Visit
from tests.year.model.tasks import Task

_LATE_DAYS = 7
_ANSWERED_WITHIN = timedelta(days=30)
_UNASKED = ("skipped", "expired", "withdrawn")


def invite(mine: Iterable[Task], day: date, now: datetime, store_of: Callable[[int], int]) -> None:
    """Each open task that invites is an invitation."""
    for task in mine:
        if task.kind != "invite" or task.state != "open" or task.planned_on != day:
            continue
        if all(one.task != task.number for one in task.person.appointments):
            assert task.guide is not None
            store = store_of(task.guide)
            one = Appointment(task.guide, task.number, store=store, asked_at=now)
            task.person.appointments.append(one)


def settle(person: Person, tasks: Sequence[Task], day: date) -> None:
    """The night: who was not asked, who came, who did not, who never answered."""
    for one in person.appointments:
        asked = tasks[one.task - 1] if one.task else None
        if one.state == "invited" and asked and asked.state in _UNASKED:
            one.state = "cancelled"
    come(person, day)
    for one in person.appointments:
        if one.state == "booked" and one.slot_at is not None and one.slot_at.date() < day:
            one.state = "missed"
        is_old = one.asked_at and one.asked_at < datetime.combine(day, time(0)) - _ANSWERED_WITHIN
        if one.state == "invited" and is_old:
            one.state = "cancelled"


def come(person: Person, day: date) -> None:
    """Who was expected has come, if a till told of her visit; so has who was asked to come."""
    visits = sorted(person.visits, key=lambda one: one.at)
    kept = [
        (one, visit)
        for one in person.appointments
        if _is_looked_at(one, day)
        for visit in visits
        if _keeps(visit, one)
    ]
    told = [visit for _, visit in kept]
    came = kept + [
        (one, visit)
        for visit in visits
        if visit.at.date() <= day and not visit.is_expected and visit not in told
        for one in _asked_for(person, visit)[-1:]
    ]
    for one, visit in came:
        if one.state != "arrived":
            one.state, one.arrived_on, visit.is_expected = "arrived", visit.at.date(), True


def _is_looked_at(one: Appointment, day: date) -> bool:
    if one.slot_at is None or one.slot_at.date() > day:
        return False
    is_late = one.slot_at.date() >= day - timedelta(days=_LATE_DAYS)
    return one.state == "booked" or (one.state == "missed" and is_late)


def _asked_for(person: Person, visit: Visit) -> list[Appointment]:
    """The invitations this visit may be the answer to."""
    on = visit.at.date()
    if visit.kind == "线上" or any(one.arrived_on == on for one in person.appointments):
        return []
    return [
        one
        for one in person.appointments
        if one.state == "invited" and one.store == visit.store
        if one.asked_at is not None and one.asked_at <= visit.at
    ]


def live(person: Person) -> Appointment | None:
    """The one that still counts: a booked one first, then the newest invitation."""
    for state in ("booked", "invited"):
        found = [one for one in person.appointments if one.state == state]
        if found:
            return found[-1]
    return None


def book(person: Person, guide: int, slot_at: datetime, store: int) -> None:
    """She names a time, invited by a task or not."""
    one = live(person)
    if one is None:
        one = Appointment(guide, 0)
        person.appointments.append(one)
    one.state, one.slot_at, one.store = "booked", slot_at, store


def arrive(person: Person, day: date, now: datetime) -> None:
    """Her guide sees her in the store on the day she is booked for."""
    for one in person.appointments:
        if one.state == "booked" and one.slot_at is not None and one.slot_at.date() == day:
            one.state, one.arrived_on = "arrived", day
            assert one.store is not None
            person.visits.append(Visit(now, one.store, "到店", is_expected=True))


def _keeps(visit: Visit, one: Appointment) -> bool:
    assert one.slot_at is not None
    same_day = visit.at.date() == one.slot_at.date()
    return same_day and visit.store == one.store and visit.kind != "线上"
