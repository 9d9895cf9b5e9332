"""What happens to the people of the model (事实): seeded, dated, the same for both sides.

Everything that will happen is one list of happenings. Neither side sees a happening before the
moment at which it is told, which for a late report may be days after it happened.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

CATEGORIES = ("钻戒", "对戒", "项链", "耳饰", "手链", "黄金")
#: Hours of the stores, one kind after the other; the second kind opens later than most steps ask.
HOURS: tuple[tuple[time, time] | None, ...] = (
    (time(10), time(22)),
    (time(11), time(20)),
    None,
)
#: The codes of the brand: state -> the tag that who scans it gets.
CODES = {"partner": "渠道/异业", "wedding": "意向/结婚选款"}
#: What happens before it is told by a hand of a guide or a customer, at these doors.
IN_TOWN = frozenset({"adds", "customer_deletes", "guide_deletes"})
IN_CHAT = frozenset({"says", "stops", "rests"})
#: Numbers of those who are only known by a second card of somebody.
SECOND_CARDS = 500_000
_NOON, _EVENING = time(12), time(19)


@dataclass(frozen=True)
class Happening:
    """One thing that happens to a person (or, `rests`, to a guide) and who hears of it when."""

    at: datetime
    told_at: datetime
    number: int
    kind: str
    body: dict[str, Any] = field(default_factory=dict)


@dataclass
class Guide:
    """Who serves: her store, its tier and hours, her free weekday (1 Monday … 7), days off."""

    number: int
    store: int
    store_tier: str
    hours: tuple[time, time] | None
    rest_weekday: int | None
    off: set[date] = field(default_factory=set)

    @property
    def userid(self) -> str:
        return f"guide{self.number:03}"

    def is_off(self, day: date) -> bool:
        return day in self.off or day.isoweekday() == self.rest_weekday


@dataclass
class Town:
    """Everybody, by number, and what will happen in the order in which it is told."""

    guides: list[Guide]
    people: list[int]
    story: list[Happening]
    #: What HQ says of single days: worked or not.
    workdays: dict[date, bool]

    def told(self, since: datetime, until: datetime) -> list[Happening]:
        """What is told after `since` and until `until`, in the order in which it happened."""
        found = [one for one in self.story if since < one.told_at <= until]
        return sorted(found, key=lambda one: one.at)


def town(seed: int, first: date, last: date, people: int, guides: int) -> Town:
    """A brand whose facts are dense around the nights from `first` to `last`."""
    dice = random.Random(seed)
    staff = [
        Guide(
            number,
            number // 2,
            "AB"[number // 2 % 2],
            HOURS[number // 2 % len(HOURS)],
            dice.choice([None, dice.randint(1, 7)]),
        )
        for number in range(guides)
    ]
    story = [one for number in range(people) for one in _life(dice, number, guides, first, last)]
    for guide in staff:
        for _ in range(max((last - first).days // 30, 1)):
            day = first + timedelta(days=dice.randrange((last - first).days or 1))
            moment = datetime.combine(day, _NOON)
            story.append(Happening(moment, moment, guide.number, "rests"))
    # A holiday of three days and the Saturday that is worked for it, as in any notice.
    holiday = {first + timedelta(days=days): False for days in (2, 3, 4)}
    workdays = holiday | {first + timedelta(days=12 - first.weekday()): True}
    return Town(staff, list(range(people)), story, workdays)


def external_userid(number: int) -> str:
    """How WeCom calls a person."""
    return f"wmYear{number:06}"


def name(number: int) -> str:
    """How everybody calls her."""
    return f"顾{number:06}"


def mobile(number: int) -> str:
    """Her telephone."""
    return f"138{number:08}"


def _told(moment: datetime) -> datetime:
    """When the till reports what happened at `moment`: at noon or in the evening."""
    if moment.time() <= _NOON:
        return datetime.combine(moment, _NOON)
    return datetime.combine(moment, _EVENING)


@dataclass
class _Life:
    """The happenings of one person, while they are made."""

    dice: random.Random
    number: int
    first: date
    nights: int
    story: list[Happening] = field(default_factory=list)

    def day(self, low: int, high: int) -> date:
        """A day so many days after the first night."""
        return self.first + timedelta(days=self.dice.randrange(low, max(high, low + 1)))

    def moment(self, on: date) -> datetime:
        """A shop's hour of the day, on the wall clock of Shanghai."""
        hour = self.dice.choice((10, 11, 13, 14, 15, 16, 17, 18))
        return datetime.combine(on, time(hour, self.dice.randrange(60)))

    def tell(self, at: datetime, kind: str, late: int = 0, **body: Any) -> None:
        """It happens at `at` and is told `late` days after."""
        told_at = _told(at + timedelta(days=late))
        self.story.append(Happening(at, told_at, self.number, kind, body))


