"""What the purchases of a contact add up to (消费汇总), kept in `contact_score`.

Amounts are net: refunds are taken off, and an order of which nothing is left (given back whole, or
for free) does not count, neither as a purchase nor with its categories. A partial refund lowers
the order, not a category. The same statements refresh everybody at night and a few contacts after
an event; a row is written only where something changed, and then once: totals, RFM and stage
stand in seven indexes, so every further write of a row would cost as much as the first.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    Select,
    Text,
    case,
    cast,
    desc,
    func,
    literal,
    select,
    text,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, array, insert
from sqlalchemy.orm import Session

from bot.crm import brand
from bot.crm.models import Contact, Purchase, PurchaseLine
from tagging import lifecycle, rfm
from tagging.models import ContactScore
from tagging.scope import only

_NET_FEN = Purchase.amount_fen - Purchase.refunded_fen
_KEPT = "fresh_total"
# Fewer new values than this do not make the planner's picture of the table wrong.
_MANY_ROWS = 10_000


def refresh(session: Session, day: date, contact_ids: Collection[int] | None = None) -> int:
    """Bring totals, RFM and stage up to `day`; returns how many row changes that took."""
    if contact_ids is not None:
        added = add_missing(session, contact_ids)
        return added + _update(session, _wanted(session, day, _totals(contact_ids).subquery()))
    # The sums of a whole brand fit into memory with this, and would be sorted on disk without.
    session.execute(select(func.set_config("work_mem", "128MB", True)))
    # Counted once into a table of this transaction: the bounds between the quintiles need all
    # totals before the first row can be graded.
    session.execute(text(f"DROP TABLE IF EXISTS pg_temp.{_KEPT}"))
    keep = _totals(None).into(_KEPT, temporary=True)
    session.execute(keep)
    session.execute(text(f"ANALYZE pg_temp.{_KEPT}"))
    rfm.measure(session, day, keep.table)
    changed = _insert_missing(session, _wanted(session, day, keep.table))
    changed += _update(session, _wanted(session, day, keep.table))
    session.execute(text(f"DROP TABLE pg_temp.{_KEPT}"))
    if changed > _MANY_ROWS:
        # The rules come next, and would be planned for the table as it was.
        session.execute(text("ANALYZE contact_score"))
    return changed


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


def _totals(contact_ids: Collection[int] | None) -> Select[*tuple[Any, ...]]:
    """The purchases of each contact, whenever they were reported."""
    orders, categories = _orders(contact_ids), _categories(contact_ids)
    nothing = cast(array([], type_=Text), ARRAY(Text))
    return (
        select(
            Contact.id.label("contact_id"),
            # Asked here, where nothing is written: an INSERT that looks for missing rows in its
            # own table is planned for it as it was, and may read its own new rows for each row.
            ContactScore.contact_id.is_not(None).label("has_row"),
            func.coalesce(orders.c.purchase_count, 0).label("purchase_count"),
            func.coalesce(orders.c.total_spend_fen, 0).label("total_spend_fen"),
            func.coalesce(orders.c.total_spend_fen // orders.c.purchase_count, 0).label(
                "average_order_fen"
            ),
            orders.c.first_purchased_on,
            orders.c.last_purchased_on,
            func.coalesce(categories.c.bought_categories, nothing).label("bought_categories"),
            categories.c.favourite_category,
        )
        .select_from(Contact)
        .outerjoin(ContactScore, ContactScore.contact_id == Contact.id)
        .outerjoin(orders, orders.c.contact_id == Contact.id)
        .outerjoin(categories, categories.c.contact_id == Contact.id)
        .where(only(Contact.id, contact_ids))
    )


def _wanted(session: Session, day: date, totals: Any) -> Select[*tuple[Any, ...]]:
    """The whole row of each contact, as it should be on `day`."""
    bounds = rfm.bounds()
    stage, since_on = lifecycle.stage_of(totals, day, brand.settings(session).lifecycle)
    return (
        select(
            *totals.c,
            *rfm.grades(totals, day, bounds),
            stage.label("stage"),
            func.least(since_on, literal(day)).label("stage_since_on"),
        )
        .select_from(totals)
        .join(Contact, Contact.id == totals.c.contact_id)
        .join(bounds, true())
    )


def _insert_missing(session: Session, wanted: Select[*tuple[Any, ...]]) -> int:
    """New contacts get their row with everything in it."""
    fresh = wanted.subquery("fresh")
    columns = [one for one in fresh.c if one.name != "has_row"]
    statement = (
        insert(ContactScore)
        .from_select([one.name for one in columns], select(*columns).where(~fresh.c.has_row))
        .on_conflict_do_nothing()
        .execution_options(synchronize_session=False, preserve_rowcount=True)
    )
    return max(0, session.execute(statement).rowcount)  # type: ignore[attr-defined,no-any-return]


def _update(session: Session, wanted: Select[*tuple[Any, ...]]) -> int:
    """Rows in which anything differs are written; the day of a stage stays while the stage does."""
    fresh = wanted.subquery("fresh")
    own = ("contact_id", "has_row", "stage_since_on")
    names = [one.name for one in fresh.c if one.name not in own]
    entered = (ContactScore.stage != fresh.c.stage) | ContactScore.stage_since_on.is_(None)
    since_on = case((entered, fresh.c.stage_since_on), else_=ContactScore.stage_since_on)
    old = tuple_(*(getattr(ContactScore, name) for name in names), ContactScore.stage_since_on)
    new = tuple_(*(fresh.c[name] for name in names), since_on)
    changed = (
        update(ContactScore)
        .where(
            ContactScore.contact_id == fresh.c.contact_id,
            fresh.c.has_row,
            old.is_distinct_from(new),
        )
        .values({name: fresh.c[name] for name in names} | {"stage_since_on": since_on})
        .execution_options(synchronize_session=False)
    )
    return session.execute(changed).rowcount  # type: ignore[attr-defined,no-any-return]


def _orders(contact_ids: Collection[int] | None) -> CTE:
    return (
        select(
            Purchase.contact_id,
            func.count().label("purchase_count"),
            func.sum(_NET_FEN).cast(ContactScore.total_spend_fen.type).label("total_spend_fen"),
            func.min(Purchase.purchased_on).label("first_purchased_on"),
            func.max(Purchase.purchased_on).label("last_purchased_on"),
        )
        .where(_NET_FEN > 0, only(Purchase.contact_id, contact_ids))
        .group_by(Purchase.contact_id)
        .cte("orders")
    )


def _categories(contact_ids: Collection[int] | None) -> CTE:
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
            only(Purchase.contact_id, contact_ids),
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
