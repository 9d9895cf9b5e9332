"""A guide's own customers (客户): find them by a name, and what one should know of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session

from bot.crm.models import (
    ChannelCode,
    Contact,
    FollowRelation,
    FollowState,
    Guide,
    Member,
    Purchase,
    PurchaseLine,
)
from content_library import facts, words
from tagging.models import ContactScore, LifecycleStage, Tag, TagAssignment, TagGroup

STAGES = {
    LifecycleStage.NEW: "新客",
    LifecycleStage.ACTIVE: "活跃",
    LifecycleStage.LOYAL: "忠诚",
    LifecycleStage.DORMANT: "沉睡",
    LifecycleStage.CHURNED: "流失",
}

_TITLE = re.compile(r"(先生|女士|小姐|太太|老师|姐|哥|总)$")
_GENDERS = {"先生": 1, "哥": 1, "女士": 2, "小姐": 2, "太太": 2, "姐": 2}
_MOST_TAGS = 12


@dataclass(frozen=True)
class Hit:
    """One customer found; `points` is None for a customer who is no member (or not known)."""

    contact_id: int
    name: str
    level: str | None
    points: int | None
    followed_on: date
    guide_name: str
    #: Her name is or begins with what was asked for, or the member number is it.
    is_close: bool


def find(session: Session, guide: Guide, query: str, limit: int = 8) -> list[Hit]:
    """Her customers by name, remark or member number, the closest first; a manager's are the
    store's. At most `limit` + 1, so that the caller can tell there are more."""
    wanted = query.strip()
    title = _TITLE.search(wanted)
    name = wanted[: title.start()] if title and len(wanted) > len(title[1]) else wanted
    if not name:
        return []
    shown = func.coalesce(func.nullif(FollowRelation.remark, ""), Contact.name)
    columns = (FollowRelation.remark, Contact.name, Member.name)
    fits = or_(
        Member.member_no == wanted,
        *(column.icontains(text, autoescape=True) for column in columns for text in {name, wanted}),
    )
    gender = _GENDERS.get(title[1]) if title and name != wanted else None
    if gender is not None:
        as_written = or_(*(column.icontains(wanted, autoescape=True) for column in columns))
        fits = and_(fits, or_(Contact.gender.in_([0, gender]), as_written))
    closeness = case(
        (or_(Member.member_no == wanted, *(column == wanted for column in columns)), 0),
        (or_(*(column.istartswith(wanted, autoescape=True) for column in columns)), 1),
        (or_(*(column.istartswith(name, autoescape=True) for column in columns)), 2),
        else_=3,
    )
    mine_first = case((FollowRelation.guide_id == guide.id, 0), else_=1)
    rows = session.execute(
        select(
            Contact.id,
            shown.label("shown"),
            Member.level,
            Member.points,
            FollowRelation.followed_on,
            Guide.name.label("guide_name"),
            (closeness < 3).label("is_close"),
        )
        .join(FollowRelation, FollowRelation.contact_id == Contact.id)
        .join(Guide, Guide.id == FollowRelation.guide_id)
        .outerjoin(Member, Member.contact_id == Contact.id)
        .where(_visible_to(guide), fits)
        .order_by(mine_first, closeness, FollowRelation.followed_on.desc(), Contact.id)
        .limit(4 * (limit + 1))
    )
    hits: dict[int, Hit] = {}
    for row in rows:
        # In a manager's list a customer of two guides stands once.
        hits.setdefault(
            row.id,
            Hit(
                row.id,
                words.plain(row.shown) or "（没有名字）",
                row.level,
                row.points,
                row.followed_on,
                row.guide_name,
                row.is_close,
            ),
        )
    return list(hits.values())[: limit + 1]


def profile(session: Session, hit: Hit, day: date) -> list[str]:
    """What a guide should know before she writes, one line a topic; unknown things stay unsaid."""
    contact = session.get_one(Contact, hit.contact_id)
    member = session.get(Member, hit.contact_id)
    lines = [_name_line(contact, hit), *_member_lines(member)]
    lines += _purchase_lines(session, hit.contact_id, day)
    tags = _tags(session, hit.contact_id)
    if tags:
        lines.append("标签：" + "、".join(tags))
    lines.append(_follow_line(session, contact, hit, day))
    return lines


