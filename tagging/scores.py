"""What the purchases of a contact add up to (消费汇总), kept in `contact_score`.

Amounts are net: refunds are taken off, and an order of which nothing is left (given back whole, or
for free) does not count, neither as a purchase nor with its categories. A partial refund lowers
the order; a category goes with the last of its goods that came back (`bot.crm.returns`), and a
refund that names no goods takes none. The same statements count those whom the night has to look
at again (`tagging.recount`) and a few contacts after an event. A row is written only where
something changed, and then once: totals and stage stand in seven indexes, so every further write
of a row would cost as much as the first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Select,
    Text,
    case,
    cast,
    desc,
    func,
    literal,
    literal_column,
    select,
    text,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, array, insert
from sqlalchemy.orm import Session

from bot.crm import brand
from bot.crm.brand import BrandSettings
from bot.crm.models import Contact, ContactActivity, Member, Purchase, PurchaseLine
from tagging import churn, lifecycle, recount, rfm, tier
from tagging.kept import keep
from tagging.models import ChurnRisk, ContactScore
from tagging.scope import only

_NET_FEN = Purchase.amount_fen - Purchase.refunded_fen
# Changes with every writing of the row, whoever writes it.
_ROW_VERSION: ColumnElement[Any] = literal_column(f"{ContactScore.__tablename__}.xmin")
_KEPT = "fresh_total"
# Read for the columns made of them, and kept nowhere.
_FOR_OTHERS = frozenset({"deleted_on", "member_level", "active_on", "is_followed"})
#: Narrows a column of contact ids to those who are counted.
Whom = Callable[[Any], ColumnElement[bool]]
# Fewer new values than this do not make the planner's picture of the table wrong.
_MANY_ROWS = 10_000


def refresh(session: Session, day: date, contact_ids: Collection[int] | None = None) -> int:
    """Bring totals, RFM, stage, tier and warning up to `day`; returns the number of row changes."""
    limits = brand.settings(session)
    if contact_ids is not None:
        added = add_missing(session, contact_ids)
        fresh = _totals(_these(contact_ids), day).subquery()
        return added + _update(session, _wanted(day, limits, fresh))
    # The sums of a whole brand fit into memory with this, and would be sorted on disk without.
    session.execute(select(func.set_config("work_mem", "128MB", True)))
    if recount.is_whole(session, day, limits):
        changed = _count(session, day, limits, _everybody, is_whole=True)
    else:
        recount.gather(session, day, limits)
        changed = _count(session, day, limits, _gathered, is_whole=False)
        recount.drop(session)
        rfm.measure(session, day, ContactScore.__table__)
        changed += rfm.regrade(session, day, tier.following(limits.tier))
    recount.remember(session, day, limits)
    if changed > _MANY_ROWS:
        # The rules come next, and would be planned for the table as it was.
        session.execute(text("ANALYZE contact_score"))
    return changed


def _count(
    session: Session, day: date, limits: BrandSettings, whom: Whom, *, is_whole: bool
) -> int:
    """Count into a table of this transaction, then write what differs."""
    session.execute(text(f"DROP TABLE IF EXISTS pg_temp.{_KEPT}"))
    totals = keep(session, _totals(whom, day), _KEPT)
    session.execute(text(f"ANALYZE pg_temp.{_KEPT}"))
    if is_whole:
        # Before the first row is graded, and so that each is written once.
        rfm.measure(session, day, totals)
    wanted = _wanted(day, limits, totals)
    changed = _insert_missing(session, wanted) + _update(session, wanted, is_from_earlier=True)
    session.execute(text(f"DROP TABLE pg_temp.{_KEPT}"))
    return changed


def _everybody(contact_id: Any) -> ColumnElement[bool]:
    return true()


def _gathered(contact_id: Any) -> ColumnElement[bool]:
    return contact_id.in_(select(recount.TO_COUNT.c.contact_id))  # type: ignore[no-any-return]


def _these(contact_ids: Collection[int]) -> Whom:
    return lambda contact_id: only(contact_id, contact_ids)


def add_missing(session: Session, contact_ids: Collection[int] | None = None) -> int:
    """Give a score row to every contact that has none; returns how many."""
    has_row = select(ContactScore.contact_id).where(ContactScore.contact_id == Contact.id).exists()
    new = select(Contact.id).where(~has_row, only(Contact.id, contact_ids))
    statement = (
        insert(ContactScore)
        .from_select(["contact_id"], new)
        .on_conflict_do_nothing()
        .returning(ContactScore.contact_id)
    )
    counted = statement.cte("added")
    return session.scalar(select(func.count()).select_from(counted)) or 0


def _totals(whom: Whom, day: date) -> Select[*tuple[Any, ...]]:
    """The purchases of each contact, whenever they were reported, and what else counts."""
    orders, categories = _orders(whom, day), _categories(whom)
    deletions = churn.deletions(whom, day)
    nothing = cast(array([], type_=Text), ARRAY(Text))
    return (
        select(
            Contact.id.label("contact_id"),
            # Which writing of the row was there when this was counted; NULL: there is none yet.
            _ROW_VERSION.label("row_version"),
            func.coalesce(orders.c.purchase_count, 0).label("purchase_count"),
            func.coalesce(orders.c.total_spend_fen, 0).label("total_spend_fen"),
            func.coalesce(orders.c.total_spend_fen // orders.c.purchase_count, 0).label(
                "average_order_fen"
            ),
            orders.c.first_purchased_on,
            orders.c.last_purchased_on,
            func.coalesce(categories.c.bought_categories, nothing).label("bought_categories"),
            categories.c.favourite_category,
            churn.rhythm(orders.c.purchase_count, orders.c.days).label("rhythm_days"),
            func.coalesce(orders.c.spent_year_fen, 0).label("spent_year_fen"),
            func.coalesce(orders.c.spent_year_before_fen, 0).label("spent_year_before_fen"),
            deletions.c.deleted_on,
            Member.level.label("member_level"),
            func.greatest(
                ContactActivity.replied_on, ContactActivity.visited_on, ContactActivity.viewed_on
            ).label("active_on"),
        )
        .select_from(Contact)
        .outerjoin(ContactScore, ContactScore.contact_id == Contact.id)
        .outerjoin(orders, orders.c.contact_id == Contact.id)
        .outerjoin(categories, categories.c.contact_id == Contact.id)
        .outerjoin(deletions, deletions.c.contact_id == Contact.id)
        .outerjoin(Member, Member.contact_id == Contact.id)
        .outerjoin(ContactActivity, ContactActivity.contact_id == Contact.id)
        .where(whom(Contact.id))
    )


def _wanted(day: date, limits: BrandSettings, totals: Any) -> Select[*tuple[Any, ...]]:
    """The whole row of each contact, as it should be on `day`."""
    known = _known(day, limits, totals)
    points = tier.points_of(known, [known.c[name] for name in rfm.NAMES], day, limits.tier)
    made = tier.columns(points, limits.tier) | churn.warning(known, day, limits.churn)
    kept = [one for one in known.c if one.name not in _FOR_OTHERS]
    return select(*kept, *(column.label(name) for name, column in made.items()))


def _known(day: date, limits: BrandSettings, totals: Any) -> Any:
    """What tier and warning are made of."""
    bounds = rfm.bounds()
    stage, since_on = lifecycle.stage_of(totals, day, limits.lifecycle)
    # OFFSET 0: worked out once a contact, and not again for each column that speaks of it.
    return (
        select(
            *totals.c,
            *rfm.grades(totals, day, bounds),
            stage.label("stage"),
            func.least(since_on, literal(day)).label("stage_since_on"),
            Contact.guide_id.is_not(None).label("is_followed"),
        )
        .select_from(totals)
        .join(Contact, Contact.id == totals.c.contact_id)
        .join(bounds, true())
        .offset(literal_column("0"))
        .subquery("known")
    )


def _insert_missing(session: Session, wanted: Select[*tuple[Any, ...]]) -> int:
    """New contacts get their row with everything in it."""
    fresh = wanted.subquery("fresh")
    columns = [one for one in fresh.c if one.name != "row_version"]
    statement = (
        insert(ContactScore)
        .from_select(
            [one.name for one in columns], select(*columns).where(fresh.c.row_version.is_(None))
        )
        .on_conflict_do_nothing()
        .execution_options(synchronize_session=False, preserve_rowcount=True)
    )
    return max(0, session.execute(statement).rowcount)  # type: ignore[attr-defined,no-any-return]


def _update(
    session: Session, wanted: Select[*tuple[Any, ...]], *, is_from_earlier: bool = False
) -> int:
    """Rows in which anything differs are written; the day of a stage stays while the stage does,
    and that of a warning which has no day of its own.

    `is_from_earlier`: counted by a statement before this one. A row that somebody else has written
    since then was counted from newer facts, and stays.
    """
    fresh = wanted.subquery("fresh")
    own = ("contact_id", "row_version", "stage_since_on", "at_risk_since")
    names = [one.name for one in fresh.c if one.name not in own]
    entered = (ContactScore.stage != fresh.c.stage) | ContactScore.stage_since_on.is_(None)
    since_on = case((entered, fresh.c.stage_since_on), else_=ContactScore.stage_since_on)
    still = (ContactScore.risk == fresh.c.risk) & (fresh.c.risk == ChurnRisk.SPEND.value)
    at_risk_since = case((still, ContactScore.at_risk_since), else_=fresh.c.at_risk_since)
    values = {name: fresh.c[name] for name in names}
    values |= {"stage_since_on": since_on, "at_risk_since": at_risk_since}
    old = tuple_(*(getattr(ContactScore, name) for name in values))
    new = tuple_(*values.values())
    changed = (
        update(ContactScore)
        .where(ContactScore.contact_id == fresh.c.contact_id, old.is_distinct_from(new))
        .values(values)
        .execution_options(synchronize_session=False)
    )
    if is_from_earlier:
        changed = changed.where(fresh.c.row_version == _ROW_VERSION)
    return session.execute(changed).rowcount  # type: ignore[attr-defined,no-any-return]


def _orders(whom: Whom, day: date) -> CTE:
    return (
        select(
            Purchase.contact_id,
            func.count().label("purchase_count"),
            func.sum(_NET_FEN).cast(ContactScore.total_spend_fen.type).label("total_spend_fen"),
            func.min(Purchase.purchased_on).label("first_purchased_on"),
            func.max(Purchase.purchased_on).label("last_purchased_on"),
            func.array_agg(Purchase.purchased_on).label("days"),
            *churn.year_sums(_NET_FEN, day),
        )
        .where(_NET_FEN > 0, whom(Purchase.contact_id))
        .group_by(Purchase.contact_id)
        .cte("orders")
    )


def _categories(whom: Whom) -> CTE:
    """The categories bought, and as favourite the one that most money went to."""
    spent = (
        select(
            Purchase.contact_id,
            PurchaseLine.category,
            func.sum(PurchaseLine.amount_fen).label("spent_fen"),
        )
        .join(PurchaseLine, PurchaseLine.purchase_id == Purchase.id)
        .where(
            _NET_FEN > 0,
            PurchaseLine.category.is_not(None),
            PurchaseLine.category != "",
            ~PurchaseLine.is_returned,
            whom(Purchase.contact_id),
        )
        .group_by(Purchase.contact_id, PurchaseLine.category)
        .cte("spent")
    )
    by_money = func.array_agg(
        aggregate_order_by(spent.c.category, desc(spent.c.spent_fen), spent.c.category),
        type_=ARRAY(Text),
    )
    return (
        select(
            spent.c.contact_id,
            func.array_agg(
                aggregate_order_by(spent.c.category, spent.c.category), type_=ARRAY(Text)
            ).label("bought_categories"),
            by_money[1].label("favourite_category"),
        )
        .group_by(spent.c.contact_id)
        .cte("categories")
    )
