"""What happens to the people of the model (事实): seeded, dated, the same for both sides."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

CATEGORIES = ("钻戒", "对戒", "项链", "耳饰", "手链", "黄金")


@dataclass
class Purchase:
    """One order; `refunds` are (day, fen)."""

    order_no: str
    at: datetime
    fen: int
    category: str
    refunds: list[tuple[date, int]] = field(default_factory=list)

    @property
    def on(self) -> date:
        return self.at.date()

    def net(self, known_on: date) -> int:
        """What is kept of it, by the refunds of the days before `known_on`."""
        return max(self.fen - sum(fen for on, fen in self.refunds if on < known_on), 0)


@dataclass
class Cart:
    """Something was put into a cart; `removed_on`: it was emptied."""

    cart_id: str
    at: datetime
    fen: int
    removed_on: date | None = None


@dataclass
class Points:
    """Points came or went."""

    id: str
    at: datetime
    delta: int
    expires_on: date | None = None


@dataclass
class Coupon:
    """A coupon of the mall, or (own) one that went with a task."""

    coupon_no: str
    template: str
    issued_at: datetime
    expires_on: date
    redeemed_on: date | None = None
    is_own: bool = False
    is_void: bool = False


@dataclass
class Person:
    """A customer: who she is, and everything that ever happens to her."""

    number: int
    guide: int
    followed_at: datetime
    birthday: tuple[int, int, bool]
    wedding: date | None
    registered_on: date
    has_mobile: bool
    has_openid: bool
    tags: tuple[str, ...] = ()
    purchases: list[Purchase] = field(default_factory=list)
    carts: list[Cart] = field(default_factory=list)
    points: list[Points] = field(default_factory=list)
    coupons: list[Coupon] = field(default_factory=list)
    visits: list[date] = field(default_factory=list)

    @property
    def external_userid(self) -> str:
        return f"wmYear{self.number:06}"


@dataclass
class Guide:
    """Who serves: her store's tier, her free weekday (1 Monday … 7), single days off."""

    number: int
    store_tier: str
    rest_weekday: int | None
    off: frozenset[date]

    def is_off(self, day: date) -> bool:
        return day in self.off or day.isoweekday() == self.rest_weekday


@dataclass
class Town:
    """Everybody."""

    guides: list[Guide]
    people: list[Person]


def town(seed: int, first: date, last: date, people: int, guides: int) -> Town:
    """A brand whose facts are dense around the nights from `first` to `last`."""
    dice = random.Random(seed)
    staff = [
        Guide(
            number,
            "AB"[number % 2],
            dice.choice([None, dice.randint(1, 7)]),
            frozenset(first + timedelta(days=dice.randrange(40)) for _ in range(3)),
        )
        for number in range(guides)
    ]
    return Town(staff, [_person(dice, n, guides, first, last) for n in range(people)])


def _person(dice: random.Random, number: int, guides: int, first: date, last: date) -> Person:
    nights = (last - first).days
    is_new = dice.random() < 0.3
    followed = first + timedelta(
        days=dice.randrange(-2, nights) if is_new else -dice.randrange(20, 900)
    )
    near = first + timedelta(days=dice.randrange(nights + 8))
    is_lunar = dice.random() < 0.3
    person = Person(
        number,
        dice.randrange(guides),
        _moment(dice, followed),
        (dice.randint(1, 12), dice.randint(1, 30), True) if is_lunar else _day_near(dice, near),
        date(dice.randrange(2015, 2026), near.month, min(near.day, 28))
        if dice.random() < 0.25
        else None,
        near.replace(year=dice.randrange(2022, 2026), day=min(near.day, 28))
        if dice.random() < 0.5
        else followed,
        dice.random() < 0.6,
        dice.random() < 0.5,
        ("渠道/异业",) if is_new and dice.random() < 0.25 else (),
    )
    _shop(dice, person, first, nights)
    _rewards(dice, person, first, nights)
    return person


def _day_near(dice: random.Random, near: date) -> tuple[int, int, bool]:
    if dice.random() < 0.05:
        return (2, 29, False)
    return (near.month, near.day, False)


def _shop(dice: random.Random, person: Person, first: date, nights: int) -> None:
    for number in range(dice.choice([0, 0, 1, 1, 2, 3, 5])):
        back = dice.choice([0, 30, 60, 90, 180, 365, 366, 730, 1095])
        on = first + timedelta(days=dice.randrange(-8, nights) - back)
        fen = dice.choice([80_000, 260_000, 900_000, 2_400_000, 6_000_000])
        order = Purchase(
            f"O{person.number}-{number}", _moment(dice, on), fen, dice.choice(CATEGORIES)
        )
        if dice.random() < 0.12:
            part = dice.choice([fen, fen // 2])
            order.refunds.append((on + timedelta(days=dice.randrange(1, 12)), part))
        person.purchases.append(order)
    if dice.random() < 0.25:
        on = first + timedelta(days=dice.randrange(nights))
        cart = Cart(f"C{person.number}", _moment(dice, on), dice.choice([90_000, 500_000]))
        if dice.random() < 0.3:
            cart.removed_on = on + timedelta(days=1)
        person.carts.append(cart)
    if dice.random() < 0.2:
        person.visits.append(first + timedelta(days=dice.randrange(-200, nights)))


def _rewards(dice: random.Random, person: Person, first: date, nights: int) -> None:
    for number in range(dice.choice([0, 0, 1, 2])):
        on = first + timedelta(days=dice.randrange(-60, nights))
        ends = on + timedelta(days=dice.randrange(20, 120)) if dice.random() < 0.7 else None
        lot = Points(f"{person.number}-{number}", _moment(dice, on), dice.choice([60, 400]), ends)
        person.points.append(lot)
        if dice.random() < 0.3:
            spent = lot.at + timedelta(days=3)
            person.points.append(Points(f"{lot.id}-spent", spent, -dice.choice([50, 350])))
    if dice.random() < 0.3:
        on = first + timedelta(days=dice.randrange(-20, nights))
        ends = on + timedelta(days=dice.randrange(8, 40))
        name = dice.choice(["商城礼券", "换季券"])
        coupon = Coupon(f"K{person.number}", name, _moment(dice, on), ends)
        if dice.random() < 0.3:
            coupon.redeemed_on = on + timedelta(days=dice.randrange(1, 10))
        person.coupons.append(coupon)


def _moment(dice: random.Random, on: date) -> datetime:
    """A shop's hour of the day, on the wall clock of Shanghai."""
    return datetime.combine(on, time(dice.randrange(10, 22), dice.randrange(60)))
