"""Find a customer (找客户): by the beginning of a name, or by a number as it stands.

Every branch is a look into an index; a name is searched from its beginning for that reason.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Select, select, union
from sqlalchemy.orm import Session

from bot.crm import mobiles
from bot.crm.models import Contact, ContactIdentity, Guide, IdentityKind, Member, Store
from bot.errors import UserError
from handlers.console import people_words
from tagging.fields.orders import STAGE_LABELS
from tagging.models import ContactScore

_LONGEST = 64
_MOST = 50
_LIKE = re.compile(r"([\\%_])")


@dataclass(frozen=True)
class Found:
    """One customer in the list."""

    id: int
    name: str
    member_no: str | None
    level: str | None
    guide: str | None
    store: str | None
    stage: str
    spent_fen: int
    purchases: int
    last_on: date | None
    followed_on: date | None


def clean(query: str) -> str:
    """What was typed, folded and cut to a length that can mean something."""
    folded = unicodedata.normalize("NFKC", query).replace("\x00", "")
    return "".join(c for c in folded if not "\ud800" <= c <= "\udfff").strip()[:_LONGEST]


def search(session: Session, query: str, secret_key: str) -> list[Found]:
    """At most 50 customers that fit; [] for nothing."""
    start = _LIKE.sub(r"\\\1", query) + "%"
    branches = [
        select(Contact.id).where(Contact.name.like(start, escape="\\")).limit(_MOST),
        select(Contact.id).where(Contact.external_userid == query),
        select(Member.contact_id).where(Member.name.like(start, escape="\\")).limit(_MOST),
        select(Member.contact_id).where(Member.member_no == query),
    ]
    try:
        index = mobiles.mobile_index(mobiles.normalize(query), secret_key)
    except UserError:
        pass
    else:
        branches.append(
            select(ContactIdentity.contact_id).where(
                ContactIdentity.kind == IdentityKind.MOBILE, ContactIdentity.value == index
            )
        )
    ids = union(*(select(branch.subquery().c[0]) for branch in branches)).subquery()
    wanted = _rows().where(Contact.id.in_(select(ids.c[0])))
    return _found(session, wanted.order_by(ContactScore.total_spend_fen.desc().nulls_last()))


def newest(session: Session) -> list[Found]:
    """The customers who came last, for a page nobody has searched on yet."""
    wanted = _rows().where(Contact.guide_id.is_not(None), Contact.followed_on.is_not(None))
    return _found(session, wanted.order_by(Contact.followed_on.desc(), Contact.id.desc()), 20)


def _rows() -> Select[*tuple[Any, ...]]:
    return (
        select(
            Contact.id,
            Contact.name,
            Member.member_no,
            Member.name,
            Member.level,
            Guide.name,
            Store.name,
            ContactScore.stage,
            ContactScore.total_spend_fen,
            ContactScore.purchase_count,
            ContactScore.last_purchased_on,
            Contact.followed_on,
        )
        .outerjoin(Member, Member.contact_id == Contact.id)
        .outerjoin(Guide, Guide.id == Contact.guide_id)
        .outerjoin(Store, Store.id == Guide.store_id)
        .outerjoin(ContactScore, ContactScore.contact_id == Contact.id)
        .where(Contact.merged_into_id.is_(None))
    )


def _found(session: Session, wanted: Select[*tuple[Any, ...]], most: int = _MOST) -> list[Found]:
    return [
        Found(
            id=row[0],
            name=people_words.person(row[1], row[3]),
            member_no=row[2],
            level=row[4],
            guide=row[5],
            store=row[6],
            stage=STAGE_LABELS.get(row[7] or "", "–"),
            spent_fen=row[8] or 0,
            purchases=row[9] or 0,
            last_on=row[10],
            followed_on=row[11],
        )
        for row in session.execute(wanted.limit(most))
    ]
