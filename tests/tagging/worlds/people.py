"""Who a person is: member data, guide, tags, and the sums kept in the score row."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from lunar_python import Lunar, LunarMonth

from bot.crm.models import FollowRelation, Member
from tagging.fields.follows import ADD_WAYS
from tagging.models import ContactScore, TagAssignment
from tests.tagging.worlds.leaves import COMPARE, flags, has_any, names, numbers

CATEGORIES = ("对戒", "项链", "手链", "耳饰")
TAGS = ("渠道/收银台", "价值/高净值", "偏好/求婚/定制")
STAGES = ("new", "active", "loyal", "dormant", "churned")
TIERS = ("S", "A", "B", "C")
LEVELS = ("金卡", "银卡")
WAYS = ("qr_code", "mobile_search", "shared")

_days = st.integers(0, 800)
_maybe_days = st.none() | _days
_birthdays = st.none() | st.tuples(
    st.integers(1, 12), st.sampled_from((1, 15, 28, 29, 30)), st.booleans()
).filter(lambda b: b[2] or b[:2] != (2, 30))


_BOUGHT = st.fixed_dictionaries(
    {
        "purchase_count": st.integers(1, 6),
        "total_spend_fen": st.integers(1, 8_000_000),
        "last": _days,
        "first_more": _days,
        "categories": st.sets(st.sampled_from(CATEGORIES)),
        "grades": st.none() | st.tuples(*[st.integers(1, 5)] * 3),
    }
)
_MEMBER = st.fixed_dictionaries(
    {
        "level": st.none() | st.sampled_from(LEVELS),
        "points": st.none() | st.integers(-50, 5000),
        "registered": _maybe_days,
        "birthday": _birthdays,
        "wedding": _birthdays.map(lambda b: b and (b[0], b[1])).filter(lambda b: b != (2, 30)),
    }
)
FACTS: dict[str, st.SearchStrategy[Any]] = {
    "has_score": st.integers(0, 9).map(bool),
    "bought": st.none() | _BOUGHT,
    "stage": st.sampled_from(STAGES),
    "tier": st.none() | st.sampled_from(TIERS),
    "is_at_risk": st.booleans(),
    "member": st.none() | _MEMBER,
    "gender": st.integers(0, 2),
    "guide": st.none() | st.integers(0, 2),
    "followed": _days,
    "channel": st.none() | st.integers(0, 1),
    "add_way": st.none() | st.sampled_from((0, 1, 2, 201)),
    "tags": st.sets(st.sampled_from(range(len(TAGS)))),
    "was_tagged": st.sets(st.sampled_from(range(len(TAGS)))),
}


def rows(town: Any, id_: int, one: Any, day: date) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The rows of one person, each with its table."""
    if one["has_score"]:
        yield (
            ContactScore,
            {
                "contact_id": id_,
                "stage": one["stage"],
                "tier": one["tier"],
                "at_risk_since": day if one["is_at_risk"] else None,
                **_score(one, day),
            },
        )
    member = one["member"]
    if member is not None:
        month, number, is_lunar = member["birthday"] or (None, None, False)
        wedding = member["wedding"] or (None, None)
        registered = member["registered"]
        yield (
            Member,
            {
                "contact_id": id_,
                "level": member["level"],
                "points": member["points"],
                "registered_on": None if registered is None else day - timedelta(days=registered),
                "birth_month": month,
                "birth_day": number,
                "birthday_is_lunar": is_lunar,
                "wedding_month": wedding[0],
                "wedding_day": wedding[1],
                "home_latitude": (one["home"] or (None, None))[0],
                "home_longitude": (one["home"] or (None, None))[1],
            },
        )
    at = datetime(2026, 1, 1, tzinfo=UTC)
    if one["guide"] is not None:
        for place, guide in enumerate(town.guides):
            # The other guides' relations must not answer for the responsible one.
            yield (
                FollowRelation,
                {
                    "guide_id": guide.id,
                    "contact_id": id_,
                    "state": "active",
                    "followed_at": at,
                    "followed_on": at.date(),
                    "changed_at": at,
                    "add_way": one["add_way"] if place == one["guide"] else 2,
                },
            )
    for place in one["tags"] | one["was_tagged"]:
        yield (
            TagAssignment,
            {
                "contact_id": id_,
                "tag_id": town.tags[place].id,
                "source": "guide",
                "is_on": place in one["tags"],
                "assigned_at": at,
                "assigned_on": at.date(),
            },
        )


