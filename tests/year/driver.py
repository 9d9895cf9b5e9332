"""The product beside the model (对照): the same facts, the same nights, compared task by task."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session, sessionmaker

from bot.bot import Bot
from bot.clock import SHANGHAI, Clock, at
from bot.crm import changes, intake
from bot.crm.models import Contact, ContactIdentity, Guide, IdentityKind
from bot.db import transaction
from handlers import brand_pack, timetable
from handlers.brand_pack import reading, starter
from sop.models import Task
from tagging.models import Tag, TagGroup
from tests.factories import Make
from tests.year.model.facts import Person, Town
from tests.year.model.planner import Planner

_ROWS = text(
    """
    SELECT p.external_userid AS who, sop.name AS sop, s.title AS step, e.anchored_on AS anchor,
           t.id, t.kind, t.state, t.due_on, t.planned_on, t.held_by
    FROM task t
    JOIN enrollment e ON e.id = t.enrollment_id
    JOIN sop ON sop.id = e.sop_id
    JOIN sop_step s ON s.id = t.step_id
    JOIN contact p ON p.id = t.contact_id
    WHERE t.due_on >= :since
    """
)
_POSTINGS = text(
    """
    SELECT sop.name AS sop, s.title AS step, p.due_on
    FROM posting p JOIN sop ON sop.id = p.sop_id JOIN sop_step s ON s.id = p.step_id
    WHERE p.due_on = :day
    """
)
#: (person, SOP, step, day 0)
Key = tuple[str, str, str, date]
#: (kind, state, due day, planned day, held by)
Seen = tuple[str, str, date, date | None, str | None]


NOON = time(12)
#: No task waits longer than this after its due day.
RECENT = timedelta(days=30)


# Leads, lost people and appointments are made by what people do in the day, not by their facts.
OF_THE_DAY = frozenset({"lead_raised", "lost", "appointment"})


def presets() -> dict[str, Any]:
    """The starter pack, without what happens in the day only."""
    pack: dict[str, Any] = reading.plain(reading.read(starter.pack_text()))
    pack["sops"] = [sop for sop in pack["sops"] if sop["trigger"]["kind"] not in OF_THE_DAY]
    return pack


class MovedClock(Clock):
    """A clock that stands where the test puts it."""

    moment = datetime(2026, 1, 1, tzinfo=SHANGHAI)

    def now(self) -> datetime:
        return self.moment


class Driver:
    """One brand with the presets, run night by night."""

    def __init__(self, bot: Bot, pack: str, planner: Planner) -> None:
        self.clock = MovedClock()
        self.bot = dataclasses.replace(bot, clock=self.clock)
        self.sessions: sessionmaker[Session] = bot.sessions
        self.planner, self.town = planner, planner.town
        self.pack = pack
        self._ids: dict[str, int] = {}

    def begin(self, first: date) -> None:
        """Load brand, people and everything that happened before the first night."""
        long_ago = first - timedelta(days=400)
        with transaction(self.sessions) as session:
            make = Make(session)
            make.brand()
            staff = [
                make.guide(
                    make.store(tier=one.store_tier),
                    rest_weekdays=[one.rest_weekday] if one.rest_weekday else [],
                )
                for one in self.town.guides
            ]
            self._guides = [guide.id for guide in staff]
            off = [
                (one, on) for g, one in zip(self.town.guides, staff, strict=True) for on in g.off
            ]
            for guide, on in off:
                session.execute(
                    text("INSERT INTO guide_day_off (guide_id, day) VALUES (:guide, :on)"),
                    {"guide": guide.id, "on": on},
                )
        with transaction(self.sessions) as session:
            brand_pack.load(session, self.pack, by="test", now=at(long_ago, 12))
        self._meet(first)
        self.tell(date(2000, 1, 1), first)

    def tell(self, since: date, until: date) -> None:
        """The facts of the days from `since` to the day before `until`."""
        self.clock.moment = at(until, 2)
        events = [event for _, event in _events(self.town, since, until)]
        for start in range(0, len(events), 800):
            with transaction(self.sessions) as session:
                result = intake.receive(
                    session,
                    events[start : start + 800],
                    now=self.clock.now(),
                    secret_key=self.bot.settings.secret_key,
                )
            assert result.rejected == []
        self._follow(since, until)

    def night(self, day: date) -> None:
        """Run the night of `day`, as the clock would."""
        self.clock.moment = at(day, 2, 10)
        timetable.nightly(self.bot, day)

    def end_day(self, day: date) -> None:
        """Guides do their lists, but for a tenth; what is not by hand is sent."""
        undone = {
            task.number
            for task in self.planner.waiting
            if task.state == "open"
            and task.kind in ("chat", "call", "invite")
            and zlib.crc32(repr((self._key(task), day)).encode()) % 10 == 0
        }
        kept = {self._key(self.planner.tasks[number]) for number in undone}
        with transaction(self.sessions) as session:
            done = [
                row.id
                for row in session.execute(_ROWS, {"since": day - RECENT})
                if row.state == "open" and (row.who, row.sop, row.step, row.anchor) not in kept
            ]
            session.execute(
                update(Task).where(Task.id.in_(done)).values(state="done", ended_at=at(day, 20))
            )
        self.planner.end_day(day, undone)

    def found(self, since: date) -> dict[Key, Seen]:
        """Every task of the product that was due on `since` or later."""
        with self.sessions() as session:
            return {
                (row.who, row.sop, row.step, row.anchor): (
                    row.kind, row.state, row.due_on, row.planned_on,
                    row.held_by if row.state == "deferred" else None,
                )
                for row in session.execute(_ROWS, {"since": since})
            }  # fmt: skip

    def expected(self, since: date) -> dict[Key, Seen]:
        """Every task of the model that was due on `since` or later."""
        return {
            self._key(task): (
                task.kind, task.state, task.due_on, task.planned_on,
                task.held_by if task.state == "deferred" else None,
            )
            for task in self.planner.tasks
            if task.due_on >= since
        }  # fmt: skip

    def postings(self, day: date) -> set[tuple[str, str, date]]:
        """Moments and group messages the product planned for `day`."""
        with self.sessions() as session:
            rows = session.execute(_POSTINGS, {"day": day}).all()
        return {(row.sop, row.step, row.due_on) for row in rows}

    def difference(self, day: date) -> str | None:
        """The first task or posting on which the two do not agree; None: they agree."""
        since = day - RECENT
        told = _first_difference(self.found(since), self.expected(since))
        if told is None and self.postings(day) != self.planner.moments(day):
            told = f"postings: {self.postings(day) ^ self.planner.moments(day)}"
        return None if told is None else f"{day}: {told}"

    def _key(self, task: Any) -> Key:
        sop = self.planner.sops[task.sop]["name"]
        return (task.person.external_userid, sop, task.step["title"], task.anchor)

    def _meet(self, first: date) -> None:
        """Everybody is known to the till from the beginning, in the order of their numbers."""
        with transaction(self.sessions) as session:
            for person in self.town.people:
                contact = Contact(external_userid=person.external_userid, name="客户")
                session.add(contact)
                session.flush()
                session.add(
                    ContactIdentity(
                        kind=IdentityKind.EXTERNAL_USERID,
                        value=person.external_userid,
                        contact_id=contact.id,
                    )
                )
                self._ids[person.external_userid] = contact.id

    def _follow(self, since: date, until: date) -> None:
        with transaction(self.sessions) as session:
            make, met = Make(session), []
            for person in self.town.people:
                on = person.followed_at.date()
                if since <= on < until:
                    self._befriend(make, person)
                    met.append(self._ids[person.external_userid])
            changes.mark(session, met)

    def _befriend(self, make: Make, person: Person) -> None:
        contact = make.session.get_one(Contact, self._ids[person.external_userid])
        guide = make.session.get_one(Guide, self._guides[person.guide])
        moment = person.followed_at.replace(tzinfo=SHANGHAI)
        make.follow(guide, contact, followed_on=moment.date(), followed_at=moment)
        for path in person.tags:
            make.assignment(contact, _tag(make, path), on=moment.date())


def _tag(make: Make, path: str) -> Tag:
    group, _, name = path.partition("/")
    wanted = select(Tag).join(TagGroup, TagGroup.id == Tag.group_id)
    return make.session.scalars(wanted.where(TagGroup.name == group, Tag.name == name)).one()


def _first_difference(found: dict[Key, Seen], expected: dict[Key, Seen]) -> str | None:
    """The first task on which the two do not agree, in words; None: they agree."""
    for key in sorted(found.keys() | expected.keys(), key=str):
        if found.get(key) != expected.get(key):
            return f"{key}: product {found.get(key)}, model {expected.get(key)}"
    return None


def _events(town: Town, since: date, until: date) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """The till's and mall's events of the days, as they would be posted."""
    found: list[tuple[datetime, dict[str, Any]]] = []
    for person in town.people:
        found += [
            (moment, _event(person, moment, **body))
            for moment, body in _told(person)
            if since <= moment.date() < until
        ]
    yield from sorted(found, key=lambda one: (one[0], one[1]["id"]))


def _event(person: Person, moment: datetime, **body: Any) -> dict[str, Any]:
    return {
        "source": "pos",
        "occurred_at": moment.replace(tzinfo=SHANGHAI).isoformat(),
        "who": {"external_userid": person.external_userid},
        **body,
    }


def _told(person: Person) -> Iterator[tuple[datetime, dict[str, Any]]]:
    yield datetime.combine(date(2000, 1, 1), NOON), _member(person)
    for order in person.purchases:
        line = {"name": f"{order.category}款", "category": order.category, "quantity": 1,
                "amount_fen": order.fen}  # fmt: skip
        yield order.at, {"id": order.order_no, "type": "purchase", "order_no": order.order_no,
                         "lines": [line], "amount_fen": order.fen}  # fmt: skip
        for number, (on, fen) in enumerate(order.refunds):
            yield datetime.combine(on, order.at.time()), {
                "id": f"{order.order_no}r{number}", "type": "refund",
                "order_no": order.order_no, "amount_fen": fen,
            }  # fmt: skip
    for cart in person.carts:
        line = {"name": "星芒对戒", "category": "对戒", "quantity": 1, "amount_fen": cart.fen}
        yield cart.at, {"id": cart.cart_id, "type": "cart", "cart_id": cart.cart_id,
                        "state": "added", "lines": [line]}  # fmt: skip
        if cart.removed_on is not None:
            yield datetime.combine(cart.removed_on, cart.at.time()), {
                "id": f"{cart.cart_id}x", "type": "cart", "cart_id": cart.cart_id,
                "state": "removed",
            }  # fmt: skip
    for change in person.points:
        ends = {"expires_on": change.expires_on.isoformat()} if change.expires_on else {}
        yield change.at, {"id": f"P{change.id}", "type": "points", "delta": change.delta} | ends
    for coupon in person.coupons:
        if coupon.is_own:
            continue
        yield coupon.issued_at, {
            "id": coupon.coupon_no, "type": "coupon", "coupon_no": coupon.coupon_no,
            "state": "issued", "template": coupon.template, "value_fen": 10_000,
            "expires_on": coupon.expires_on.isoformat(),
        }  # fmt: skip
        if coupon.redeemed_on is not None:
            yield datetime.combine(coupon.redeemed_on, coupon.issued_at.time()), {
                "id": f"{coupon.coupon_no}x", "type": "coupon", "coupon_no": coupon.coupon_no,
                "state": "redeemed",
            }  # fmt: skip
    for on in person.visits:
        yield datetime.combine(on, NOON), {
            "id": f"V{person.number}", "type": "visit", "store": "S", "kind": "到店",
        }  # fmt: skip


def _member(person: Person) -> dict[str, Any]:
    month, day, is_lunar = person.birthday
    body = {
        "id": f"M{person.number}", "type": "member", "member_no": f"M{person.number:06}",
        "birthday": f"{month:02}-{day:02}", "birthday_is_lunar": is_lunar,
        "registered_on": person.registered_on.isoformat(),
    }  # fmt: skip
    if person.wedding is not None:
        body["wedding_day"] = person.wedding.isoformat()
    if person.has_mobile:
        body["mobile"] = f"138{person.number:08}"
    if person.has_openid:
        body["openid"] = f"oYear{person.number:024}"
    return body
