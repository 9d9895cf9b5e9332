"""Random small worlds for conditions, and a plain-Python reading of the same conditions."""

from __future__ import annotations

import operator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from lunar_python import Lunar, LunarMonth
from sqlalchemy import insert
from sqlalchemy.orm import Session

from bot.crm.models import Contact, FollowRelation, Member
from tagging.fields.follows import ADD_WAYS
from tagging.models import ContactScore, TagAssignment
from tests.factories import Make

CATEGORIES = ("对戒", "项链", "手链", "耳饰")
TAGS = ("渠道/收银台", "价值/高净值", "偏好/求婚/定制")
STAGES = ("new", "active", "loyal", "dormant", "churned")
LEVELS = ("金卡", "银卡")
WAYS = ("qr_code", "mobile_search", "shared")

_days = st.integers(0, 800)
_maybe_days = st.none() | _days
_birthdays = st.none() | st.tuples(
    st.integers(1, 12), st.sampled_from((1, 15, 28, 29, 30)), st.booleans()
).filter(lambda b: b[2] or b[:2] != (2, 30))


def persons() -> st.SearchStrategy[dict[str, Any]]:
    """A person as plain facts; days are ages as of the day asked about."""
    bought = st.fixed_dictionaries(
        {
            "purchase_count": st.integers(1, 6),
            "total_spend_fen": st.integers(1, 8_000_000),
            "last": _days,
            "first_more": _days,
            "categories": st.sets(st.sampled_from(CATEGORIES)),
            "grades": st.none() | st.tuples(*[st.integers(1, 5)] * 3),
        }
    )
    member = st.fixed_dictionaries(
        {
            "level": st.none() | st.sampled_from(LEVELS),
            "points": st.none() | st.integers(-50, 5000),
            "registered": _maybe_days,
            "birthday": _birthdays,
            "wedding": _birthdays.map(lambda b: b and (b[0], b[1])).filter(lambda b: b != (2, 30)),
        }
    )
    return st.fixed_dictionaries(
        {
            "has_score": st.integers(0, 9).map(bool),
            "bought": st.none() | bought,
            "stage": st.sampled_from(STAGES),
            "member": st.none() | member,
            "gender": st.integers(0, 2),
            "guide": st.none() | st.integers(0, 2),
            "followed": _days,
            "channel": st.none() | st.integers(0, 1),
            "add_way": st.none() | st.sampled_from((0, 1, 2, 201)),
            "tags": st.sets(st.sampled_from(range(len(TAGS)))),
            "was_tagged": st.sets(st.sampled_from(range(len(TAGS)))),
        }
    )


class Town:
    """Stores, guides, codes and tags that every world shares."""

    def __init__(self, session: Session) -> None:
        make = Make(session)
        east, west = make.region(code="east"), make.region(code="west")
        self.stores = [
            make.store(code="SH001", tier="A", region_id=east.id),
            make.store(code="CD001", tier=None, region_id=west.id),
            make.store(code="XX001", tier="B", region_id=None),
        ]
        self.regions = ["east", "west", None]
        self.guides = [make.guide(store) for store in self.stores]
        self.codes = [make.channel_code(state="cashier"), make.channel_code(state="window")]
        self.tags = [make.tag(path) for path in TAGS]
        session.commit()

    def settle(self, session: Session, people: list[dict[str, Any]], day: date) -> list[int]:
        """Write the people; returns their contact ids in order."""
        contacts = [
            {
                "external_userid": f"wm{number}",
                "gender": one["gender"],
                "guide_id": None if one["guide"] is None else self.guides[one["guide"]].id,
                "followed_on": None
                if one["guide"] is None
                else day - timedelta(days=one["followed"]),
                "channel_code_id": None
                if one["channel"] is None
                else self.codes[one["channel"]].id,
            }
            for number, one in enumerate(people)
        ]
        ids = list(
            session.scalars(
                insert(Contact).returning(Contact.id, sort_by_parameter_order=True), contacts
            )
        )
        rows: dict[Any, list[dict[str, Any]]] = {
            ContactScore: [],
            Member: [],
            FollowRelation: [],
            TagAssignment: [],
        }
        for id_, one in zip(ids, people, strict=True):
            self._facts(rows, id_, one, day)
        for table, values in rows.items():
            if values:
                session.execute(insert(table), values)
        return ids

    def _facts(self, rows: Any, id_: int, one: dict[str, Any], day: date) -> None:
        bought, member = one["bought"], one["member"]
        if one["has_score"]:
            rows[ContactScore].append(
                {"contact_id": id_, "stage": one["stage"], **_score(one, day)}
            )
        if member is not None:
            month, number, is_lunar = member["birthday"] or (None, None, False)
            wedding = member["wedding"] or (None, None)
            registered = member["registered"]
            rows[Member].append(
                {
                    "contact_id": id_,
                    "level": member["level"],
                    "points": member["points"],
                    "registered_on": None
                    if registered is None
                    else day - timedelta(days=registered),
                    "birth_month": month,
                    "birth_day": number,
                    "birthday_is_lunar": is_lunar,
                    "wedding_month": wedding[0],
                    "wedding_day": wedding[1],
                }
            )
        at = datetime(2026, 1, 1, tzinfo=UTC)
        if one["guide"] is not None:
            for place, guide in enumerate(self.guides):
                # The other guides' relations must not answer for the responsible one.
                rows[FollowRelation].append(
                    {
                        "guide_id": guide.id,
                        "contact_id": id_,
                        "state": "active",
                        "followed_at": at,
                        "followed_on": at.date(),
                        "changed_at": at,
                        "add_way": one["add_way"] if place == one["guide"] else 2,
                    }
                )
        for place in one["tags"] | one["was_tagged"]:
            rows[TagAssignment].append(
                {
                    "contact_id": id_,
                    "tag_id": self.tags[place].id,
                    "source": "guide",
                    "is_on": place in one["tags"],
                    "assigned_at": at,
                    "assigned_on": at.date(),
                }
            )
        assert bought is None or bought["purchase_count"] > 0


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


