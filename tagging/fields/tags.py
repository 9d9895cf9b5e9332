"""The field over tags (标签), written `group/name`."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, and_, case, literal, select

from bot.crm.models import Contact
from tagging.fields.field import Field, Home
from tagging.fields.kinds import HAS_OPS, Words
from tagging.models import Tag, TagAssignment, TagGroup

# One contact has many tags, but this home is only ever asked for one tag at a time.
ASSIGNMENT = Home(TagAssignment.__table__, TagAssignment.contact_id == Contact.id, False)


def _has(op: str, value: Any, day: date) -> ColumnElement[bool]:
    # A scalar: PostgreSQL finds the id once and then uses the index over (tag_id, …).
    tag_id = (
        select(Tag.id)
        .join(TagGroup, TagGroup.id == Tag.group_id)
        .where(TagGroup.name + "/" + Tag.name == value)
        .order_by(Tag.id)
        .limit(1)
        .scalar_subquery()
    )
    return and_(TagAssignment.tag_id == tag_id, TagAssignment.is_on)


def _words(op: str, value: Any) -> str:
    return f"有标签“{value}”" if op == "=" else f"没有标签“{value}”"


def _has_fact(value: str, day: date) -> ColumnElement[Any]:
    """Whether this contact has the tag, for explaining."""
    return case((ASSIGNMENT.holds(_has("=", value, day)), literal("有")), else_=literal("没有"))


FIELDS = (
    Field(
        "has_tag",
        "标签",
        Words("tags", HAS_OPS),
        ASSIGNMENT,
        _has,
        lambda day: literal(None),
        is_many=True,
        phrase=_words,
        reads=_has_fact,
        moves_with_time=True,
        example=("=", "价值/高净值"),
    ),
)
