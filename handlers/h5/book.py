"""Whose customers a guide may see (可见客户), and the lines of her customer list.

A guide sees whom she follows; a manager whom anyone of her store follows. Whoever is outside is
not found, whatever the way of asking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, select, tuple_
from sqlalchemy.orm import Session, aliased

from bot.crm.models import Contact, FollowRelation, FollowState, Guide, Member
from content_library import words
from handlers.guide_commands import customers
from handlers.h5.guard import Viewer
from tagging.models import ContactScore, LifecycleStage

PAGE = 30


@dataclass(frozen=True)
class Line:
    """One customer in the list."""

    contact_id: int
    relation_id: int
    name: str
    level: str
    stage: str
    spend_fen: int
    last_purchased_on: date | None
    followed_on: date
    followed_at: datetime
    #: Whose customer it is; empty for her own.
    guide_name: str


@dataclass(frozen=True)
class Lines:
    """A page of customers and where the next begins."""

    lines: tuple[Line, ...]
    #: (moment, relation id) of the last line; None: that was all.
    after: tuple[datetime, int] | None


def followed_by(viewer: Viewer, relation: Any = FollowRelation) -> ColumnElement[bool]:
    """The live relations that lie in the viewer's sight."""
    live = relation.state != FollowState.ENDED
    if not viewer.sees_store:
        return and_(live, relation.guide_id == viewer.id)
    store = select(Guide.id).where(Guide.store_id == viewer.store_id)
    return and_(live, relation.guide_id.in_(store))


def nearest_relation(session: Session, viewer: Viewer, contact_id: int) -> FollowRelation | None:
    """Her relation with this customer, else the newest of her store; None: not hers to see."""
    mine_first = case((FollowRelation.guide_id == viewer.id, 0), else_=1)
    return session.scalar(
        select(FollowRelation)
        .join(Contact, Contact.id == FollowRelation.contact_id)
        .where(
            FollowRelation.contact_id == contact_id,
            Contact.merged_into_id.is_(None),
            followed_by(viewer),
        )
        .order_by(mine_first, FollowRelation.followed_at.desc(), FollowRelation.id)
        .limit(1)
    )


def recent(session: Session, viewer: Viewer, after: tuple[datetime, int] | None = None) -> Lines:
    """Her customers, the newest first, `PAGE` at a time."""
    place = tuple_(FollowRelation.followed_at, FollowRelation.id)
    query = _query().where(followed_by(viewer))
    if viewer.sees_store:
        # A customer of two guides of the store stands once, with the newest of them.
        newer = aliased(FollowRelation)
        query = query.where(
            ~exists().where(
                newer.contact_id == FollowRelation.contact_id,
                followed_by(viewer, newer),
                tuple_(newer.followed_at, newer.id) > place,
            )
        )
    if after is not None:
        query = query.where(place < tuple_(*after))
    rows = session.execute(
        query.order_by(FollowRelation.followed_at.desc(), FollowRelation.id.desc()).limit(PAGE + 1)
    ).all()
    lines = tuple(_line(row, viewer) for row in rows[:PAGE])
    last = lines[-1] if len(rows) > PAGE else None
    return Lines(lines, (last.followed_at, last.relation_id) if last else None)


def search(session: Session, viewer: Viewer, name: str) -> tuple[Sequence[Line], bool]:
    """The closest by name, remark or member number, and whether there are more than shown."""
    guide = session.get_one(Guide, viewer.id)
    hits = customers.find(session, guide, name, limit=PAGE)
    shown = [hit.contact_id for hit in hits[:PAGE]]
    mine_last = case((FollowRelation.guide_id == viewer.id, 1), else_=0)
    rows = session.execute(
        _query()
        .where(followed_by(viewer), FollowRelation.contact_id.in_(shown))
        .order_by(mine_last, FollowRelation.followed_at)
    )
    # Later rows replace earlier ones, so her own relation wins, then the newest.
    by_contact = {row.contact_id: _line(row, viewer) for row in rows}
    return [by_contact[one] for one in shown if one in by_contact], len(hits) > PAGE


def count(session: Session, viewer: Viewer) -> int:
    """How many customers she sees."""
    return session.scalars(
        select(func.count(FollowRelation.contact_id.distinct()))
        .join(Contact, Contact.id == FollowRelation.contact_id)
        .where(followed_by(viewer), Contact.merged_into_id.is_(None))
    ).one()


def shown_name(remark: str | None, nickname: str | None) -> str:
    """Her remark, else the nickname, cleaned."""
    return words.clean(remark) or words.clean(nickname) or "没有名字的客户"


def stage_word(stage: str | None, purchases: int) -> str:
    """新客, 活跃, 忠诚, 沉睡, 流失; nothing for one who never bought."""
    if stage is None or (not purchases and stage != LifecycleStage.NEW):
        return ""
    return customers.STAGES.get(LifecycleStage(stage), "")


def _query() -> Select[*tuple[Any, ...]]:
    return (
        select(
            Contact.id.label("contact_id"),
            FollowRelation.id.label("relation_id"),
            FollowRelation.remark,
            FollowRelation.followed_on,
            FollowRelation.followed_at,
            FollowRelation.guide_id,
            Contact.name,
            Member.level,
            ContactScore.stage,
            func.coalesce(ContactScore.total_spend_fen, 0).label("spend_fen"),
            func.coalesce(ContactScore.purchase_count, 0).label("purchases"),
            ContactScore.last_purchased_on,
            Guide.name.label("guide_name"),
        )
        .join(Contact, Contact.id == FollowRelation.contact_id)
        .join(Guide, Guide.id == FollowRelation.guide_id)
        .outerjoin(Member, Member.contact_id == Contact.id)
        .outerjoin(ContactScore, ContactScore.contact_id == Contact.id)
        .where(Contact.merged_into_id.is_(None))
    )


def _line(row: Any, viewer: Viewer) -> Line:
    return Line(
        contact_id=row.contact_id,
        relation_id=row.relation_id,
        name=shown_name(row.remark, row.name),
        level=words.clean(row.level, 12),
        stage=stage_word(row.stage, row.purchases),
        spend_fen=row.spend_fen,
        last_purchased_on=row.last_purchased_on,
        followed_on=row.followed_on,
        followed_at=row.followed_at,
        guide_name="" if row.guide_id == viewer.id else words.clean(row.guide_name),
    )
