"""The field over the way from home to the store (距离), of whoever told us where she lives."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    and_,
    cast,
    func,
    join,
    literal_column,
    true,
)

from bot.crm import distances
from bot.crm.models import Contact, Guide, Member, Store
from tagging.fields.field import Field, Home, compare
from tagging.fields.kinds import Kilometers

_KM_AWAY = literal_column(
    distances.km(
        "member.home_latitude", "member.home_longitude", "store.latitude", "store.longitude"
    ),
    Float,
)
KM = Kilometers()
#: The member's home beside the store of the responsible guide.
HOME = Home(
    join(
        Member.__table__,
        join(Guide.__table__, Store.__table__, Store.id == Guide.store_id),
        true(),
    ),
    and_(Member.contact_id == Contact.id, Guide.id == Contact.guide_id),
    # Never asked beside the contact: without her the two halves have nothing in common.
    False,
)


def _tenths() -> ColumnElement[int]:
    """The great-circle distance in tenths of a kilometer, rounded down; NULL: unknown."""
    return cast(func.floor(_KM_AWAY * 10), BigInteger)


def _far(op: str, value: Any, day: date) -> ColumnElement[bool]:
    wanted = [round(one * 10) for one in value] if op == "between" else round(value * 10)
    return compare(_tenths(), op, wanted)


FIELDS = (
    Field(
        "distance_to_store_km",
        "住处离门店",
        KM,
        HOME,
        _far,
        lambda day: _tenths(),
        gap="不知道住处或门店位置的",
        show=lambda tenths: KM.show(tenths / 10),
        example=("<=", 3),
    ),
)
