"""Day 0 from orders and carts (订单与购物车)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import Boolean, Text, any_, func, literal, literal_column, select
from sqlalchemy.sql.elements import ColumnElement

from bot.crm import carts
from bot.crm.models import Cart, Purchase, PurchaseLine, Store
from sop.anchors.people import anniversaries
from sop.anchors.rows import Anchors, Params, anchors, on, with_year
from tagging.models import ContactScore


def purchased(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the day of an order that was not given back whole."""
    return anchors(
        Purchase.contact_id,
        Purchase.purchased_on,
        on(Purchase.purchased_on, " 买过") + _bought(params),
        at=Purchase.purchased_at,
    ).where(Purchase.purchased_on.between(first, last), *_counts(params))


def purchase_anniversary(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the same calendar day in a later year."""
    days, kept_on, source_on = anniversaries(first, last, params)
    return (
        anchors(
            Purchase.contact_id,
            kept_on,
            with_year(Purchase.purchased_on, " 买过") + _bought(params),
        )
        .join_from(days, Purchase, Purchase.purchased_on == source_on)
        .where(*_counts(params))
    )


def idle(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the day on which nothing has been bought for so many days."""
    since = timedelta(days=params["days"])
    last_on = ContactScore.last_purchased_on
    fact = on(last_on, f" 之后 {params['days']} 天没有再买")
    # Compared by the column itself, for its index.
    return anchors(ContactScore.contact_id, last_on + params["days"], fact).where(
        last_on.between(first - since, last - since)
    )


def cart_open(first: date, last: date, params: Params) -> Anchors:
    """Day 0 is the day something was put into a cart that is still full and not bought since."""
    item = func.coalesce(Cart.first_item, literal("商品", Text))
    found = anchors(
        Cart.contact_id,
        Cart.opened_on,
        on(Cart.opened_on, " 加购了").op("||")(item),
        at=Cart.opened_at,
    ).where(
        Cart.opened_on.between(first, last),
        literal_column(carts.IS_OPEN.format(cart="cart"), Boolean),
    )
    if params.get("min_fen") is not None:
        found = found.where(Cart.amount_fen >= params["min_fen"])
    if params.get("category") is not None:
        found = found.where(literal(params["category"], Text) == any_(Cart.categories))
    return found


def _counts(params: Params) -> list[ColumnElement[bool]]:
    """Which orders count: money was kept, enough of it, the category in it too, at that store."""
    kept_fen = Purchase.amount_fen - Purchase.refunded_fen
    wanted: list[ColumnElement[bool]] = [kept_fen > 0]
    if params.get("min_fen") is not None:
        wanted.append(kept_fen >= params["min_fen"])
    if params.get("category") is not None:
        line = select(PurchaseLine.purchase_id).where(
            PurchaseLine.purchase_id == Purchase.id,
            PurchaseLine.category == params["category"],
            ~PurchaseLine.is_returned,
        )
        wanted.append(line.exists())
    if params.get("store") is not None:
        store_id = select(Store.id).where(Store.code == params["store"]).scalar_subquery()
        wanted.append(Purchase.store_id == store_id)
    return wanted


def _bought(params: Params) -> ColumnElement[Any]:
    if params.get("category") is not None:
        return literal(params["category"], Text)
    named = (
        select(func.string_agg(PurchaseLine.category.distinct(), "、"))
        .where(PurchaseLine.purchase_id == Purchase.id, ~PurchaseLine.is_returned)
        .scalar_subquery()
    )
    return func.coalesce(named, literal("商品", Text))
