"""The product beside the model (对照): the same days, lived at the product's own doors.

A day is a night by the timetable, a noon and an evening at which tills report what happened and
people add and delete guides, an afternoon in which guides do their lists in the chat, and a late
hour at which machines and mass messages have done their part.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from datetime import date, datetime, time, timedelta
from typing import Any

from handlers.brand_pack import reading, starter
from tests.world import World
from tests.year import looking
from tests.year.doors import Doors, organisation
from tests.year.model import appointments, leads
from tests.year.model.facts import FIRST_CARD, IN_CHAT, IN_TOWN, Happening, name
from tests.year.model.person import MESSAGES, Person
from tests.year.model.planner import Planner
from tests.year.model.tasks import Task

_NIGHT, _WORK, _EVENING = time(2, 30), time(15), time(19, 30)
_SENT, _ASKED = time(20, 10), time(20, 20)
_SLOT = time(15)
_LONG_AGO = datetime.combine(date(1999, 1, 1), time(0))


def presets() -> dict[str, Any]:
    """The starter pack."""
    pack: dict[str, Any] = reading.plain(reading.read(starter.pack_text()))
    return pack


class Driver:
    """One brand with the presets, lived day by day."""

    def __init__(self, world: World, planner: Planner) -> None:
        self.world, self.planner, self.town = world, planner, planner.town
        self.doors = Doors(world, planner.town)
        self._told_until = self._chat_until = _LONG_AGO
        self.counts: dict[str, int] = defaultdict(int)

    # -- the days --------------------------------------------------------------------------

    def begin(self, first: date) -> None:
        """The evening before: the brand, its people, all that happened before, and the presets."""
        self.world.load(organisation(self.town))
        self.world.tick()
        until = datetime.combine(first, time(0))
        past = self.town.told(_LONG_AGO, until)
        self._told_until = self._chat_until = until
        friends = [one for one in past if one.kind in IN_TOWN]
        cards = [one for one in past if one.at == FIRST_CARD]
        told = [one for one in past if one.kind not in IN_TOWN | IN_CHAT and one not in cards]
        self.doors.settle_there(friends)
        # In the order of their numbers, so that equal tasks have equal places on both sides.
        self.doors.post(sorted(cards, key=lambda one: one.number), shuffled=False)
        self.doors.sync()
        self.doors.post(told)
        now = self.doors.now()
        self.world.settle()
        self.planner.refresh(self.planner.hear([*cards, *friends, *told]), now)
        self.world.load(starter.pack_text())
        self.world.tick()
        self.planner.published_on = now.date()

    def night(self, day: date) -> None:
        """The night before `day`, by the timetable."""
        self.doors.wait_until(day, _NIGHT)
        self.doors.look()

    def expect_night(self, day: date) -> None:
        """The same, by the model."""
        self.planner.night(day, datetime.combine(day, _NIGHT))

    def live(self, day: date) -> None:
        """Everything else of the day, on both sides."""
        if day.toordinal() % 3 == 0:
            # Not the same minute every time: a fortnight after a moment is before or after it.
            self._report(day, time(12, 30 + day.toordinal() % 29))
        self._work(day)
        self._report(day, _EVENING)
        self._send(day)

    def difference(self, day: date) -> str | None:
        """The first task or posting on which the two do not agree; None: they agree."""
        with self.world.session() as session:
            return looking.difference(session, self.planner, day)

    # -- noon and evening ------------------------------------------------------------------

    def _report(self, day: date, clock: time) -> None:
        now = self.doors.wait_until(day, clock)
        told = self.town.told(self._told_until, now)
        self._told_until = now
        people: list[Person] = []
        for one in told:
            if one.kind in IN_TOWN and self._can_happen(one):
                people += self.planner.hear([self.doors.meet(one)])
                self.counts[one.kind] += 1
        facts = [one for one in told if one.kind not in IN_TOWN | IN_CHAT]
        facts += self._visits(day, now)
        self.doors.await_letters()
        self.doors.post(facts)
        people += self.planner.hear(facts)
        if people:
            self.world.settle()
            self.planner.refresh(list({one.number: one for one in people}.values()), now)

    def _can_happen(self, one: Happening) -> bool:
        person, guide = self.planner.book.people[one.number], one.body["guide"]
        return person.follows(guide) != (one.kind == "adds")

    def _visits(self, day: date, now: datetime) -> list[Happening]:
        """In the evening the till tells of those who kept their appointment."""
        if now.time() < _EVENING:
            return []
        return [
            Happening(at, now, person.number, "visit", {"how": "到店", "store": booked.store})
            for person, booked in self._booked(day)
            if _dice("kept", person.number, day) % 5 < 2
            for at in [datetime.combine(day, time(15, 10))]
        ]

    def _booked(self, day: date) -> list[tuple[Person, Any]]:
        return [
            (person, one)
            for person in self.planner.book.people.values()
            for one in person.appointments
            if one.state == "booked" and one.slot_at is not None and one.slot_at.date() == day
        ]

    # -- the afternoon ---------------------------------------------------------------------

    def _work(self, day: date) -> None:
        now = self.doors.wait_until(day, _WORK)
        self.doors.skip_answers()
        self._say(day, now)
        # What they said may have put others on the lists, or taken some off.
        numbers = self._numbers(day)
        lists: dict[int, dict[str, list[Task]]] = defaultdict(lambda: defaultdict(list))
        for task in self._by_hand(day):
            assert task.guide is not None
            lists[task.guide][self._fate(task, day)].append(task)
        lines: list[tuple[int, str]] = []
        for guide, fates in lists.items():
            for fate, words in _COMMANDS.items():
                if fates[fate]:
                    given = " ".join(str(numbers[task.number]) for task in fates[fate])
                    lines.append((guide, words.format(numbers=given)))
        self.doors.write(lines)
        for fates in lists.values():
            self._do(fates, day)

    def _by_hand(self, day: date) -> list[Task]:
        return [task for task in self.planner.open_on(day) if task.is_by_hand]

    def _numbers(self, day: date) -> dict[int, int]:
        """What is written before each task on the guides' lists."""
        with self.world.session() as session:
            rows = looking.found(session, day - looking.RECENT)
        return {
            task.number: int(rows[looking.key(self.planner, task)][1].number)
            for task in self._by_hand(day)
        }

    def _fate(self, task: Task, day: date) -> str:
        dice = _dice(looking.key(self.planner, task), day) % 20
        if dice < 2:
            return "left"
        return {2: "skipped", 3: "put off"}.get(dice, "done")

    def _do(self, fates: dict[str, list[Task]], day: date) -> None:
        for task in fates["done"]:
            task.state = "done"
        for task in fates["skipped"]:
            self.planner.skip(task)
        for task in fates["put off"]:
            self.planner.put_off(task, day + timedelta(days=2))
        for fate, tasks in fates.items():
            self.counts[fate] += len(tasks)

    def _say(self, day: date, now: datetime) -> None:
        """What guides tell of their customers: booked, came, will not come, wants, refuses."""
        lines: list[tuple[int, str]] = []
        changed: dict[int, Person] = {}
        numbers = self._numbers(day)
        for task in self._by_hand(day):
            assert task.guide is not None
            if task.kind == "invite" and _dice("book", task.number) % 2:
                lines.append((task.guide, self._book(task, day, numbers[task.number])))
                changed[task.person.number] = task.person
            elif task.step["title"] == "线索及时回应" and _dice("lead", task.number) % 5 == 0:
                lost = self._lose_lead(task, task.guide)
                changed |= {task.person.number: task.person} if lost else {}
                lines += lost
        for person, booked in self._booked(day):
            dice = _dice("kept", person.number, day) % 5
            if dice == 2 and person.guide is not None and booked.guide == person.guide:
                lines.append((person.guide, f"到店 {name(person.number)} 意向强"))
                appointments.arrive(person, day, now)
                leads.say(person, f"strong:{id(booked)}", now)
                changed[person.number] = person
        for person, booked in self._booked(day + timedelta(days=1)):
            dice = _dice("kept", person.number, booked.slot_at.date()) % 5
            if dice == 3 and person.guide is not None and person.number not in changed:
                lines.append((person.guide, f"取消预约 {name(person.number)}"))
                booked.state = "cancelled"
                changed[person.number] = person
        lines += self._chat(now, changed)
        if lines:
            self.doors.write(lines)
            self.planner.refresh(list(changed.values()), now)
            self.counts["said"] += len(lines)

    def _book(self, task: Task, day: date, number: int) -> str:
        assert task.guide is not None
        guide = task.guide
        on = day + timedelta(days=1 + _dice("slot", task.number) % 9)
        store = self.town.guides[guide].store
        appointments.book(task.person, guide, datetime.combine(on, _SLOT), store)
        self.counts["booked"] += 1
        return f"约 {number} {on.month}月{on.day}日 {_SLOT:%H:%M}"

    def _book_by_name(self, person: Person, one: Happening, now: datetime) -> str:
        assert person.guide is not None
        on = now.date() + timedelta(days=one.body["days"])
        store = self.town.guides[person.guide].store
        appointments.book(person, person.guide, datetime.combine(on, _SLOT), store)
        self.counts["booked"] += 1
        return f"约 {name(person.number)} {on.month}月{on.day}日 {_SLOT:%H:%M}"

    def _lose_lead(self, task: Task, guide: int) -> list[tuple[int, str]]:
        lead = task.person.lead
        if lead is None or lead.guide != guide:
            return []
        task.person.lead = None
        return [(guide, f"线索 {name(task.person.number)} 没成 在别处买了")]

    def _chat(self, now: datetime, changed: dict[int, Person]) -> list[tuple[int, str]]:
        told = self.town.told(self._chat_until, now)
        self._chat_until = now
        lines: list[tuple[int, str]] = []
        for one in told:
            if one.kind == "rests":
                self.town.guides[one.number].off.add(now.date() + timedelta(days=1))
                lines.append((one.number, "休息 明天"))
            person = self.planner.book.people.get(one.number)
            if one.kind not in IN_CHAT - {"rests"} or person is None or person.guide is None:
                continue
            if one.kind == "books":
                if person.number not in changed:
                    lines.append((person.guide, self._book_by_name(person, one, now)))
                    changed[person.number] = person
            elif one.kind == "says":
                leads.say(person, f"said:{now.date()}", now)
                lines.append((person.guide, f"意向 {name(person.number)} {one.body['words']}"))
                changed[person.number] = person
            else:
                person.refused |= set(MESSAGES)
                lines.append((person.guide, f"退订 {name(person.number)}"))
                changed[person.number] = person
        return lines

    # -- late ------------------------------------------------------------------------------

    def _send(self, day: date) -> None:
        """Machines send, guides confirm, and WeCom is asked what became of it."""
        self.doors.wait_until(day, _SENT)
        self.world.tick()
        sent = [task for task in self.planner.open_on(day) if not task.is_by_hand]
        mass = {task.guide for task in sent if task.kind == "mass_message"}
        self.doors.confirm([guide for guide in mass if guide is not None])
        self.doors.wait_until(day, _ASKED)
        self.doors.look()
        for task in sent:
            task.state = "done"


_COMMANDS = {
    "done": "完成 {numbers}",
    "skipped": "跳过 {numbers} 出国了",
    "put off": "改期 {numbers} 后天",
}


def _dice(*seeds: Any) -> int:
    return zlib.crc32(repr(seeds).encode())
