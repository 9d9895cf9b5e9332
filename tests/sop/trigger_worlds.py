"""Random people around a window of days, and a plain reading of whom each trigger finds."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st
from lunar_python import Lunar, LunarMonth, Solar

from bot.clock import SHANGHAI

CATEGORIES = ("对戒", "项链")
TEMPLATES = ("生日礼券", "感谢礼券")
STORES = ("SH001", "CD001")
#: 29 February of a leap year and of none, the years' ends, two lunar new years, two leap months.
TURNS = (
    date(2027, 2, 28),
    date(2028, 2, 29),
    date(2027, 12, 31),
    date(2028, 12, 31),
    date(2026, 2, 17),
    date(2027, 2, 6),
    date(2025, 7, 25),
    date(2028, 6, 23),
)

World = list[dict[str, Any]]
Params = dict[str, Any]
Found = set[tuple[int, date]]


@dataclass(frozen=True)
class Case:
    """A window, the people around it, and what each trigger is asked."""

    first: date
    last: date
    people: World
    asked: dict[str, Params]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Days are drawn near the window, so that about half of them matter."""
    first = draw(st.sampled_from(TURNS)) - timedelta(days=draw(st.integers(0, 9)))
    last = first + timedelta(days=draw(st.integers(0, 20)))
    near = st.integers(-3, (last - first).days + 3).map(lambda n: first + timedelta(days=n))
    people = draw(st.lists(_person(near), min_size=6, max_size=6))
    return Case(first, last, people, {kind: draw(asked) for kind, asked in ASKED.items()})


def _person(near: st.SearchStrategy[date]) -> st.SearchStrategy[dict[str, Any]]:
    moments = st.builds(_moment, near, st.integers(0, 23))
    yearly = st.one_of(near.map(_pair), st.just((2, 29)), st.just((2, 28)))
    money = st.sampled_from((1, 300_000, 500_000))
    purchase = st.fixed_dictionaries(
        {
            "at": st.one_of(moments, st.builds(_moment, _earlier(near), st.integers(0, 23))),
            "amount": money,
            "refunded": st.sampled_from((0, 0, 1, 300_000)),
            "came_back": st.sampled_from((False, False, True)),
            "category": st.sampled_from(CATEGORIES),
            "store": st.sampled_from((*STORES, None)),
        }
    )
    cart = st.fixed_dictionaries(
        {
            "at": moments,
            "state": st.sampled_from(("added", "added", "removed")),
            "amount": money,
            "categories": st.lists(st.sampled_from(CATEGORIES), unique=True, max_size=2),
        }
    )
    coupon = st.fixed_dictionaries(
        {
            "expires": st.one_of(near, near, st.none()),
            "state": st.sampled_from(("issued", "issued", "issued", "redeemed", "expired")),
            "template": st.sampled_from((*TEMPLATES, None)),
        }
    )
    points = st.fixed_dictionaries(
        {"expires": st.one_of(near, st.none()), "left": st.sampled_from((0, 40, 100))}
    )
    return st.fixed_dictionaries(
        {
            "birth": st.one_of(
                st.none(),
                st.tuples(yearly, st.just(False)),
                _lunar(near),
                # The last day of the lunar year, also where its last month has 29 days.
                st.just(((12, 30), True)),
            ),
            "wedding": st.one_of(
                st.none(), st.tuples(st.sampled_from((None, 2016, 2026, 2027, 2028)), yearly)
            ),
            "joined": st.one_of(st.none(), near, _earlier(near)),
            "purchases": st.lists(purchase, max_size=2),
            "carts": st.lists(cart, max_size=2),
            "coupons": st.lists(coupon, max_size=3),
            "points": st.lists(points, max_size=3),
            # The last purchase, as the scores keep it.
            "bought": st.one_of(st.none(), near),
        }
    )


def _earlier(near: st.SearchStrategy[date]) -> st.SearchStrategy[date]:
    """The same days of earlier years, and 29 February."""
    ago = st.builds(lambda day, years: kept_in(day.year - years, *_pair(day)), near, st.just(1))
    more = st.builds(lambda day, years: kept_in(day.year - years, *_pair(day)), near, st.just(4))
    return st.one_of(ago, more, st.just(date(2024, 2, 29)))


def _lunar(near: st.SearchStrategy[date]) -> st.SearchStrategy[tuple[tuple[int, int], bool]]:
    """Lunar days near the window, the 30th of months that may be short among them."""

    def pair(day: date, is_last: bool) -> tuple[tuple[int, int], bool]:
        lunar = Solar.fromYmd(day.year, day.month, day.day).getLunar()
        return (abs(lunar.getMonth()), 30 if is_last else lunar.getDay()), True

    return st.builds(pair, near, st.booleans())


def _moment(day: date, hour: int) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=SHANGHAI)


def _pair(day: date) -> tuple[int, int]:
    return day.month, day.day


_YEARS = st.one_of(st.none(), st.sampled_from(([1], [1, 4], [2])))
_CATEGORY = st.one_of(st.none(), st.sampled_from(CATEGORIES))


def _given(**inputs: st.SearchStrategy[Any]) -> st.SearchStrategy[Params]:
    """Inputs as stored: what is empty is left out."""
    return st.fixed_dictionaries(dict(inputs)).map(
        lambda all_: {key: value for key, value in all_.items() if value is not None}
    )


