"""Day 0 from the book (客户与会员): new friends, friends lost, yearly days, stages, tags, risk."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any

from sqlalchemy import Boolean, Date, Integer, Text, and_, case, cast, func, literal, select
from sqlalchemy.sql.elements import ColumnElement

from bot.crm.models import Contact, FollowRelation, FollowState, Member, Store, Visit
from bot.crm.yearly import earlier_years, kept_between
from sop.anchors.rows import Anchors, Params, anchors, array, on, with_year, written
from tagging.models import (
    ChurnRisk,
    ContactScore,
    LifecycleStage,
    Tag,
    TagAssignment,
    TagGroup,
)

STAGE_LABELS: dict[str, str] = {
    LifecycleStage.NEW: "新客",
    LifecycleStage.ACTIVE: "活跃",
    LifecycleStage.LOYAL: "忠诚",
    LifecycleStage.DORMANT: "沉睡",
    LifecycleStage.CHURNED: "流失",
}
RISK_LABELS: dict[str, str] = {
    ChurnRisk.GAP: "很久没有再买",
    ChurnRisk.SPEND: "消费明显减少",
    ChurnRisk.DELETED: "删除了导购好友",
}
# WeCom's add_way of a customer handed over by HQ: an old friend with a new guide, no new friend.
_HANDED_OVER = 202


def followed(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the day a guide and the contact became friends; the task stays with that guide."""
    relation = FollowRelation
    return anchors(
        relation.contact_id,
        relation.followed_on,
        on(relation.followed_on, " 加为好友"),
        guide_id=relation.guide_id,
        at=relation.followed_at,
    ).where(
        relation.state != FollowState.ENDED,
        relation.followed_on.between(first, last),
        relation.add_way.is_distinct_from(_HANDED_OVER),
    )


def lost(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the day the contact deleted the last guide who followed her."""
    relation = FollowRelation
    return (
        anchors(
            relation.contact_id,
            relation.ended_on,
            on(relation.ended_on, " 删除了导购好友"),
            at=relation.ended_at,
        )
        .join(Contact, Contact.id == relation.contact_id)
        .where(
            relation.state == FollowState.ENDED,
            relation.ended_by == "customer",
            relation.ended_on.between(first, last),
            Contact.guide_id.is_(None),
        )
    )


def birthday(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the birthday, solar or lunar as the member said; 29 February is kept on the 28th."""
    kept = kept_between(first, last)
    days = (
        func.unnest(
            array([day.on for day in kept], Date()),
            array([day.month for day in kept], Integer()),
            array([day.day for day in kept], Integer()),
            array([day.is_lunar for day in kept], Boolean()),
        )
        .table_valued("kept_on", "month", "day", "is_lunar", name="kept")
        .render_derived()
    )
    kept_on = cast(days.c.kept_on, Date)
    return anchors(Member.contact_id, kept_on, on(kept_on, " 生日")).join_from(
        days,
        Member,
        and_(
            Member.birth_month == days.c.month,
            Member.birth_day == days.c.day,
            Member.birthday_is_lunar == days.c.is_lunar,
        ),
    )


def wedding_anniversary(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the wedding day by the solar calendar; `years` asks for certain anniversaries."""
    kept = [day for day in kept_between(first, last) if not day.is_lunar]
    days = (
        func.unnest(
            array([day.on for day in kept], Date()),
            array([day.month for day in kept], Integer()),
            array([day.day for day in kept], Integer()),
            array([day.on.year for day in kept], Integer()),
        )
        .table_valued("kept_on", "month", "day", "year", name="kept")
        .render_derived()
    )
    kept_on, year = cast(days.c.kept_on, Date), cast(days.c.year, Integer)
    found = anchors(Member.contact_id, kept_on, on(kept_on, " 结婚纪念日")).join_from(
        days,
        Member,
        and_(Member.wedding_month == days.c.month, Member.wedding_day == days.c.day),
    )
    # The day of the wedding itself is no anniversary.
    found = found.where(func.coalesce(Member.wedding_year, 0) < year)
    if params.get("years"):
        found = found.where((year - Member.wedding_year).in_(params["years"]))
    return found


def member_anniversary(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the day the contact became a member, in a later year."""
    days, kept_on, source_on = anniversaries(first, last, params)
    fact = with_year(Member.registered_on, " 入会")
    return anchors(Member.contact_id, kept_on, fact).join_from(
        days, Member, Member.registered_on == source_on
    )


def stage_entered(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the day the contact came into a lifecycle stage and has been in it since."""
    label = STAGE_LABELS[params["stage"]]
    since_on = ContactScore.stage_since_on
    return anchors(ContactScore.contact_id, since_on, on(since_on, f" 进入{label}阶段")).where(
        ContactScore.stage == params["stage"], since_on.between(first, last)
    )


def tag_added(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the day a tag was put on the contact; the tag must still be there."""
    group, _, name = str(params["tag"]).partition("/")
    tag_id = (
        select(Tag.id)
        .join(TagGroup, TagGroup.id == Tag.group_id)
        .where(TagGroup.name == group, Tag.name == name, Tag.is_active)
        .scalar_subquery()
    )
    given = TagAssignment
    return anchors(
        given.contact_id,
        given.assigned_on,
        on(given.assigned_on, f" 打上标签「{params['tag']}」"),
        at=given.assigned_at,
    ).where(given.tag_id == tag_id, given.is_on, given.assigned_on.between(first, last))


def at_risk(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the day a contact who may be leaving was first seen; the warning still stands."""
    since_on = ContactScore.at_risk_since
    fact = on(since_on, " 起有流失风险：").op("||")(_risk_words())
    found = anchors(ContactScore.contact_id, since_on, fact).where(since_on.between(first, last))
    if params.get("reason"):
        found = found.where(ContactScore.risk == params["reason"])
    return found


def visited(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is a day on which the contact came to a store or to an event."""
    fact = on(Visit.visited_on, " 到访（").op("||")(Visit.kind).op("||")(literal("）", Text))
    found = anchors(Visit.contact_id, Visit.visited_on, fact, at=Visit.visited_at).where(
        Visit.visited_on.between(first, last)
    )
    if params.get("visit_kind"):
        found = found.where(Visit.kind == params["visit_kind"])
    if params.get("store"):
        store_id = select(Store.id).where(Store.code == params["store"]).scalar_subquery()
        found = found.where(Visit.store_id == store_id)
    return found


def anniversaries(
    first: date, last: date, params: Params
) -> tuple[Any, ColumnElement[date], ColumnElement[date]]:
    """A table of (day in the window, the same day of an earlier year) and its two columns.

    `years` of the trigger keeps certain anniversaries only.
    """
    kept, source = _written_pairs(first, last, tuple(params.get("years") or ()))
    days = (
        func.unnest(written(kept), written(source))
        .table_valued("kept_on", "source_on", name="anniversary")
        .render_derived()
    )
    return days, cast(days.c.kept_on, Date), cast(days.c.source_on, Date)


@lru_cache(maxsize=64)
def _written_pairs(first: date, last: date, years: tuple[int, ...]) -> tuple[str, str]:
    pairs = [
        (kept.isoformat(), source.isoformat())
        for kept, source in earlier_years(first, last)
        if not years or kept.year - source.year in years
    ]
    kept_on = ",".join(kept for kept, _ in pairs)
    source_on = ",".join(source for _, source in pairs)
    return f"{{{kept_on}}}", f"{{{source_on}}}"


def _risk_words() -> ColumnElement[Any]:
    return case(
        *((ContactScore.risk == risk, literal(words, Text)) for risk, words in RISK_LABELS.items()),
        else_=literal("", Text),
    )
