"""Fields over member data (会员资料) and what WeCom tells about the person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, SmallInteger, and_, case, cast, literal, not_, or_
from sqlalchemy.dialects.postgresql import array

from bot.crm.models import Contact, Member
from bot.crm.yearly import Pair, lunar_days, solar_days
from tagging.fields.anniversaries import matching, within
from tagging.fields.field import Field, Home, as_list, days_fact, days_since, plain
from tagging.fields.kinds import DAYS, POINTS, Choice, Number, Words

MEMBER = Home(Member.__table__, Member.contact_id == Contact.id)
CONTACT = Home()

# A year away at most: 365 days, or 366 to somebody's lunar day; more never matches anything.
_AHEAD = Number(0, 400, "天")

_GENDERS = {"male": "男", "female": "女"}
_GENDER_NUMBERS = {"male": 1, "female": 2}


def _birthday(op: str, value: Any, day: date) -> ColumnElement[bool]:
    month, number = Member.birth_month, Member.birth_day
    solar = within(month, number, matching(solar_days(day), op, value))
    lunar = within(month, number, matching(lunar_days(day), op, value))
    return or_(and_(not_(Member.birthday_is_lunar), solar), and_(Member.birthday_is_lunar, lunar))


def _wedding_day(op: str, value: Any, day: date) -> ColumnElement[bool]:
    ranges = matching(solar_days(day), op, value)
    return within(Member.wedding_month, Member.wedding_day, ranges)


def _pair_fact(month: Any, number: Any, is_lunar: Any) -> Callable[[date], ColumnElement[Any]]:
    """[month, day, is it lunar] of the member and the day itself, to be counted by `_ahead`."""
    return lambda day: case(
        (
            and_(month.is_not(None), number.is_not(None)),
            array(
                [
                    month.expression,
                    number.expression,
                    cast(case((is_lunar, 1), else_=0), SmallInteger),
                    literal(day.year, SmallInteger),
                    literal(day.month, SmallInteger),
                    literal(day.day, SmallInteger),
                ]
            ),
        ),
        else_=None,
    )


def _ahead(fact: Any) -> str:
    month, number, is_lunar, *today = fact
    day = date(*today)
    pair: Pair = (month, number)
    ahead = (lunar_days(day) if is_lunar else solar_days(day)).get(pair)
    name = f"{'农历' if is_lunar else ''}{month} 月 {number} 日"
    return name if ahead is None else f"{name}，还有 {ahead} 天"


def _gender(op: str, value: Any, day: date) -> ColumnElement[bool]:
    # 0 is WeCom's word for "not known": no fact, so it never matches.
    numbers = [_GENDER_NUMBERS[one] for one in as_list(value)]
    if op in ("=", "in"):
        return Contact.gender.in_(numbers)
    return and_(Contact.gender.in_((1, 2)), Contact.gender.not_in(numbers))


FIELDS = (
    Field(
        "member_level",
        "会员等级",
        Words(),
        MEMBER,
        plain(Member.level),
        lambda day: Member.level.expression,
        gap="没有等级的",
        example=("in", ["金卡", "钻卡"]),
    ),
    Field(
        "points_balance",
        "积分余额",
        POINTS,
        MEMBER,
        plain(Member.points),
        lambda day: Member.points.expression,
        gap="没有积分账户的",
        example=(">=", 1000),
    ),
    Field(
        "registered_days",
        "入会天数",
        DAYS,
        MEMBER,
        days_since(Member.registered_on),
        days_fact(Member.registered_on),
        gap="没有入会日期的",
        today="今天入会",
        moves_with_time=True,
        example=(">=", 365),
    ),
    Field(
        "birthday_in_days",
        "距下次生日",
        _AHEAD,
        MEMBER,
        _birthday,
        _pair_fact(Member.birth_month, Member.birth_day, Member.birthday_is_lunar),
        gap="没有填生日的",
        today="今天生日",
        show=_ahead,
        moves_with_time=True,
        example=("<=", 7),
    ),
    Field(
        "wedding_day_in_days",
        "距下次结婚纪念日",
        _AHEAD,
        MEMBER,
        _wedding_day,
        _pair_fact(Member.wedding_month, Member.wedding_day, literal(False)),
        gap="没有填结婚纪念日的",
        today="今天是结婚纪念日",
        show=_ahead,
        moves_with_time=True,
        example=("between", [1, 14]),
    ),
    Field(
        "gender",
        "性别",
        Choice(_GENDERS),
        CONTACT,
        _gender,
        lambda day: case(
            (Contact.gender == 1, "male"), (Contact.gender == 2, "female"), else_=None
        ),
        gap="性别未知的",
        example=("=", "female"),
    ),
)
