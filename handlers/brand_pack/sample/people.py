"""Members of the sample brand with three years of purchases, the same for the same seed.

Nothing here is random at run time: names, dates and amounts follow from the seed and from `today`,
so that the demo is always fresh and every test sees the same people.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from bot.clock import SHANGHAI

_SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏"
_GIVEN = {
    2: "芳娜敏静丽艳娟霞燕玲丹萍红颖佳雪琳倩慧莹洁婷媛蕾瑶妍岚欣怡悦晴璇",
    1: "伟强磊军勇杰涛明超刚平辉鹏斌浩宇轩凯航宁峰健博诚睿哲恒远帆昊泽铭",
}
_NICK_TAILS = (
    "",
    "",
    "",
    "🌸",
    "～",
    " Mia",
    "同学",
    "的小日子",
    "不吃香菜",
    " Cindy",
    "🍋",
    "妈妈",
)
_SKU = {
    "钻戒": (
        ("星轨六爪钻戒", 1_280_000),
        ("初见四爪钻戒", 860_000),
        ("银河群镶钻戒", 1_980_000),
        ("环星彩钻戒指", 4_600_000),
    ),
    "对戒": (("并肩对戒", 620_000), ("同行素圈对戒", 480_000), ("月相对戒", 760_000)),
    "项链": (("流星钻石项链", 460_000), ("一颗星吊坠项链", 288_000), ("锁骨细链", 168_000)),
    "耳饰": (("微光耳钉", 158_000), ("星芒耳环", 236_000)),
    "手链": (("转运珠手链", 198_000), ("星河手链", 326_000)),
    "黄金": (("古法黄金手镯", 1_860_000), ("福字金吊坠", 428_000), ("小金珠转运手串", 268_000)),
}
#: Which category comes first for whom; weddings first, then what goes with them.
_FIRST = (("钻戒", 24), ("对戒", 22), ("黄金", 20), ("项链", 16), ("耳饰", 10), ("手链", 8))
_LATER = (("项链", 24), ("黄金", 22), ("耳饰", 20), ("手链", 18), ("对戒", 8), ("钻戒", 8))
_LEVELS = ((5_000_000, "黑钻卡"), (2_000_000, "金钻卡"), (500_000, "银钻卡"), (0, "普通会员"))
#: Festival months sell more: the weight of each month, January first.
_MONTHS = (11, 14, 9, 7, 13, 8, 8, 13, 9, 12, 9, 13)


@dataclass(frozen=True)
class Order:
    """One purchase of a person; `refunded_fen` came back later."""

    order_no: str
    at: datetime
    lines: tuple[dict[str, Any], ...]
    amount_fen: int
    store: str
    guide: str
    refunded_fen: int = 0


@dataclass(frozen=True)
class Person:
    """One member, and how she stands with her guide in WeCom (`followed_at` None: not added)."""

    member_no: str
    name: str
    nickname: str
    gender: int
    mobile: str
    birthday: date
    wedding_day: date | None
    registered_on: date
    store: str
    guide: str
    followed_at: datetime | None
    state: str | None
    orders: tuple[Order, ...] = field(default=())

    @property
    def unionid(self) -> str:
        """WeChat's id of this person."""
        return f"ou-{self.member_no.lower()}"

    @property
    def total_fen(self) -> int:
        """Net spend."""
        return sum(order.amount_fen - order.refunded_fen for order in self.orders)


def people(
    pack: dict[str, Any], today: date, *, count: int = 3000, seed: int = 20261121
) -> list[Person]:
    """`count` members of the pack's stores as of `today`, a good half of them added in WeCom."""
    random = Random(seed)
    guides: dict[str, list[str]] = {}
    for guide in pack["guides"]:
        guides.setdefault(guide["store"], []).append(guide["userid"])
    stores = [store["code"] for store in pack["stores"] if store["code"] in guides]
    weights = [{"A": 14, "B": 8, "C": 5}.get(s.get("tier", "C"), 5) for s in pack["stores"]]
    return [
        _person(random, number, random.choices(stores, weights)[0], guides, today)
        for number in range(1, count + 1)
    ]