#: What each trigger may be asked.
ASKED: dict[str, st.SearchStrategy[Params]] = {
    "birthday": _given(),
    "wedding_anniversary": _given(years=_YEARS),
    "member_anniversary": _given(years=_YEARS),
    "purchase_anniversary": _given(years=_YEARS, category=_CATEGORY),
    "purchased": _given(
        category=_CATEGORY,
        min_fen=st.sampled_from((None, 1, 300_000)),
        store=st.sampled_from((None, *STORES)),
    ),
    "cart_open": _given(category=_CATEGORY, min_fen=st.sampled_from((None, 300_000, 300_001))),
    "coupon_expiring": _given(template=st.sampled_from((None, *TEMPLATES))),
    "points_expiring": _given(min_points=st.sampled_from((None, 40, 41, 140))),
    "idle": _given(days=st.sampled_from((1, 2, 10))),
}


def kept_in(year: int, month: int, day: int) -> date:
    """A solar day of the year; 29 February is the 28th where there is none."""
    if (month, day) == (2, 29) and not isleap(year):
        return date(year, 2, 28)
    return date(year, month, day)


@lru_cache(maxsize=1024)
def _lunar_kept_in(year: int, month: int, day: int) -> date:
    """The solar date of a day of an ordinary month; the 30th of a short one is its 29th."""
    length = LunarMonth.fromYm(year, month).getDayCount()
    solar = Lunar.fromYmd(year, month, min(day, length)).getSolar()
    return date(solar.getYear(), solar.getMonth(), solar.getDay())


def plain(case: Case, kind: str) -> Found:
    """(number of the person, day) as somebody with a calendar and a pencil would find them."""
    return {
        (number, on)
        for number, person in enumerate(case.people)
        for on in _READ[kind](person, case.asked[kind], range(case.first.year, case.last.year + 1))
        if case.first <= on <= case.last
    }


def _birthday(person: dict[str, Any], asked: Params, years: range) -> Iterator[date]:
    if person["birth"] is None:
        return
    pair, is_lunar = person["birth"]
    if is_lunar:
        # The lunar year before reaches into the first weeks of the solar one.
        yield from (_lunar_kept_in(year, *pair) for year in range(years[0] - 1, years[-1] + 1))
    else:
        yield from (kept_in(year, *pair) for year in years)


def _wedding(person: dict[str, Any], asked: Params, years: range) -> Iterator[date]:
    if person["wedding"] is None:
        return
    since, pair = person["wedding"]
    for year in years:
        is_later = since is None or year > since
        is_asked = "years" not in asked or (since is not None and year - since in asked["years"])
        if is_later and is_asked:
            yield kept_in(year, *pair)


def _again(on: date, asked: Params, years: range) -> Iterator[date]:
    for year in years:
        if year > on.year and ("years" not in asked or year - on.year in asked["years"]):
            yield kept_in(year, *_pair(on))


def _joined(person: dict[str, Any], asked: Params, years: range) -> Iterator[date]:
    if person["joined"] is not None:
        yield from _again(person["joined"], asked, years)


def _bought_again(person: dict[str, Any], asked: Params, years: range) -> Iterator[date]:
    for on in _bought(person, asked, years):
        yield from _again(on, asked, years)


def _bought(person: dict[str, Any], asked: Params, years: range) -> Iterator[date]:
    for one in person["purchases"]:
        kept = one["amount"] - one["refunded"]
        if (
            kept > 0
            and kept >= asked.get("min_fen", 0)
            and ("category" not in asked or asked["category"] == one["category"])
            and not ("category" in asked and one["came_back"])
            and asked.get("store") in (None, one["store"])
        ):
            yield one["at"].date()


def _carts(person: dict[str, Any], asked: Params, years: range) -> Iterator[date]:
    kept = [one["at"] for one in person["purchases"] if one["amount"] > one["refunded"]]
    for cart in person["carts"]:
        if (
            cart["state"] == "added"
            and not any(at >= cart["at"] for at in kept)
            and cart["amount"] >= asked.get("min_fen", 0)
            and ("category" not in asked or asked["category"] in cart["categories"])
        ):
            yield cart["at"].date()


def _coupons(person: dict[str, Any], asked: Params, years: range) -> Iterator[date]:
    for one in person["coupons"]:
        is_asked = asked.get("template") in (None, one["template"])
        if one["state"] == "issued" and one["expires"] is not None and is_asked:
            yield one["expires"]


def _points(person: dict[str, Any], asked: Params, years: range) -> Iterator[date]:
    for on in {one["expires"] for one in person["points"]} - {None}:
        left = sum(one["left"] for one in person["points"] if one["expires"] == on)
        if left >= asked.get("min_points", 1):
            yield on


def _idle(person: dict[str, Any], asked: Params, years: range) -> Iterator[date]:
    if person["bought"] is not None:
        yield person["bought"] + timedelta(days=asked["days"])


_READ: dict[str, Callable[[dict[str, Any], Params, range], Iterator[date]]] = {
    "birthday": _birthday,
    "wedding_anniversary": _wedding,
    "member_anniversary": _joined,
    "purchase_anniversary": _bought_again,
    "purchased": _bought,
    "cart_open": _carts,
    "coupon_expiring": _coupons,
    "points_expiring": _points,
    "idle": _idle,
}
