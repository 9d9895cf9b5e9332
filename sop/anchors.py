"""The SELECTs behind the triggers: who gets which day 0 in a window of days (基准日)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Integer,
    Select,
    Text,
    and_,
    cast,
    func,
    literal,
    null,
    select,
)
from sqlalchemy.sql.elements import ColumnElement

from bot.crm.models import (
    Contact,
    FestivalDay,
    FollowRelation,
    FollowState,
    Member,
    Purchase,
    PurchaseLine,
)
from sop.occurrences import earlier_years, kept_between
from tagging.models import ContactScore, LifecycleStage, Tag, TagAssignment, TagGroup

STAGE_LABELS: dict[str, str] = {
    LifecycleStage.NEW: "新客",
    LifecycleStage.ACTIVE: "活跃",
    LifecycleStage.LOYAL: "忠诚",
    LifecycleStage.DORMANT: "沉睡",
    LifecycleStage.CHURNED: "流失",
}
# WeCom's add_way of a customer handed over by HQ: an old friend with a new guide, no new friend.
_HANDED_OVER = 202

Anchors = Select[tuple[int, int | None, date, datetime | None, str]]
Params = Mapping[str, Any]


def followed(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the day a guide and the contact became friends; the task stays with that guide."""
    relation = FollowRelation
    return _anchors(
        relation.contact_id,
        relation.followed_on,
        _on(relation.followed_on, " 加为好友"),
        guide_id=relation.guide_id,
        at=relation.followed_at,
    ).where(
        relation.state != FollowState.ENDED,
        relation.followed_on.between(first, last),
        relation.add_way.is_distinct_from(_HANDED_OVER),
    )


def purchased(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the day of an order that was not given back whole."""
    return _anchors(
        Purchase.contact_id,
        Purchase.purchased_on,
        _on(Purchase.purchased_on, " 买过") + _bought(params),
        at=Purchase.purchased_at,
    ).where(Purchase.purchased_on.between(first, last), *_counts(params))


def purchase_anniversary(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the same calendar day in a later year."""
    pairs = earlier_years(first, last)
    days = (
        func.unnest(
            _array([kept for kept, _ in pairs], Date()),
            _array([source for _, source in pairs], Date()),
        )
        .table_valued("kept_on", "source_on", name="anniversary")
        .render_derived()
    )
    kept_on = cast(days.c.kept_on, Date)
    return (
        _anchors(
            Purchase.contact_id,
            kept_on,
            func.to_char(Purchase.purchased_on, 'YYYY"年"FMMM"月"FMDD"日 买过"') + _bought(params),
        )
        .join_from(days, Purchase, Purchase.purchased_on == days.c.source_on)
        .where(*_counts(params))
    )


def birthday(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the birthday, solar or lunar as the member said; 29 February is kept on the 28th."""
    kept = kept_between(first, last)
    days = (
        func.unnest(
            _array([day.on for day in kept], Date()),
            _array([day.month for day in kept], Integer()),
            _array([day.day for day in kept], Integer()),
            _array([day.is_lunar for day in kept], Boolean()),
        )
        .table_valued("kept_on", "month", "day", "is_lunar", name="kept")
        .render_derived()
    )
    kept_on = cast(days.c.kept_on, Date)
    return _anchors(Member.contact_id, kept_on, _on(kept_on, " 生日")).join_from(
        days,
        Member,
        and_(
            Member.birth_month == days.c.month,
            Member.birth_day == days.c.day,
            Member.birthday_is_lunar == days.c.is_lunar,
        ),
    )


def stage_entered(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the day the contact came into a lifecycle stage and has been in it since."""
    label = STAGE_LABELS[params["stage"]]
    since_on = ContactScore.stage_since_on
    return _anchors(ContactScore.contact_id, since_on, _on(since_on, f" 进入{label}阶段")).where(
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
    return _anchors(
        given.contact_id,
        given.assigned_on,
        _on(given.assigned_on, f" 打上标签「{params['tag']}」"),
        at=given.assigned_at,
    ).where(given.tag_id == tag_id, given.is_on, given.assigned_on.between(first, last))


def festival(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the festival, for every contact somebody follows."""
    held_on = FestivalDay.held_on
    fact = literal(f"{params['name']} ") + _on(held_on, "")
    return (
        _anchors(Contact.id, held_on, fact)
        .join_from(FestivalDay, Contact, Contact.guide_id.is_not(None))
        .where(FestivalDay.name == params["name"], held_on.between(first, last))
    )


def fixed_date(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is one given date, for every contact somebody follows."""
    on = date.fromisoformat(params["on"])
    kept_on = cast(literal(on), Date)
    return _anchors(Contact.id, kept_on, _on(kept_on, "")).where(
        Contact.guide_id.is_not(None), kept_on.between(first, last)
    )


def _anchors(
    contact_id: Any, anchored_on: Any, fact: Any, *, guide_id: Any = None, at: Any = None
) -> Anchors:
    return select(
        contact_id.label("contact_id"),
        (cast(null(), BigInteger) if guide_id is None else guide_id).label("guide_id"),
        anchored_on.label("anchored_on"),
        (cast(null(), DateTime(timezone=True)) if at is None else at).label("anchored_at"),
        cast(fact, Text).label("fact"),
    )


def _on(day: Any, words: str) -> ColumnElement[Any]:
    """ "10月3日" and some words, in SQL."""
    return func.to_char(day, 'FMMM"月"FMDD"日"').op("||")(literal(words, Text))


def _counts(params: Params) -> list[ColumnElement[bool]]:
    """Which orders count: money was kept, enough of it, and the category was in it."""
    kept_fen = Purchase.amount_fen - Purchase.refunded_fen
    wanted: list[ColumnElement[bool]] = [kept_fen > 0]
    if params.get("min_fen") is not None:
        wanted.append(kept_fen >= params["min_fen"])
    if params.get("category") is not None:
        line = select(PurchaseLine.purchase_id).where(
            PurchaseLine.purchase_id == Purchase.id, PurchaseLine.category == params["category"]
        )
        wanted.append(line.exists())
    return wanted


def _bought(params: Params) -> ColumnElement[Any]:
    if params.get("category") is not None:
        return literal(params["category"], Text)
    named = (
        select(func.string_agg(PurchaseLine.category.distinct(), "、"))
        .where(PurchaseLine.purchase_id == Purchase.id)
        .scalar_subquery()
    )
    return func.coalesce(named, literal("商品", Text))


def _array(values: Sequence[Any], kind: Any) -> ColumnElement[Any]:
    # One parameter an array: the statement's text stays the same however long the window is.
    return literal(list(values), ARRAY(kind))