def _score(one: dict[str, Any], day: date) -> dict[str, Any]:
    bought = one["bought"]
    if bought is None:
        return {
            "purchase_count": 0,
            "total_spend_fen": 0,
            "average_order_fen": 0,
            "first_purchased_on": None,
            "last_purchased_on": None,
            "bought_categories": [],
            "favourite_category": None,
            "recency": None,
            "frequency": None,
            "monetary": None,
        }
    grades = bought["grades"] or (None, None, None)
    return {
        "purchase_count": bought["purchase_count"],
        "total_spend_fen": bought["total_spend_fen"],
        "average_order_fen": bought["total_spend_fen"] // bought["purchase_count"],
        "first_purchased_on": day - timedelta(days=bought["last"] + bought["first_more"]),
        "last_purchased_on": day - timedelta(days=bought["last"]),
        "bought_categories": sorted(bought["categories"]),
        "favourite_category": min(bought["categories"], default=None),
        "recency": grades[0],
        "frequency": grades[1],
        "monetary": grades[2],
    }


def leaves() -> st.SearchStrategy[dict[str, Any]]:
    """Every field with every operator, and values near the facts."""
    days = st.integers(0, 820)
    ahead = st.integers(0, 370)
    grade = st.integers(1, 5)
    return st.one_of(
        numbers("total_spend_fen", st.integers(0, 8_000_000)),
        numbers("average_order_fen", st.integers(0, 8_000_000)),
        numbers("purchase_count", st.integers(0, 6)),
        numbers("days_since_purchase", days),
        numbers("days_since_first_purchase", days),
        names("bought_category", CATEGORIES),
        names("missing_category", CATEGORIES, ("=", "in")),
        names("favourite_category", CATEGORIES),
        names("lifecycle_stage", STAGES),
        numbers("recency", grade),
        numbers("frequency", grade),
        numbers("monetary", grade),
        names("member_level", LEVELS),
        numbers("points_balance", st.integers(-60, 5000)),
        numbers("registered_days", days),
        numbers("birthday_in_days", ahead),
        numbers("wedding_day_in_days", ahead),
        names("gender", ("male", "female")),
        numbers("followed_days", days),
        names("channel_code", ("cashier", "window")),
        names("add_way", WAYS),
        names("store", ("SH001", "CD001", "XX001")),
        names("store_tier", ("A", "B")),
        names("region", ("east", "west")),
        names("has_tag", TAGS, ("=", "!=")),
        names("tier", TIERS),
        flags("at_risk"),
    )


def _fact(town: Any, one: Any, score: Any, key: str, day: date) -> Any:
    if score is None and key in _SCORE_FACTS:
        return None
    if key in _SCORE_FACTS:
        return _SCORE_FACTS[key](one, score)
    member = one["member"] or dict.fromkeys(
        ("level", "points", "registered", "birthday", "wedding")
    )
    guide = one["guide"]
    return {
        "member_level": lambda: member["level"],
        "points_balance": lambda: member["points"],
        "registered_days": lambda: member["registered"],
        "birthday_in_days": lambda: member["birthday"] and days_to(member["birthday"], day),
        "wedding_day_in_days": lambda: (
            member["wedding"] and days_to((*member["wedding"], False), day)
        ),
        "gender": lambda: {0: None, 1: "male", 2: "female"}[one["gender"]],
        "followed_days": lambda: None if guide is None else one["followed"],
        "channel_code": lambda: (
            None if one["channel"] is None else ("cashier", "window")[one["channel"]]
        ),
        "add_way": lambda: _way(one) if guide is not None else None,
        "store": lambda: None if guide is None else town.stores[guide].code,
        "store_tier": lambda: None if guide is None else town.stores[guide].tier,
        "region": lambda: None if guide is None else town.regions[guide],
    }[key]()


