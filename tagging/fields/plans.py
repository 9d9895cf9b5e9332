"""Fields over what the brand's own plans do to a contact: touches and SOPs.

The plans are the floor above, so their tables are only named here; a test compares the names with
the models.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    Integer,
    String,
    and_,
    cast,
    column,
    func,
    join,
    literal,
    not_,
    select,
    table,
)

from bot.crm.models import Contact
from tagging.fields import wording
from tagging.fields.field import Field, Home, as_list, bounds
from tagging.fields.kinds import DAYS, Words

TOUCHES = table("touch_ledger", column("contact_id", BigInteger), column("touched_on", Date))
ENROLLMENTS = table(
    "enrollment",
    column("contact_id", BigInteger),
    column("sop_id", BigInteger),
    column("state", String),
)
SOPS = table("sop", column("id", BigInteger), column("name", String))

_ACTIVE = "active"
CONTACT = Home()
ENROLLMENT = Home(
    join(ENROLLMENTS, SOPS, SOPS.c.id == ENROLLMENTS.c.sop_id),
    ENROLLMENTS.c.contact_id == Contact.id,
    False,
)


def _touched(*tests: ColumnElement[bool]) -> ColumnElement[bool]:
    return (
        select(literal(1))
        .select_from(TOUCHES)
        .where(TOUCHES.c.contact_id == Contact.id, *tests)
        .correlate(Contact)
        .exists()
    )


def _last_touch(op: str, value: Any, day: date) -> ColumnElement[bool]:
    """Whether the newest touch until `day` lies so many days back: one in, and none after."""
    touched_on = TOUCHES.c.touched_on
    if op == "!=":
        return and_(_touched(touched_on <= day), not_(_last_touch("=", value, day)))
    least, most = bounds(op, value)
    latest = day - timedelta(days=least)
    within = [touched_on <= latest]
    if most is not None:
        within.append(touched_on >= day - timedelta(days=most))
    return and_(_touched(*within), not_(_touched(touched_on > latest, touched_on <= day)))


def _last_touch_fact(day: date) -> ColumnElement[Any]:
    newest = (
        select(func.max(TOUCHES.c.touched_on))
        .where(TOUCHES.c.contact_id == Contact.id, TOUCHES.c.touched_on <= day)
        .correlate(Contact)
        .scalar_subquery()
    )
    return cast(literal(day) - newest, Integer)


def _sop_words(op: str, value: Any) -> str:
    names = [f"“{one}”" for one in as_list(value)]
    if op in ("=", "in"):
        return f"正在{wording.either(names)}里"
    return f"不在{wording.listed(names)}" + ("中的任何一个 SOP 里" if op == "not_in" else "里")


FIELDS = (
    Field(
        "last_touch_days",
        "距上次联系",
        DAYS,
        CONTACT,
        _last_touch,
        _last_touch_fact,
        gap="从未联系过的",
        today="今天联系过",
        moves_with_time=True,
        example=(">=", 30),
    ),
    Field(
        "sop_active",
        "正在进行的 SOP",
        Words("sops"),
        ENROLLMENT,
        lambda op, value, day: and_(
            ENROLLMENTS.c.state == _ACTIVE, SOPS.c.name.in_(as_list(value))
        ),
        lambda day: func.array_agg(SOPS.c.name.distinct()).filter(ENROLLMENTS.c.state == _ACTIVE),
        gap="不在任何 SOP 里",
        is_many=True,
        phrase=_sop_words,
        example=("=", "新客首月"),
    ),
)