def _life(
    dice: random.Random, number: int, guides: int, first: date, last: date
) -> list[Happening]:
    life = _Life(dice, number, first, (last - first).days)
    guide, followed = dice.randrange(guides), _meet(life, guides)
    _join(life, followed)
    _shop(life)
    _rewards(life)
    if dice.random() < 0.25:
        _speak(life)
    if dice.random() < 0.12:
        _part(life, guide, followed, guides)
    return [
        one
        for one in _with_guide(life.story, guide)
        if one.kind not in IN_TOWN | IN_CHAT or one.at.date() >= first or one.kind == "adds"
    ]


def _with_guide(story: list[Happening], guide: int) -> list[Happening]:
    for one in story:
        if one.kind in IN_TOWN | IN_CHAT:
            one.body.setdefault("guide", guide)
    return story


def _meet(life: _Life, guides: int) -> date:
    dice, is_new = life.dice, life.dice.random() < 0.3
    followed = life.day(-2, life.nights) if is_new else life.day(-900, -20)
    # Old friends are read from WeCom; a code's tags come with the scan.
    code = dice.choice([None, None, None, *CODES]) if followed >= life.first else None
    life.tell(life.moment(followed), "adds", code=code)
    if dice.random() < 0.06:
        later = followed + timedelta(days=dice.randrange(1, 60))
        if later > life.first:
            life.tell(life.moment(later), "adds", code=None, guide=dice.randrange(guides))
    return followed


def _join(life: _Life, followed: date) -> None:
    dice = life.dice
    near = life.day(0, life.nights + 8)
    is_lunar = dice.random() < 0.3
    card: dict[str, Any] = {
        "birthday": (dice.randint(1, 12), dice.randint(1, 30), True)
        if is_lunar
        else _day_near(dice, near),
        "wedding": date(dice.randrange(2015, 2026), near.month, min(near.day, 28))
        if dice.random() < 0.25
        else None,
        "registered_on": near.replace(year=dice.randrange(2022, 2026), day=min(near.day, 28))
        if dice.random() < 0.5
        else followed,
        "has_mobile": dice.random() < 0.6,
        "has_openid": dice.random() < 0.5,
    }
    life.tell(datetime(2000, 1, 1, 12), "member", **card)
    if dice.random() < 0.08:
        # The card was wrong, or she has a telephone now.
        other = life.day(0, life.nights + 8)
        changed = {"birthday": _day_near(dice, other), "has_mobile": True}
        life.tell(life.moment(life.day(0, life.nights)), "member", **card | changed)


def _day_near(dice: random.Random, near: date) -> tuple[int, int, bool]:
    if dice.random() < 0.05:
        return (2, 29, False)
    return (near.month, near.day, False)