def _way(one: Any) -> str | None:
    return next((key for key, (number, _) in ADD_WAYS.items() if number == one["add_way"]), None)


def _when_bought(read: Any) -> Any:
    return lambda one, score: read(one, score) if one["bought"] else None


_SCORE_FACTS = {
    "tier": lambda one, score: one["tier"],
    "total_spend_fen": lambda one, score: score["total_spend_fen"],
    "purchase_count": lambda one, score: score["purchase_count"],
    "average_order_fen": _when_bought(lambda one, score: score["average_order_fen"]),
    "days_since_purchase": _when_bought(lambda one, score: one["bought"]["last"]),
    "days_since_first_purchase": _when_bought(
        lambda one, score: one["bought"]["last"] + one["bought"]["first_more"]
    ),
    "favourite_category": lambda one, score: score["favourite_category"],
    "lifecycle_stage": lambda one, score: one["stage"],
    "recency": lambda one, score: score["recency"],
    "frequency": lambda one, score: score["frequency"],
    "monetary": lambda one, score: score["monetary"],
}


def days_to(birthday: tuple[int, int, bool], day: date) -> int:
    """Days to the next birthday, found year by year."""
    month, number, is_lunar = birthday
    when = _lunar_birthday if is_lunar else _solar_birthday
    found = [when(year, month, number) for year in range(day.year - 1, day.year + 3)]
    return min((one - day).days for one in found if one >= day)


def _solar_birthday(year: int, month: int, number: int) -> date:
    if (month, number) == (2, 29) and not ((year % 4 == 0 and year % 100) or year % 400 == 0):
        number = 28
    # 31 April and the like are kept by nobody; worlds have no such birthdays.
    return date(year, month, number)


def _lunar_birthday(year: int, month: int, number: int) -> date:
    longest = LunarMonth.fromYm(year, month).getDayCount()
    solar = Lunar.fromYmd(year, month, min(number, longest)).getSolar()
    return date(solar.getYear(), solar.getMonth(), solar.getDay())


def _has_tag(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    return has_any({TAGS[place] for place in one["tags"]}, op, value)


def _bought(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    return has_any(_categories(one), op, value)


def _missing(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    wanted = value if isinstance(value, list) else [value]
    is_buyer = one["has_score"] and one["bought"] is not None
    return is_buyer and any(name not in _categories(one) for name in wanted)


def _at_risk(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    return (one["has_score"] and one["is_at_risk"]) is value


def _categories(one: Any) -> set[str]:
    return one["bought"]["categories"] if one["has_score"] and one["bought"] else set()


def _plain(key: str) -> Any:
    def read(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
        score = _score(one, day) if one["has_score"] else None
        fact = _fact(town, one, score, key, day)
        return fact is not None and COMPARE[op](fact, value)

    return read


_PLAIN = (
    "total_spend_fen", "purchase_count", "average_order_fen", "days_since_purchase",
    "days_since_first_purchase", "favourite_category", "lifecycle_stage", "tier", "recency",
    "frequency", "monetary", "member_level", "points_balance", "registered_days",
    "birthday_in_days", "wedding_day_in_days", "gender", "followed_days", "channel_code",
    "add_way", "store", "store_tier", "region",
)  # fmt: skip
#: The plain reading of each field of this noun.
READ = {key: _plain(key) for key in _PLAIN} | {
    "has_tag": _has_tag,
    "bought_category": _bought,
    "missing_category": _missing,
    "at_risk": _at_risk,
}