def money(fen: int) -> str:
    """¥12,800, with decimals only where there are any."""
    sign, fen = ("-" if fen < 0 else ""), abs(fen)
    yuan, rest = divmod(fen, 100)
    return f"{sign}¥{yuan:,}" + (f".{rest:02}" if rest else "")


def _visible_to(guide: Guide) -> ColumnElement[bool]:
    live = and_(FollowRelation.state != FollowState.ENDED, Contact.merged_into_id.is_(None))
    if guide.is_manager and guide.store_id is not None:
        store = select(Guide.id).where(Guide.store_id == guide.store_id)
        return and_(live, FollowRelation.guide_id.in_(store))
    return and_(live, FollowRelation.guide_id == guide.id)


def _name_line(contact: Contact, hit: Hit) -> str:
    nickname = words.plain(contact.name)
    return hit.name if nickname in ("", hit.name) else f"{hit.name}（微信名 {nickname}）"


def _member_lines(member: Member | None) -> list[str]:
    if member is None:
        return ["还不是会员"]
    number = facts.masked_number(member.member_no)
    first = [
        words.plain(member.level) or "会员",
        "" if member.points is None else f"积分 {member.points:,}",
        f"会员号 {number}" if number else "",
    ]
    birthday = facts.spoken_birthday(member.birth_month, member.birth_day, member.birthday_is_lunar)
    wedding = facts.spoken_birthday(member.wedding_month, member.wedding_day, False)
    second = [
        f"生日 {birthday}" if birthday else "",
        f"结婚纪念日 {wedding}" if wedding else "",
    ]
    return [line for line in (_joined(first), _joined(second)) if line]


def _purchase_lines(session: Session, contact_id: int, day: date) -> list[str]:
    score = session.get(ContactScore, contact_id)
    lines: list[str] = []
    if score is not None and score.purchase_count:
        stage = STAGES.get(LifecycleStage(score.stage), "")
        total = f"累计 {money(score.total_spend_fen)} · {score.purchase_count} 单"
        lines.append(_joined([stage, total]))
    last = session.execute(
        select(Purchase, PurchaseLine.name)
        .outerjoin(
            PurchaseLine, (PurchaseLine.purchase_id == Purchase.id) & ~PurchaseLine.is_returned
        )
        .where(
            Purchase.contact_id == contact_id,
            Purchase.refunded_fen < Purchase.amount_fen,
            Purchase.purchased_on <= day,
        )
        .order_by(
            Purchase.purchased_on.desc(),
            Purchase.id.desc(),
            PurchaseLine.amount_fen.desc().nulls_last(),
        )
        .limit(1)
    ).one_or_none()
    if last is None:
        return lines or ["还没有消费记录"]
    purchase: Purchase = last[0]
    item = f" {words.plain(last[1])}" if last[1] else ""
    net = money(purchase.amount_fen - purchase.refunded_fen)
    when = facts.spoken_day(purchase.purchased_on, day)
    lines.append(f"最近：{when}{item} {net}（{_ago(purchase.purchased_on, day)}）")
    return lines


def _tags(session: Session, contact_id: int) -> Sequence[str]:
    found = session.scalars(
        select(Tag.name)
        .join(TagAssignment, TagAssignment.tag_id == Tag.id)
        .join(TagGroup, TagGroup.id == Tag.group_id)
        .where(TagAssignment.contact_id == contact_id, TagAssignment.is_on)
        .order_by(TagGroup.position, Tag.position, Tag.id)
        .limit(_MOST_TAGS)
    )
    return [words.plain(name) for name in found]


def _follow_line(session: Session, contact: Contact, hit: Hit, day: date) -> str:
    channel = session.scalar(
        select(ChannelCode.name).where(ChannelCode.id == contact.channel_code_id)
    )
    return _joined(
        [
            f"{facts.spoken_day(hit.followed_on, day)}加的好友",
            f"来自 {words.plain(channel)}" if channel else "",
            f"导购 {words.plain(hit.guide_name)}",
        ]
    )


def _joined(parts: Sequence[str]) -> str:
    return " · ".join(part for part in parts if part)


def _ago(moment: date, day: date) -> str:
    days = (day - moment).days
    return "今天" if days == 0 else f"{days} 天前"