def _shop(life: _Life) -> None:
    dice = life.dice
    for place in range(dice.choice([0, 0, 1, 1, 2, 3, 5])):
        back = dice.choice([0, 30, 60, 90, 180, 365, 366, 730, 1095])
        _buy(life, f"O{life.number}-{place}", life.day(-8, life.nights) - timedelta(days=back))
    if dice.random() < 0.08:
        # A second card, which is found to be hers only later.
        _buy(life, f"O{life.number}-other", life.day(-30, life.nights), is_other=True)
        life.tell(life.moment(life.day(-5, life.nights)), "merged")
    if dice.random() < 0.25:
        at = life.moment(life.day(0, life.nights))
        cart = {"cart_id": f"C{life.number}"}
        life.tell(at, "cart", fen=dice.choice([90_000, 500_000]), **cart)
        if dice.random() < 0.3:
            life.tell(at + timedelta(days=1), "cart_removed", **cart)
    if dice.random() < 0.2:
        life.tell(life.moment(life.day(-200, life.nights)), "visit", how=dice.choice(["到店", "线上"]))
    if dice.random() < 0.1:
        life.tell(life.moment(life.day(0, life.nights)), "view", seconds=dice.choice([4, 30]))


def _buy(life: _Life, order_no: str, on: date, *, is_other: bool = False) -> None:
    dice, at = life.dice, life.moment(on)
    fen = dice.choice([80_000, 260_000, 900_000, 2_400_000, 6_000_000])
    order = {"order_no": order_no, "is_other": is_other}
    late = dice.choice([0] * 8 + [1, 3])
    life.tell(at, "purchase", late, fen=fen, category=dice.choice(CATEGORIES), **order)
    if dice.random() < 0.14:
        back = at + timedelta(days=dice.randrange(1, 12))
        part = dice.choice([fen, fen // 2])
        life.tell(back, "refund", dice.choice([0, 0, 0, 9]), fen=part, **order)
    if dice.random() < 0.05:
        life.tell(at + timedelta(days=2), "moved", **order)


def _rewards(life: _Life) -> None:
    dice = life.dice
    for place in range(dice.choice([0, 0, 1, 2])):
        on = life.day(-60, life.nights)
        ends = on + timedelta(days=dice.randrange(20, 120)) if dice.random() < 0.7 else None
        at, key = life.moment(on), f"{life.number}-{place}"
        life.tell(at, "points", id=key, delta=dice.choice([60, 400]), expires_on=ends)
        if dice.random() < 0.3:
            spent = {"id": f"{key}-spent", "delta": -dice.choice([50, 350]), "expires_on": None}
            life.tell(at + timedelta(days=3), "points", **spent)
    if dice.random() < 0.3:
        on = life.day(-20, life.nights)
        at, coupon = life.moment(on), {"coupon_no": f"K{life.number}"}
        ends = on + timedelta(days=dice.randrange(8, 40))
        template = dice.choice(["商城礼券", "换季券"])
        life.tell(at, "coupon_issued", template=template, expires_on=ends, **coupon)
        if dice.random() < 0.3:
            used = at + timedelta(days=dice.randrange(1, 10))
            life.tell(used, "coupon_redeemed", **coupon)


def _speak(life: _Life) -> None:
    """What she asks her guide for, and what she does not want any more."""
    dice = life.dice
    if dice.random() < 0.5:
        wish = dice.choice(["想定制一枚戒指", "想看婚戒"])
        life.tell(life.moment(life.day(0, life.nights)), "says", words=wish)
        return
    on = life.moment(life.day(-5, life.nights))
    if dice.random() < 0.2:
        life.tell(on, "stops")
        return
    channel = dice.choice(["all", "chat", "mass_message", "sms", "template_message"])
    life.tell(on, "opt_out", channel=channel, is_out=True)
    if dice.random() < 0.4:
        back = on + timedelta(days=dice.randrange(3, 40))
        life.tell(back, "opt_out", channel=dice.choice([channel, "all"]), is_out=False)


def _part(life: _Life, guide: int, followed: date, guides: int) -> None:
    """She deletes her guide, or her guide deletes her; some come back."""
    dice = life.dice
    on = life.day(1, life.nights)
    if on <= followed:
        return
    gone = life.moment(on)
    life.tell(gone, dice.choice(["customer_deletes"] * 3 + ["guide_deletes"]))
    if dice.random() < 0.3:
        back = gone + timedelta(days=dice.randrange(20, 60))
        life.tell(back, "adds", code=None, guide=dice.choice([guide, dice.randrange(guides)]))
