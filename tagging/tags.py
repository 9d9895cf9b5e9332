"""Tags on contacts (打标签): who set which, and when. What WeCom is told is in `tagging.marks`.

A tag belongs to the contact and is marked for every guide who follows her. Whoever sets a tag that
a rule has set already becomes its owner, so the rule never takes it away again.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Date,
    DateTime,
    Select,
    and_,
    any_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm.models import Contact
from bot.errors import UserError
from tagging.corp_tags import adopt_corp_tags, push_new_tags, tag_created, tag_failed
from tagging.marks import mark_failed, marked, push_pending
from tagging.models import MarkState, Tag, TagAssignment, TagGroup, TagSource

__all__ = [
    "adopt_corp_tags",
    "assign",
    "assign_each",
    "ensure",
    "mark_failed",
    "marked",
    "push_new_tags",
    "push_pending",
    "remove",
    "repeat_marks",
    "tag_created",
    "tag_failed",
]

#: Names of tags and groups (document 92117).
LONGEST_NAME = 30
#: (contact id, tag id, when)
Given = tuple[int, int, datetime]


def ensure(session: Session, group: str, name: str) -> int:
    """The id of tag `group/name`, made if it is new; one that was deleted lives again."""
    group, name = _name(group, "标签组"), _name(name, "标签")
    if "/" in group:
        raise UserError(f"标签组名称里不能有“/”：{group}。", field="tag_group")
    group_row = insert(TagGroup).values(name=group)
    group_id = session.scalar(
        group_row.on_conflict_do_update(
            index_elements=[TagGroup.name], set_={"name": group_row.excluded.name}
        ).returning(TagGroup.id)
    )
    tag_row = insert(Tag).values(group_id=group_id, name=name)
    tag_id: int | None = session.scalar(
        tag_row.on_conflict_do_update(
            index_elements=[Tag.group_id, Tag.name], set_={"is_active": True}
        ).returning(Tag.id)
    )
    return int(tag_id)  # type: ignore[arg-type]


def assign(
    session: Session,
    contact_ids: Collection[int],
    tag_ids: Collection[int],
    source: TagSource | str,
    at: datetime,
    rule_id: int | None = None,
) -> int:
    """Put every tag on every contact; returns how many rows changed.

    Unknown ids, merged contacts and deleted tags are passed over. A tag that is on stays as it is,
    except that a person's (or a channel's) word replaces a rule's.
    """
    new = (
        select(
            Contact.id,
            Tag.id,
            literal(TagSource(source).value),
            literal(rule_id, BigInteger),
            literal(at, TagAssignment.assigned_at.type),
            literal(business_day(at)),
            literal(MarkState.PENDING.value),
        )
        .join(Tag, true())
        .where(
            Contact.id == _any(contact_ids),
            Contact.merged_into_id.is_(None),
            Tag.id == _any(tag_ids),
            Tag.is_active,
        )
    )
    return _write(session, new)


def assign_each(session: Session, given: Collection[Given], source: TagSource | str) -> int:
    """The same for many (contact, tag, moment), each once, in one statement."""
    if not given:
        return 0
    contacts, tag_ids, moments = (list(column) for column in zip(*given, strict=True))
    each = (
        func.unnest(
            literal(contacts, ARRAY(BigInteger)),
            literal(tag_ids, ARRAY(BigInteger)),
            literal(moments, ARRAY(DateTime(timezone=True))),
            literal([business_day(moment) for moment in moments], ARRAY(Date())),
        )
        .table_valued("contact_id", "tag_id", "at", "day")
        .render_derived(name="each")
    )
    new = (
        select(
            Contact.id,
            Tag.id,
            literal(TagSource(source).value),
            cast(null(), BigInteger),
            each.c.at,
            each.c.day,
            literal(MarkState.PENDING.value),
        )
        .select_from(each)
        .join(Contact, Contact.id == each.c.contact_id)
        .join(Tag, Tag.id == each.c.tag_id)
        .where(Contact.merged_into_id.is_(None), Tag.is_active)
        .order_by(Contact.id, Tag.id)
    )
    return _write(session, new)


def _write(session: Session, new: Select[*tuple[Any, ...]]) -> int:
    row = insert(TagAssignment).from_select(
        [
            "contact_id",
            "tag_id",
            "source",
            "rule_id",
            "assigned_at",
            "assigned_on",
            "mark_state",
        ],
        new,
    )
    was_off = ~TagAssignment.is_on
    upgrade = and_(
        TagAssignment.source == TagSource.RULE.value, row.excluded.source != TagSource.RULE.value
    )
    statement = row.on_conflict_do_update(
        index_elements=[TagAssignment.contact_id, TagAssignment.tag_id],
        set_={
            "source": row.excluded.source,
            "rule_id": row.excluded.rule_id,
            # The day a tag came stays when only its owner changes: "tag added" happened then.
            "assigned_at": _if(was_off, row.excluded.assigned_at, TagAssignment.assigned_at),
            "assigned_on": _if(was_off, row.excluded.assigned_on, TagAssignment.assigned_on),
            "mark_state": _if(was_off, row.excluded.mark_state, TagAssignment.mark_state),
            "mark_error": _if(was_off, row.excluded.mark_error, TagAssignment.mark_error),
            "is_on": True,
        },
        where=or_(was_off, upgrade),
    ).returning(TagAssignment.contact_id)
    return session.scalar(select(func.count()).select_from(statement.cte("assigned"))) or 0


def remove(session: Session, contact_ids: Collection[int], tag_ids: Collection[int]) -> int:
    """Take every tag off every contact, whoever set it; returns how many rows changed."""
    statement = (
        update(TagAssignment)
        .where(
            TagAssignment.contact_id == _any(contact_ids),
            TagAssignment.tag_id == _any(tag_ids),
            TagAssignment.is_on,
        )
        .values(is_on=False, mark_state=MarkState.PENDING.value, mark_error=None)
        .execution_options(synchronize_session=False)
    )
    return session.execute(statement).rowcount  # type: ignore[attr-defined,no-any-return]


def repeat_marks(session: Session, contact_ids: Collection[int]) -> int:
    """Mark all tags of these contacts again, for a guide they have gained; returns how many rows.

    Call it when a relation becomes live (new, come back, or confirmed after a half friendship). The
    relations that have the tags already get them once more, which WeCom takes as nothing new.
    """
    statement = (
        update(TagAssignment)
        .where(
            TagAssignment.contact_id == _any(contact_ids),
            TagAssignment.is_on,
            TagAssignment.mark_state != MarkState.PENDING.value,
        )
        .values(mark_state=MarkState.PENDING.value, mark_error=None)
        .execution_options(synchronize_session=False)
    )
    return session.execute(statement).rowcount  # type: ignore[attr-defined,no-any-return]


def _any(ids: Collection[int]) -> Any:
    return any_(literal(sorted(set(ids)), ARRAY(BigInteger)))


def _if(test: Any, then: Any, otherwise: Any) -> Any:
    return case((test, then), else_=otherwise)


def _name(text: str, what: str) -> str:
    if not isinstance(text, str) or not text.strip() or "\x00" in text:
        raise UserError(f"{what}名称不能为空。", field="tag")
    if len(text.strip()) > LONGEST_NAME:
        raise UserError(f"{what}名称最多 {LONGEST_NAME} 个字：{text.strip()}。", field="tag")
    return text.strip()
