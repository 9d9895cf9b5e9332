"""One customer as HQ may see her (客户档案): the mobile is masked, and nothing is guessed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from bot.crm import mobiles
from bot.crm.models import (
    ChannelCode,
    Contact,
    FollowRelation,
    FollowState,
    Guide,
    Member,
    Purchase,
    PurchaseLine,
    Store,
)
from bot.errors import DaogouError
from handlers.console import people_words
from sop import why
from sop.models import Enrollment, Sop, SopStep, Task, TaskState
from tagging.fields.orders import STAGE_LABELS
from tagging.models import ContactScore, MarkState, Tag, TagAssignment, TagGroup, TagSource

_MOST_PURCHASES = 20
_MOST_TASKS = 20
SOURCE_WORDS: dict[str, str] = {
    TagSource.CHANNEL: "渠道活码",
    TagSource.RULE: "自动规则",
    TagSource.GUIDE: "导购",
    TagSource.WECOM: "企业微信",
    TagSource.IMPORT: "导入",
}
MARK_WORDS: dict[str, str] = {
    MarkState.PENDING: "等待同步",
    MarkState.QUEUED: "同步中",
    MarkState.MARKED: "已同步",
    MarkState.FAILED: "同步失败",
    MarkState.WAITING: "暂不能同步",
}
STATE_WORDS: dict[str, str] = {
    TaskState.DEFERRED: "排队中",
    TaskState.OPEN: "待完成",
    TaskState.DONE: "已完成",
    TaskState.SKIPPED: "已跳过",
    TaskState.EXPIRED: "已过期",
    TaskState.WITHDRAWN: "已撤回",
}
_FOLLOW_WORDS: dict[str, str] = {
    FollowState.HALF: "待导购确认",
    FollowState.ACTIVE: "好友",
    FollowState.ENDED: "已结束",
}
_ENDED_WORDS = {"guide": "导购删除了客户", "customer": "客户删除了导购", "transfer": "已转接"}
_GENDERS = {1: "男", 2: "女"}


@dataclass(frozen=True)
class Profile:
    """Who she is and what she is worth."""

    id: int
    name: str
    nickname: str
    external_userid: str | None
    gender: str | None
    member_no: str | None
    level: str | None
    points: int | None
    mobile: str | None
    birthday: str | None
    wedding_day: str | None
    registered_on: date | None
    guide: str | None
    store: str | None
    channel: str | None
    followed_on: date | None
    stage: str
    spent_fen: int
    purchases: int
    last_on: date | None
    rfm: str | None


@dataclass(frozen=True)
class TagLine:
    """A tag and how far it is in WeCom."""

    group: str
    name: str
    is_on: bool
    source: str
    state: str
    state_words: str
    error: str | None
    at: datetime


@dataclass(frozen=True)
class PurchaseLineView:
    """One order."""

    on: date
    items: str
    store: str | None
    amount_fen: int
    refunded_fen: int


@dataclass(frozen=True)
class TaskLine:
    """One task with why it exists and where it stands."""

    on: date
    sop_id: int
    sop: str
    title: str
    guide: str | None
    state: str
    state_words: str
    reason: str
    note: str | None
    ended_at: datetime | None


def profile(session: Session, contact_id: int, secret_key: str) -> Profile | None:
    """The customer, or None; a row that was merged away is not one."""
    row = session.execute(
        select(Contact, Member, Guide.name, Store.name, ChannelCode.name, ContactScore)
        .outerjoin(Member, Member.contact_id == Contact.id)
        .outerjoin(Guide, Guide.id == Contact.guide_id)
        .outerjoin(Store, Store.id == Guide.store_id)
        .outerjoin(ChannelCode, ChannelCode.id == Contact.channel_code_id)
        .outerjoin(ContactScore, ContactScore.contact_id == Contact.id)
        .where(Contact.id == contact_id)
    ).one_or_none()
    if row is None or row[0].merged_into_id is not None:
        return None
    contact, member, guide, store, channel, score = row
    grades = (score.recency, score.frequency, score.monetary) if score else (None,)
    return Profile(
        id=contact.id,
        name=people_words.person(contact.name, member.name if member else None),
        nickname=contact.name,
        external_userid=contact.external_userid,
        gender=_GENDERS.get(contact.gender),
        member_no=member.member_no if member else None,
        level=member.level if member else None,
        points=member.points if member else None,
        mobile=_mobile(member, secret_key),
        birthday=_birthday(member),
        wedding_day=_day(member.wedding_month, member.wedding_day) if member else None,
        registered_on=member.registered_on if member else None,
        guide=guide,
        store=store,
        channel=channel,
        followed_on=contact.followed_on,
        stage=STAGE_LABELS.get(score.stage, "–") if score else "–",
        spent_fen=score.total_spend_fen if score else 0,
        purchases=score.purchase_count if score else 0,
        last_on=score.last_purchased_on if score else None,
        rfm=None if None in grades else "近 {} · 频 {} · 额 {}".format(*grades),
    )


def tags(session: Session, contact_id: int) -> list[TagLine]:
    """Her tags, those on their way out included."""
    rows = session.execute(
        select(TagAssignment, Tag.name, TagGroup.name)
        .join(Tag, Tag.id == TagAssignment.tag_id)
        .join(TagGroup, TagGroup.id == Tag.group_id)
        .where(TagAssignment.contact_id == contact_id)
        .order_by(TagGroup.position, TagGroup.id, Tag.position, Tag.id)
    )
    return [
        TagLine(
            group,
            name,
            row.is_on,
            SOURCE_WORDS.get(row.source, row.source),
            row.mark_state,
            MARK_WORDS.get(row.mark_state, row.mark_state),
            row.mark_error,
            row.assigned_at,
        )
        for row, name, group in rows
    ]


def purchases(session: Session, contact_id: int) -> list[PurchaseLineView]:
    """The newest orders with what was in them, in one statement."""
    in_order = aggregate_order_by(literal("、"), PurchaseLine.line_no)
    items = (
        select(func.string_agg(PurchaseLine.name, in_order))
        .where(PurchaseLine.purchase_id == Purchase.id)
        .correlate(Purchase)
        .scalar_subquery()
    )
    rows = session.execute(
        select(Purchase, items, Store.name)
        .outerjoin(Store, Store.id == Purchase.store_id)
        .where(Purchase.contact_id == contact_id)
        .order_by(Purchase.purchased_on.desc(), Purchase.id.desc())
        .limit(_MOST_PURCHASES)
    )
    return [
        PurchaseLineView(row.purchased_on, names or "–", store, row.amount_fen, row.refunded_fen)
        for row, names, store in rows
    ]


def tasks(session: Session, contact_id: int, day: date) -> list[TaskLine]:
    """Her newest tasks, each with why."""
    rows = session.execute(
        select(Task, SopStep.title, Sop.id, Sop.name, Guide.name)
        .join(SopStep, SopStep.id == Task.step_id)
        .join(Enrollment, Enrollment.id == Task.enrollment_id)
        .join(Sop, Sop.id == Enrollment.sop_id)
        .outerjoin(Guide, Guide.id == Task.guide_id)
        .where(Task.contact_id == contact_id)
        .order_by(func.coalesce(Task.planned_on, Task.due_on).desc(), Task.id.desc())
        .limit(_MOST_TASKS)
    )
    return [
        TaskLine(
            task.planned_on or task.due_on,
            sop_id,
            sop_name,
            title,
            guide,
            task.state,
            STATE_WORDS.get(task.state, task.state),
            why.reason(task.why, task.planned_on or day),
            task.outcome or task.state_reason,
            task.ended_at,
        )
        for task, title, sop_id, sop_name, guide in rows
    ]


def relations(session: Session, contact_id: int) -> list[tuple[str, str | None, str, date]]:
    """(guide, store, how it stands, since) of everyone who follows or followed her."""
    rows = session.execute(
        select(FollowRelation, Guide.name, Store.name)
        .join(Guide, Guide.id == FollowRelation.guide_id)
        .outerjoin(Store, Store.id == Guide.store_id)
        .where(FollowRelation.contact_id == contact_id)
        .order_by(FollowRelation.state == FollowState.ENDED, FollowRelation.followed_at)
    )
    return [
        (
            guide,
            store,
            _ENDED_WORDS.get(row.ended_by or "", _FOLLOW_WORDS.get(row.state, row.state)),
            (row.ended_on or row.followed_on)
            if row.state == FollowState.ENDED
            else row.followed_on,
        )
        for row, guide, store in rows
    ]


def _mobile(member: Member | None, secret_key: str) -> str | None:
    if member is None or member.mobile_sealed is None:
        return None
    try:
        return mobiles.mask_mobile(mobiles.open_mobile(member.mobile_sealed, secret_key))
    except DaogouError:
        # Sealed with another key: it cannot be shown, and that is no reason to hide the rest.
        return "无法解密"


def _birthday(member: Member | None) -> str | None:
    if member is None:
        return None
    words = _day(member.birth_month, member.birth_day)
    return f"农历 {words}" if words and member.birthday_is_lunar else words


def _day(month: int | None, number: int | None) -> str | None:
    return f"{month}月{number}日" if month and number else None