def _person(
    random: Random, number: int, store: str, guides: dict[str, list[str]], today: date
) -> Person:
    gender = random.choices((2, 1), (72, 28))[0]
    surname = random.choice(_SURNAMES)
    given = "".join(random.sample(_GIVEN[gender], random.choice((1, 2, 2))))
    guide = random.choice(guides[store])
    registered = today - timedelta(days=int(random.triangular(1, 1095, 500)))
    orders = _orders(random, number, store, guide, registered, today)
    added = random.random() < (0.72 if orders else 0.5)
    followed = _moment(random, registered) if added else None
    state = f"{store.lower()}-{random.choices(('cashier', 'island'), (3, 1))[0]}"
    married = bool(orders) and random.random() < 0.4
    return Person(
        member_no=f"XH{number:07}",
        name=surname + given,
        nickname=(given if random.random() < 0.6 else surname + given[:1])
        + random.choice(_NICK_TAILS),
        gender=gender,
        # 17x and 16x blocks with a zero run: no such number is in anyone's pocket.
        mobile=f"1660000{number:04}",
        birthday=date(random.randint(1972, 2003), random.randint(1, 12), random.randint(1, 28)),
        wedding_day=registered + timedelta(days=random.randint(20, 200)) if married else None,
        registered_on=registered,
        store=store,
        guide=guide,
        followed_at=followed,
        state=state if added and random.random() < 0.7 else None,
        orders=orders,
    )


def _orders(
    random: Random, number: int, store: str, guide: str, registered: date, today: date
) -> tuple[Order, ...]:
    times = random.choices((0, 1, 2, 3, 4, 6), (14, 46, 22, 10, 5, 3))[0]
    found, day = [], registered
    for position in range(times):
        if position:
            day = day + timedelta(days=random.randint(25, 420))
        day = _in_season(random, day)
        if day >= today:
            break
        found.append(
            _order(random, f"{store}-{number:05}-{position + 1}", store, guide, day, position)
        )
    return tuple(found)


def _in_season(random: Random, day: date) -> date:
    # A quiet month often waits for the next festival.
    if random.randint(1, 14) > _MONTHS[day.month - 1]:
        return day + timedelta(days=random.randint(10, 40))
    return day


def _order(
    random: Random, order_no: str, store: str, guide: str, day: date, position: int
) -> Order:
    names, weights = zip(*(_LATER if position else _FIRST), strict=True)
    categories = {random.choices(names, weights)[0]}
    if random.random() < 0.18:
        categories.add(random.choices(names, weights)[0])
    lines = []
    for category in sorted(categories):
        name, price = random.choice(_SKU[category])
        amount = price * random.randint(88, 112) // 100 // 100 * 100
        lines.append(
            {
                "sku": f"{category}-{name}",
                "name": name,
                "category": category,
                "quantity": 1,
                "amount_fen": amount,
            }
        )
    total = sum(line["amount_fen"] for line in lines)
    return Order(
        order_no=order_no,
        at=_moment(random, day),
        lines=tuple(lines),
        amount_fen=total,
        store=store,
        guide=guide,
        refunded_fen=total if random.random() < 0.02 else 0,
    )


def _moment(random: Random, day: date) -> datetime:
    return datetime(
        day.year, day.month, day.day, random.randint(10, 21), random.randint(0, 59), tzinfo=SHANGHAI
    )


def events(persons: list[Person], today: date) -> list[dict[str, Any]]:
    """What POS and member system would have sent about these people (design 4.3)."""
    found: list[dict[str, Any]] = []
    for person in persons:
        found.append(_member_event(person, today))
        for order in person.orders:
            found.extend(_order_events(person, order))
    return found


def _member_event(person: Person, today: date) -> dict[str, Any]:
    at = datetime(today.year, today.month, today.day, 1, 0, tzinfo=SHANGHAI)
    level = next(name for floor, name in _LEVELS if person.total_fen >= floor)
    event: dict[str, Any] = {
        "id": f"member-{person.member_no}",
        "source": "crm",
        "type": "member",
        "occurred_at": at.isoformat(),
        "who": {"member_no": person.member_no, "unionid": person.unionid},
        "member_no": person.member_no,
        "mobile": person.mobile,
        "name": person.name,
        "level": level,
        "points": person.total_fen // 10_000,
        "birthday": person.birthday.isoformat(),
        "registered_on": person.registered_on.isoformat(),
    }
    if person.wedding_day:
        event["wedding_day"] = person.wedding_day.isoformat()
    return event


def _order_events(person: Person, order: Order) -> list[dict[str, Any]]:
    who = {"member_no": person.member_no}
    found: list[dict[str, Any]] = [
        {
            "id": f"sale-{order.order_no}",
            "source": "pos",
            "type": "purchase",
            "occurred_at": order.at.isoformat(),
            "who": who,
            "order_no": order.order_no,
            "store": order.store,
            "guide": order.guide,
            "channel": "store",
            "lines": list(order.lines),
            "amount_fen": order.amount_fen,
        }
    ]
    if order.refunded_fen:
        found.append(
            {
                "id": f"refund-{order.order_no}",
                "source": "pos",
                "type": "refund",
                "occurred_at": (order.at + timedelta(days=3)).isoformat(),
                "who": who,
                "order_no": order.order_no,
                "amount_fen": order.refunded_fen,
            }
        )
    return found