# --- Conditions --------------------------------------------------------------------------------

_NUMBER_OPS = ("=", "!=", ">", ">=", "<", "<=")


def _numbers(key: str, values: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, Any]]:
    single = st.builds(
        lambda op, value: {"field": key, "op": op, "value": value},
        st.sampled_from(_NUMBER_OPS),
        values,
    )
    pair = st.tuples(values, values).map(sorted)
    return single | pair.map(lambda two: {"field": key, "op": "between", "value": list(two)})


def _names(key: str, values: Any, ops: tuple[str, ...] = ()) -> st.SearchStrategy[dict[str, Any]]:
    def leaf(op: str, names: list[str]) -> dict[str, Any]:
        return {"field": key, "op": op, "value": names if op in ("in", "not_in") else names[0]}

    return st.builds(
        leaf,
        st.sampled_from(ops or ("=", "!=", "in", "not_in")),
        st.lists(st.sampled_from(values), min_size=1, max_size=3),
    )


def leaves() -> st.SearchStrategy[dict[str, Any]]:
    """Every field with every operator, and values near the facts."""
    days = st.integers(0, 820)
    ahead = st.integers(0, 370)
    grade = st.integers(1, 5)
    return st.one_of(
        _numbers("total_spend_fen", st.integers(0, 8_000_000)),
        _numbers("average_order_fen", st.integers(0, 8_000_000)),
        _numbers("purchase_count", st.integers(0, 6)),
        _numbers("days_since_purchase", days),
        _numbers("days_since_first_purchase", days),
        _names("bought_category", CATEGORIES),
        _names("missing_category", CATEGORIES, ("=", "in")),
        _names("favourite_category", CATEGORIES),
        _names("lifecycle_stage", STAGES),
        _numbers("recency", grade),
        _numbers("frequency", grade),
        _numbers("monetary", grade),
        _names("member_level", LEVELS),
        _numbers("points_balance", st.integers(-60, 5000)),
        _numbers("registered_days", days),
        _numbers("birthday_in_days", ahead),
        _numbers("wedding_day_in_days", ahead),
        _names("gender", ("male", "female")),
        _numbers("followed_days", days),
        _names("channel_code", ("cashier", "window")),
        _names("add_way", WAYS),
        _names("store", ("SH001", "CD001", "XX001")),
        _names("store_tier", ("A", "B")),
        _names("region", ("east", "west")),
        _names("has_tag", TAGS, ("=", "!=")),
    )


def conditions() -> st.SearchStrategy[dict[str, Any]]:
    """Trees of all, any and not over the leaves."""

    def groups(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(inner, min_size=1, max_size=3)
        return (
            several.map(lambda terms: {"all": terms})
            | several.map(lambda terms: {"any": terms})
            | inner.map(lambda term: {"not": term})
            | several.map(lambda terms: {"not": terms})
        )

    return st.recursive(leaves(), groups, max_leaves=8)


# --- The plain reading -------------------------------------------------------------------------

_COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "between": lambda fact, two: two[0] <= fact <= two[1],
    "in": lambda fact, names: fact in names,
    "not_in": lambda fact, names: fact not in names,
}


def matches(town: Town, one: dict[str, Any], condition: dict[str, Any], day: date) -> bool:
    """Does this person match, read without SQL?"""
    if "all" in condition:
        return all(matches(town, one, term, day) for term in condition["all"])
    if "any" in condition:
        return any(matches(town, one, term, day) for term in condition["any"])
    if "not" in condition:
        inner = condition["not"]
        terms = inner if isinstance(inner, list) else [inner]
        return not any(matches(town, one, term, day) for term in terms)
    return _leaf(town, one, condition["field"], condition["op"], condition["value"], day)


def _leaf(town: Town, one: Any, key: str, op: str, value: Any, day: date) -> bool:
    if key == "has_tag":
        return (value in {TAGS[place] for place in one["tags"]}) == (op == "=")
    score = _score(one, day) if one["has_score"] else None
    wanted = value if isinstance(value, list) else [value]
    if key == "bought_category":
        has = score is not None and any(name in score["bought_categories"] for name in wanted)
        return has == (op in ("=", "in"))
    if key == "missing_category":
        return (
            score is not None
            and score["purchase_count"] > 0
            and any(name not in score["bought_categories"] for name in wanted)
        )
    fact = _fact(town, one, score, key, day)
    return fact is not None and _COMPARE[op](fact, value)


def _fact(town: Town, one: Any, score: Any, key: str, day: date) -> Any:
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
