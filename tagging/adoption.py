"""What people changed in WeCom comes in (标签回采): adopting their tags, and healing drift.

Both work on readings, relation id → the WeCom tag ids found on it, many at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Text, and_, any_, case, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm.models import FollowRelation, FollowState
from tagging.models import MarkState, Tag, TagAssignment, TagSource

_LIVE = FollowRelation.state == FollowState.ACTIVE.value


def database_now(session: Session) -> datetime:
    """The clock that `marked_at` runs on; ask it before reading tags from WeCom."""
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now


def adopt(
    session: Session,
    readings: Mapping[int, Collection[str]],
    at: datetime,
    *,
    read_at: datetime | None = None,
) -> int:
    """Take over what people changed in WeCom: relation id → the WeCom tag ids read there.

    A tag found there and not here is assigned with source `wecom` (and, if other guides follow the
    contact too, marked for them). With `read_at` (`database_now` before the reading) a tag that was
    MARKED before and is missing there was taken away by a person and goes here too; without it
    nothing is taken away, which is what a first sync wants. Returns how many rows changed.
    """
    found = _found(readings)
    added = _adopt_new(session, found, at)
    if read_at is None or not readings:
        return added
    relation_ids = literal(list(readings), ARRAY(BigInteger))
    is_there = _is_in(found)
    others = FollowRelation.__table__.alias("others")
    live_count = (
        select(func.count())
        .select_from(others)
        .where(
            others.c.contact_id == FollowRelation.contact_id,
            others.c.state == FollowState.ACTIVE.value,
        )
        .correlate(FollowRelation)
        .scalar_subquery()
    )
    gone = (
        update(TagAssignment)
        .where(
            FollowRelation.id == any_(relation_ids),
            _LIVE,
            TagAssignment.contact_id == FollowRelation.contact_id,
            TagAssignment.tag_id == Tag.id,
            Tag.wecom_id.is_not(None),
            ~is_there,
            TagAssignment.is_on,
            TagAssignment.mark_state == MarkState.MARKED.value,
            TagAssignment.marked_at < read_at,
            # A guide who has just come does not have the tags yet; that is no removal.
            TagAssignment.marked_for >= live_count,
        )
        .values(is_on=False, mark_state=MarkState.PENDING.value)
        .execution_options(synchronize_session=False)
    )
    return added + session.execute(gone).rowcount  # type: ignore[attr-defined,no-any-return]


def repair(session: Session, readings: Mapping[int, Collection[str]], at: datetime) -> int:
    """Heal drift: what WeCom has more is adopted, what it has less is marked again.

    `readings` as for `adopt`. Returns how many rows changed; 0 means no drift.
    """
    found = _found(readings)
    added = _adopt_new(session, found, at)
    is_there = _is_in(found)
    again = (
        update(TagAssignment)
        .where(
            FollowRelation.id == any_(literal(list(readings), ARRAY(BigInteger))),
            _LIVE,
            TagAssignment.contact_id == FollowRelation.contact_id,
            TagAssignment.tag_id == Tag.id,
            Tag.wecom_id.is_not(None),
            # Missing there though it should be there, or there though its removal failed.
            or_(
                and_(
                    TagAssignment.is_on,
                    ~is_there,
                    TagAssignment.mark_state.in_(
                        (
                            MarkState.MARKED.value,
                            MarkState.FAILED.value,
                            MarkState.WAITING.value,
                        )
                    ),
                ),
                and_(
                    ~TagAssignment.is_on,
                    is_there,
                    TagAssignment.mark_state == MarkState.FAILED.value,
                ),
            ),
        )
        .values(mark_state=MarkState.PENDING.value, mark_error=None)
        .execution_options(synchronize_session=False)
    )
    return added + session.execute(again).rowcount  # type: ignore[attr-defined,no-any-return]


def _is_in(found: Any) -> Any:
    """The tag of this row was read on the relation of this row."""
    return (
        select(literal(1))
        .select_from(found)
        .where(found.c.relation_id == FollowRelation.id, found.c.wecom_id == Tag.wecom_id)
        .correlate(FollowRelation, Tag)
        .exists()
    )


def _found(readings: Mapping[int, Collection[str]]) -> Any:
    pairs = [(relation_id, tag) for relation_id, tags in readings.items() for tag in set(tags)]
    return (
        func.unnest(
            literal([relation_id for relation_id, _ in pairs], ARRAY(BigInteger)),
            literal([tag for _, tag in pairs], ARRAY(Text)),
        )
        .table_valued("relation_id", "wecom_id")
        .render_derived(name="found")
    )


def _adopt_new(session: Session, found: Any, at: datetime) -> int:
    other = FollowRelation.__table__.alias("other")
    has_other = (
        select(literal(1))
        .where(
            other.c.contact_id == FollowRelation.contact_id,
            other.c.id != FollowRelation.id,
            other.c.state == FollowState.ACTIVE.value,
        )
        .correlate(FollowRelation)
        .exists()
    )
    new = (
        select(
            FollowRelation.contact_id,
            Tag.id,
            literal(TagSource.WECOM.value),
            literal(at, TagAssignment.assigned_at.type),
            literal(business_day(at)),
            func.max(case((has_other, MarkState.PENDING.value), else_=MarkState.MARKED.value)),
            func.clock_timestamp(),
            literal(1),
        )
        .select_from(found)
        .join(FollowRelation, FollowRelation.id == found.c.relation_id)
        .join(Tag, Tag.wecom_id == found.c.wecom_id)
        .where(Tag.is_active, _LIVE)
        .group_by(FollowRelation.contact_id, Tag.id)
    )
    row = insert(TagAssignment).from_select(
        [
            "contact_id",
            "tag_id",
            "source",
            "assigned_at",
            "assigned_on",
            "mark_state",
            "marked_at",
            "marked_for",
        ],
        new,
    )
    # A row of ours, on or on its way off, is our later word: it is left alone.
    statement = row.on_conflict_do_nothing().returning(TagAssignment.contact_id)
    return session.scalar(select(func.count()).select_from(statement.cte("adopted"))) or 0
