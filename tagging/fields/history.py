"""Fields over single purchases (消费记录): when, before which festival, where, and given back."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    and_,
    cast,
    false,
    func,
    join,
    literal,
    select,
)

from bot.crm.brand import BrandSettings
from bot.crm.models import Brand, Contact, FestivalDay, Purchase, Store
from tagging.fields import wording
from tagging.fields.field import Field, Home, as_list
from tagging.fields.kinds import DateSpan, Flag, Words

_KEPT = Purchase.amount_fen > Purchase.refunded_fen
_SETTING = "festival_window_days"


def _window_days() -> ColumnElement[int]:
    """How many days before a festival count; read with the condition, for it is the brand's."""
    said = (
        select(cast(Brand.settings[_SETTING].astext, Integer))
        .where(Brand.id == 1)
        .scalar_subquery()
    )
    return func.coalesce(said, BrandSettings().festival_window_days)


PURCHASE = Home(Purchase.__table__, Purchase.contact_id == Contact.id, False)
FESTIVAL = Home(
    join(
        Purchase.__table__,
        FestivalDay.__table__,
        and_(
            Purchase.purchased_on >= FestivalDay.held_on - _window_days(),
            Purchase.purchased_on <= FestivalDay.held_on,
        ),
    ),
    Purchase.contact_id == Contact.id,
    False,
)
STORE = Home(
    join(Purchase.__table__, Store.__table__, Store.id == Purchase.store_id),
    Purchase.contact_id == Contact.id,
    False,
)


def _in_span(op: str, value: Any, day: date) -> ColumnElement[bool]:
    first, last = (date.fromisoformat(one) for one in value)
    return and_(_KEPT, Purchase.purchased_on.between(first, last))


def _times_in_span(value: Any, day: date) -> ColumnElement[Any]:
    return PURCHASE.read(func.count().filter(_in_span("=", value, day)))


def _span_words(op: str, value: Any) -> str:
    when = DateSpan().show(value)
    between = when if value[0] == value[1] else f"{when}之间"
    return f"{between}买过" if op == "=" else f"{between}没有买过（含从未消费的客户）"


def _festival_words(op: str, value: Any) -> str:
    said = "曾" if op in ("=", "in") else "从没"
    return f"{said}在{wording.either(as_list(value))}前（含当天）买过"


def _store_words(op: str, value: Any) -> str:
    if op in ("=", "in"):
        return f"在{wording.either(as_list(value))}买过"
    of_them = "中的任何一家" if op == "not_in" else ""
    return f"没有在{wording.listed(as_list(value))}{of_them}买过"


def _names(column: Any) -> ColumnElement[Any]:
    """The different names among the kept purchases."""
    return func.array_agg(column.distinct()).filter(_KEPT)


FIELDS = (
    Field(
        "bought_between",
        "某段时间的消费",
        DateSpan(),
        PURCHASE,
        _in_span,
        lambda day: literal(None),
        is_many=True,
        phrase=_span_words,
        show=lambda times: f"买过 {times} 次" if times else "没有买过",
        reads=_times_in_span,
        example=("=", ["2026-01-01", "2026-06-30"]),
    ),
    Field(
        "bought_in_festival",
        "曾为节日消费",
        Words("festivals"),
        FESTIVAL,
        lambda op, value, day: and_(_KEPT, FestivalDay.name.in_(as_list(value))),
        lambda day: _names(FestivalDay.name),
        gap="没有在节前买过",
        is_many=True,
        phrase=_festival_words,
        example=("=", "七夕"),
    ),
    Field(
        "bought_in_store",
        "消费过的门店",
        Words("stores"),
        STORE,
        lambda op, value, day: and_(_KEPT, Store.code.in_(as_list(value))),
        lambda day: _names(Store.code),
        gap="没有在门店买过",
        is_many=True,
        phrase=_store_words,
        example=("=", "SH001"),
    ),
    Field(
        "refunded",
        "退款",
        Flag("有过退款", "没有退款"),
        PURCHASE,
        lambda op, value, day: Purchase.refunded_fen > 0,
        lambda day: func.coalesce(func.bool_or(Purchase.refunded_fen > 0), false()),
        example=("=", True),
    ),
)
