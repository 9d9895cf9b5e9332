"""What is known of a person of the model (已知): what was told so far, added up."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from tests.year.model.facts import CODES, Happening

#: What "退订" means that a guide hears.
MESSAGES = ("mass_message", "sms", "template_message")


@dataclass
class Relation:
    """A guide and a person; `ended_by` is customer or guide."""

    guide: int
    followed_at: datetime
    ended_at: datetime | None = None
    ended_by: str | None = None


@dataclass
class Purchase:
    """One order and what came back of it."""

    order_no: str
    at: datetime
    fen: int
    category: str
    refunded_fen: int = 0

    @property
    def on(self) -> date:
        return self.at.date()

    @property
    def net(self) -> int:
        return max(self.fen - self.refunded_fen, 0)


@dataclass
class Cart:
    """Something was put into a cart, and is in it still."""

    cart_id: str
    at: datetime
    is_open: bool = True


@dataclass
class Points:
    """Points came or went."""

    id: str
    at: datetime
    delta: int
    expires_on: date | None


@dataclass
class Coupon:
    """A coupon of the mall, or (own) one that went with a task; `state` as people say it."""

    template: str
    issued_at: datetime
    expires_on: date
    is_own: bool = False
    state: str = "issued"


@dataclass
class Visit:
    """She was in a store."""

    at: datetime
    store: int
    kind: str
    #: Whether it is what became of an appointment.
    is_expected: bool = False


@dataclass
class Lead:
    """An interest that somebody should answer; `said`: she asked for it herself."""

    raised_at: datetime
    guide: int | None
    seen: list[datetime] = field(default_factory=list)
    said: bool = False


@dataclass
class Appointment:
    """An invitation (`task` 0: no task made it), and the day she is booked for."""

    guide: int
    task: int
    state: str = "invited"
    slot_at: datetime | None = None
    store: int | None = None
    asked_at: datetime | None = None
    arrived_on: date | None = None


@dataclass
class Person:
    """A customer, or (without relations) somebody whom only a till knows."""

    number: int
    relations: list[Relation] = field(default_factory=list)
    birthday: tuple[int, int, bool] | None = None
    wedding: date | None = None
    registered_on: date | None = None
    has_mobile: bool = False
    has_openid: bool = False
    tags: set[str] = field(default_factory=set)
    purchases: list[Purchase] = field(default_factory=list)
    carts: list[Cart] = field(default_factory=list)
    points: list[Points] = field(default_factory=list)
    coupons: list[Coupon] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    views: list[tuple[datetime, int]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    lead: Lead | None = None
    signals: set[str] = field(default_factory=set)
    appointments: list[Appointment] = field(default_factory=list)

    @property
    def live(self) -> list[Relation]:
        """Who follows her, longest first."""
        live = [one for one in self.relations if one.ended_at is None]
        return sorted(live, key=lambda one: one.followed_at)

    @property
    def guide(self) -> int | None:
        """The responsible guide: who has followed longest."""
        return self.live[0].guide if self.live else None

    @property
    def kept(self) -> list[Purchase]:
        """Orders of which something was kept."""
        return [order for order in self.purchases if order.net > 0]

    def follows(self, guide: int) -> bool:
        """Whether this guide follows her."""
        return any(one.guide == guide for one in self.live)

    def refuses(self, kind: str) -> bool:
        """Whether she refused a step kind; a call and an invitation are as a chat."""
        channel = "chat" if kind in ("call", "invite") else kind
        return bool(self.refused & {"all", channel})


class Book:
    """Everybody who is known, and what a happening changes."""

    def __init__(self) -> None:
        self.people: dict[int, Person] = {}
        self._refunds: dict[str, int] = {}
        self._joined: set[int] = set()

    def hear(self, one: Happening, others: int) -> list[Person]:
        """Add what is told to what is known; returns whom it is about.

        `others` is what is added to the number of who is only known by a second card.
        """
        number = one.number
        if one.body.get("is_other") and number not in self._joined:
            number += others
        person = self.people.setdefault(number, Person(number))
        getattr(self, f"_{one.kind}")(person, one.at, **one.body)
        if one.kind != "merged":
            return [person]
        self._joined.add(number)
        other = self.people.setdefault(number + others, Person(number + others))
        person.purchases += other.purchases
        other.purchases = []
        return [person, other]

    def _adds(self, person: Person, at: datetime, guide: int, code: str | None) -> None:
        if not person.follows(guide):
            gone = [one for one in person.relations if one.guide != guide]
            person.relations = [*gone, Relation(guide, at)]
            if code is not None:
                person.tags.add(CODES[code])

    def _customer_deletes(self, person: Person, at: datetime, guide: int) -> None:
        self._end(person, at, guide, "customer")

    def _guide_deletes(self, person: Person, at: datetime, guide: int) -> None:
        self._end(person, at, guide, "guide")

    def _end(self, person: Person, at: datetime, guide: int, by: str) -> None:
        for one in person.live:
            if one.guide == guide:
                one.ended_at, one.ended_by = at, by

    def _member(
        self,
        person: Person,
        at: datetime,
        birthday: tuple[int, int, bool],
        wedding: date | None,
        registered_on: date,
        has_mobile: bool,
        has_openid: bool,
    ) -> None:
        person.birthday, person.wedding, person.registered_on = birthday, wedding, registered_on
        person.has_mobile |= has_mobile
        person.has_openid |= has_openid

    def _purchase(
        self, person: Person, at: datetime, order_no: str, fen: int, category: str, is_other: bool
    ) -> None:
        order = Purchase(order_no, at, fen, category, self._refunds.pop(order_no, 0))
        person.purchases.append(order)

    def _refund(
        self, person: Person, at: datetime, order_no: str, fen: int, is_other: bool
    ) -> None:
        for order in person.purchases:
            if order.order_no == order_no:
                order.refunded_fen += fen
                return
        self._refunds[order_no] = self._refunds.get(order_no, 0) + fen

    def _moved(self, person: Person, at: datetime, **_: Any) -> None:
        """Who gets the sale is nothing to the plan."""

    def _merged(self, person: Person, at: datetime) -> None:
        """Done where it is heard."""

    def _cart(self, person: Person, at: datetime, cart_id: str, fen: int) -> None:
        person.carts.append(Cart(cart_id, at))

    def _cart_removed(self, person: Person, at: datetime, cart_id: str) -> None:
        for cart in person.carts:
            if cart.cart_id == cart_id:
                cart.is_open = False

    def _points(
        self, person: Person, at: datetime, id: str, delta: int, expires_on: date | None
    ) -> None:
        person.points.append(Points(id, at, delta, expires_on))

    def _coupon_issued(
        self, person: Person, at: datetime, coupon_no: str, template: str, expires_on: date
    ) -> None:
        person.coupons.append(Coupon(template, at, expires_on))

    def _coupon_redeemed(self, person: Person, at: datetime, coupon_no: str) -> None:
        for coupon in person.coupons:
            if not coupon.is_own:
                coupon.state = "redeemed"

    def _visit(self, person: Person, at: datetime, how: str, store: int = 0) -> None:
        person.visits.append(Visit(at, store, how))

    def _view(self, person: Person, at: datetime, seconds: int) -> None:
        person.views.append((at, seconds))

    def _opt_out(self, person: Person, at: datetime, channel: str, is_out: bool) -> None:
        if is_out:
            person.refused.add(channel)
        elif channel == "all":
            person.refused.clear()
        else:
            person.refused.discard(channel)
