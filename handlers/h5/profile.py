"""What a guide should know of one customer before she writes (客户资料), in six statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.crm import mobiles, timeline
from bot.crm.models import (
    ChannelCode,
    Contact,
    FollowRelation,
    Guide,
    Member,
    Purchase,
    PurchaseLine,
    Store,
    TimelineEntry,
)
from bot.errors import DaogouError
from content_library import facts, words
from handlers.h5 import book
from handlers.h5.guard import Viewer
from tagging.models import ContactScore, Tag, TagAssignment, TagGroup

_PURCHASES = 5
_ENTRIES = 20
_MOST_TAGS = 24
_GENDERS = {1: "先生", 2: "女士"}


@dataclass(frozen=True)
class Bought:
    """One order: what, when, where, for how much."""

    name: str
    more: int
    on: date
    store: str
    amount_fen: int
    is_refunded: bool


@dataclass(frozen=True)
class Profile:
    """A customer as the page shows her; empty words and None are not known and stay unsaid."""

    contact_id: int
    relation: FollowRelation
    name: str
    nickname: str
    gender: str
    guide_name: str
    channel: str
    is_member: bool
    level: str
    points: int | None
    #: Label and value: 会员号, 手机, 生日, 结婚纪念日.
    facts: tuple[tuple[str, str], ...]
    stage: str
    spend_fen: int
    purchase_count: int
    last_purchased_on: date | None
    tags: tuple[str, ...]
    purchases: tuple[Bought, ...]
    timeline: tuple[TimelineEntry, ...]


def read(session: Session, viewer: Viewer, contact_id: int, secret_key: str) -> Profile | None:
    """The customer, or None when she is not in the viewer's sight."""
    relation = book.nearest_relation(session, viewer, contact_id)
    if relation is None:
        return None
    contact, member, score, guide_name, channel = session.execute(
        select(Contact, Member, ContactScore, Guide.name, ChannelCode.name)
        .outerjoin(Member, Member.contact_id == Contact.id)
        .outerjoin(ContactScore, ContactScore.contact_id == Contact.id)
        .outerjoin(Guide, Guide.id == relation.guide_id)
        .outerjoin(ChannelCode, ChannelCode.id == relation.channel_code_id)
        .where(Contact.id == contact_id)
    ).one()
    name, nickname = book.shown_name(relation.remark, contact.name), words.clean(contact.name)
    return Profile(
        contact_id=contact_id,
        relation=relation,
        name=name,
        nickname="" if nickname == name else nickname,
        gender=_GENDERS.get(contact.gender, ""),
        guide_name="" if relation.guide_id == viewer.id else words.clean(guide_name),
        channel=words.clean(channel),
        is_member=member is not None,
        level=words.clean(member.level, 12) if member else "",
        points=member.points if member else None,
        facts=_facts(member, secret_key),
        stage=book.stage_word(score.stage, score.purchase_count) if score else "",
        spend_fen=score.total_spend_fen if score else 0,
        purchase_count=score.purchase_count if score else 0,
        last_purchased_on=score.last_purchased_on if score else None,
        tags=_tags(session, contact_id),
        purchases=_purchases(session, contact_id),
        timeline=tuple(timeline.read(session, contact_id, _ENTRIES)),
    )


def _facts(member: Member | None, secret_key: str) -> tuple[tuple[str, str], ...]:
    if member is None:
        return ()
    birthday = facts.spoken_birthday(member.birth_month, member.birth_day, member.birthday_is_lunar)
    wedding = facts.spoken_birthday(member.wedding_month, member.wedding_day, False)
    said = (
        ("会员号", facts.masked_number(member.member_no)),
        ("手机", _mobile(member.mobile_sealed, secret_key)),
        ("生日", birthday),
        ("结婚纪念日", wedding),
    )
    return tuple((label, value) for label, value in said if value)


def _mobile(sealed: bytes | None, secret_key: str) -> str | None:
    if sealed is None:
        return None
    try:
        return mobiles.mask_mobile(mobiles.open_mobile(sealed, secret_key))
    except DaogouError:
        # Sealed with another key: the page goes on without the number.
        return None


def _tags(session: Session, contact_id: int) -> tuple[str, ...]:
    found = session.scalars(
        select(Tag.name)
        .join(TagAssignment, TagAssignment.tag_id == Tag.id)
        .join(TagGroup, TagGroup.id == Tag.group_id)
        .where(TagAssignment.contact_id == contact_id, TagAssignment.is_on)
        .order_by(TagGroup.position, Tag.position, Tag.id)
        .limit(_MOST_TAGS)
    )
    return tuple(words.clean(name) for name in found)


def _purchases(session: Session, contact_id: int) -> tuple[Bought, ...]:
    last = (
        select(Purchase)
        .where(Purchase.contact_id == contact_id)
        .order_by(Purchase.purchased_on.desc(), Purchase.id.desc())
        .limit(_PURCHASES)
        .subquery()
    )
    line_count = (
        select(func.count())
        .select_from(PurchaseLine)
        .where(PurchaseLine.purchase_id == last.c.id)
        .correlate(last)
        .scalar_subquery()
    )
    # The dearest line gives the order its name, and of a part that was kept the dearest of that.
    dearest = (
        select(PurchaseLine.name)
        .where(PurchaseLine.purchase_id == last.c.id)
        .order_by(PurchaseLine.is_returned, PurchaseLine.amount_fen.desc(), PurchaseLine.line_no)
        .limit(1)
        .correlate(last)
        .scalar_subquery()
    )
    rows: Sequence[Any] = session.execute(
        select(
            last,
            dearest.label("item"),
            line_count.label("line_count"),
            Store.name.label("store_name"),
        )
        .outerjoin(Store, Store.id == last.c.store_id)
        .order_by(last.c.purchased_on.desc(), last.c.id.desc())
    ).all()
    return tuple(
        Bought(
            name=words.clean(row.item, 60) or "订单",
            more=max(row.line_count - 1, 0),
            on=row.purchased_on,
            store=words.clean(row.store_name),
            amount_fen=row.amount_fen - row.refunded_fen,
            is_refunded=0 < row.amount_fen <= row.refunded_fen,
        )
        for row in rows
    )
