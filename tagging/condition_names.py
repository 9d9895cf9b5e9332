"""The names a condition may use (条件里的名称): tags, stores, festivals, SOPs … as known now."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm import brand
from bot.crm.models import ChannelCode, FestivalDay, Region, Store
from bot.errors import UserError
from tagging.fields.field import Field
from tagging.fields.kinds import Words, as_texts, nearest
from tagging.fields.plans import SOPS
from tagging.models import Tag, TagGroup

_KNOWN_AS = {
    "tags": "标签",
    "stores": "门店",
    "regions": "区域",
    "channel_codes": "渠道活码",
    "categories": "品类",
    "festivals": "节日",
    "sops": "SOP",
}


#: What is written as a code in a condition: its table's code and name.
CODES: dict[str, tuple[Any, Any]] = {
    "stores": (Store.code, Store.name),
    "regions": (Region.code, Region.name),
    "channel_codes": (ChannelCode.state, ChannelCode.name),
}


@dataclass(frozen=True)
class Lookup:
    """The names a condition may use. Empty `categories`: the brand keeps no list, all are taken.

    A list of codes may be a mapping to what people call them; sentences then say that.
    """

    tags: Collection[str] = frozenset()
    stores: Collection[str] = frozenset()
    regions: Collection[str] = frozenset()
    channel_codes: Collection[str] = frozenset()
    categories: Collection[str] = frozenset()
    festivals: Collection[str] = frozenset()
    sops: Collection[str] = frozenset()


def load_lookup(session: Session) -> Lookup:
    """The names known in the database now."""
    paths = session.execute(
        select(TagGroup.name, Tag.name).join(Tag, Tag.group_id == TagGroup.id).where(Tag.is_active)
    )
    return Lookup(
        tags=frozenset(f"{group}/{name}" for group, name in paths),
        stores=named(session, "stores"),
        regions=named(session, "regions"),
        channel_codes=named(session, "channel_codes"),
        categories=frozenset(brand.settings(session).categories),
        festivals=frozenset(session.scalars(select(FestivalDay.name).distinct())),
        sops=frozenset(session.scalars(select(SOPS.c.name))),
    )


def named(session: Session, codes: str, only: Collection[str] | None = None) -> dict[str, str]:
    """What people call the codes of a list of `CODES`, all of them or `only` some."""
    code, name = CODES[codes]
    query = select(code, name) if only is None else select(code, name).where(code.in_(only))
    return {code: name or code for code, name in session.execute(query)}


def check(field: Field, op: str, value: Any, lookup: Lookup) -> None:
    """Raise `UserError` for a name that nothing bears, with the nearest one that there is."""
    kind = field.kind
    if not isinstance(kind, Words) or kind.names is None:
        return
    known = getattr(lookup, kind.names)
    if kind.names == "categories" and not known:
        return
    for name in as_texts(field.label, op, value):
        if name not in known:
            raise UserError(
                f"“{field.label}”里没有“{name}”这个{_KNOWN_AS[kind.names]}{nearest(name, known)}。",
                field="value",
            )
