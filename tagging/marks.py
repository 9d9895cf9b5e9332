"""Telling WeCom which tags our contacts have (企业标签同步), one call per guide and contact.

An assignment is one row per contact; WeCom keeps tags per guide and customer. MARKED means that
every live relation has the tag. One push turns the pending rows into one call per relation, adds
and removals together; `open_marks` counts the calls of a row that have not ended, and the last to
end settles it: a tag that is on becomes MARKED or FAILED, one that was taken off is deleted. Rows
that WeCom cannot have yet wait unseen: the tag has no id there, or nobody follows the contact.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Text,
    and_,
    any_,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from bot import outbox
from bot.crm.models import Contact, FollowRelation, FollowState, Guide
from bot.wecom import bodies
from tagging.models import MarkState, Tag, TagAssignment

API = "externalcontact/mark_tag"
KIND = "mark_tag"

#: 84061: this guide and this customer are not connected, so there is nothing to mark for them.
_NOT_CONNECTED = 84061

_REASON_LENGTH = 200


def push_pending(session: Session, limit: int = 5000) -> int:
    """Put up to `limit` pending rows into the outbox; returns how many it took, 0: none left."""
    picked = session.execute(_picked(limit)).all()
    if not picked:
        return 0
    contact_ids = [contact_id for contact_id, _ in picked]
    tag_ids = [tag_id for _, tag_id in picked]
    wanted = session.execute(_calls(contact_ids, tag_ids)).all()
    _settle_picked(session, contact_ids, tag_ids)
    outbox.add_many(session, [_draft(row) for row in wanted])
    return len(picked)


def _picked(limit: int) -> Any:
    return (
        select(TagAssignment.contact_id, TagAssignment.tag_id)
        .where(TagAssignment.mark_state == MarkState.PENDING.value)
        .order_by(TagAssignment.contact_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def _pairs(contact_ids: Sequence[int], tag_ids: Sequence[int]) -> Any:
    return (
        func.unnest(
            literal(list(contact_ids), ARRAY(BigInteger)), literal(list(tag_ids), ARRAY(BigInteger))
        )
        .table_valued("contact_id", "tag_id")
        .render_derived(name="pair")
    )


def _is_live() -> Any:
    # Half a friendship answers 84061 until the guide confirms it.
    return FollowRelation.state == FollowState.ACTIVE.value


def _calls(contact_ids: Sequence[int], tag_ids: Sequence[int]) -> Any:
    """One row per live relation: who, and the tags to add and to remove."""
    pair = _pairs(contact_ids, tag_ids)
    by_id = aggregate_order_by(Tag.wecom_id, Tag.id)
    return (
        select(
            FollowRelation.id.label("relation_id"),
            FollowRelation.contact_id,
            Guide.userid,
            Contact.external_userid,
            func.array_agg(by_id, type_=ARRAY(Text)).filter(TagAssignment.is_on).label("add"),
            func.array_agg(by_id, type_=ARRAY(Text)).filter(~TagAssignment.is_on).label("remove"),
            func.array_agg(Tag.id, type_=ARRAY(BigInteger)).label("tag_ids"),
        )
        .select_from(pair)
        .join(
            TagAssignment,
            and_(
                TagAssignment.contact_id == pair.c.contact_id,
                TagAssignment.tag_id == pair.c.tag_id,
            ),
        )
        .join(Tag, Tag.id == TagAssignment.tag_id)
        .join(FollowRelation, FollowRelation.contact_id == TagAssignment.contact_id)
        .join(Guide, Guide.id == FollowRelation.guide_id)
        .join(Contact, Contact.id == TagAssignment.contact_id)
        .where(_is_live(), Tag.wecom_id.is_not(None), Contact.external_userid.is_not(None))
        .group_by(FollowRelation.id, Guide.userid, Contact.external_userid)
        .order_by(FollowRelation.id)
    )


def _settle_picked(session: Session, contact_ids: Sequence[int], tag_ids: Sequence[int]) -> None:
    """QUEUED with the number of calls; without a call WAITING, or gone if it was taken off."""
    pair = _pairs(contact_ids, tag_ids)
    calls = (
        select(func.count())
        .select_from(FollowRelation)
        .join(Contact, Contact.id == FollowRelation.contact_id)
        .join(Tag, Tag.id == TagAssignment.tag_id)
        .where(
            FollowRelation.contact_id == TagAssignment.contact_id,
            _is_live(),
            Tag.wecom_id.is_not(None),
            Contact.external_userid.is_not(None),
        )
        .correlate(TagAssignment)
        .scalar_subquery()
    )
    is_picked = and_(
        TagAssignment.contact_id == pair.c.contact_id, TagAssignment.tag_id == pair.c.tag_id
    )
    session.execute(
        update(TagAssignment)
        .where(is_picked)
        .values(
            mark_state=case((calls > 0, MarkState.QUEUED.value), else_=MarkState.WAITING.value),
            open_marks=TagAssignment.open_marks + calls,
            marked_for=calls,
            mark_error=None,
        )
        .execution_options(synchronize_session=False)
    )
    session.execute(
        delete(TagAssignment)
        .where(
            is_picked,
            ~TagAssignment.is_on,
            TagAssignment.mark_state == MarkState.WAITING.value,
            TagAssignment.open_marks == 0,
        )
        .execution_options(synchronize_session=False)
    )


def _draft(row: Any) -> outbox.Draft:
    return outbox.Draft(
        kind=KIND,
        api=API,
        body=bodies.mark_tag_body(row.userid, row.external_userid, row.add or [], row.remove or []),
        # The rows leave PENDING in the same transaction, so no second push writes this call again.
        dedupe_key=f"mark:{row.relation_id}:{uuid.uuid4().hex}",
        order_key=f"mark:{row.relation_id}",
        lane="marks",
        subject={
            "relation_id": row.relation_id,
            "contact_id": row.contact_id,
            "tag_ids": list(row.tag_ids),
        },
    )


def marked(session: Session, delivery: outbox.Delivery) -> None:
    """A mark_tag call succeeded."""
    _finish(session, delivery, error=None)


def mark_failed(session: Session, delivery: outbox.Delivery) -> None:
    """A mark_tag call ended badly. A relation that has ended since counts as done."""
    if delivery.last_errcode == _NOT_CONNECTED:
        _finish(session, delivery, error=None)
    else:
        _finish(session, delivery, error=(delivery.last_error or "未知原因")[:_REASON_LENGTH])


def _finish(session: Session, delivery: outbox.Delivery, error: str | None) -> None:
    contact_id, tag_ids = delivery.subject["contact_id"], delivery.subject["tag_ids"]
    mine = and_(
        TagAssignment.contact_id == contact_id,
        TagAssignment.tag_id == any_(literal(list(tag_ids), ARRAY(BigInteger))),
    )
    queued = TagAssignment.mark_state == MarkState.QUEUED.value
    # A dead letter that was tried again by hand has been counted before.
    repaired = and_(TagAssignment.mark_state == MarkState.FAILED.value, literal(error is None))
    is_last = and_(or_(queued, repaired), TagAssignment.open_marks <= 1)
    worst = TagAssignment.mark_error if error is None else literal(error)
    after = case(
        (is_last & queued & worst.is_not(None), MarkState.FAILED.value),
        (is_last, MarkState.MARKED.value),
        else_=TagAssignment.mark_state,
    )
    session.execute(
        update(TagAssignment)
        .where(mine)
        .values(
            open_marks=func.greatest(TagAssignment.open_marks - 1, 0),
            mark_error=case((repaired, None), else_=worst),
            marked_at=case((is_last, func.clock_timestamp()), else_=TagAssignment.marked_at),
            mark_state=after,
        )
        .execution_options(synchronize_session=False)
    )
    session.execute(
        delete(TagAssignment)
        .where(
            mine,
            ~TagAssignment.is_on,
            TagAssignment.open_marks == 0,
            TagAssignment.mark_state.in_((MarkState.MARKED.value, MarkState.WAITING.value)),
        )
        .execution_options(synchronize_session=False)
    )
