"""Talking points read with a real customer (示例客户), as the SOP editor shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.crm.models import Contact, Guide
from content_library import placeholders
from content_library.models import TalkingPoint, TalkingPointVariant
from handlers.console import people_words
from tagging.models import ContactScore

# Known only once a task has given its coupon, so a sample stands for them.
_OF_THE_TASK = tuple(name for name in placeholders.PLACEHOLDERS if name.startswith("优惠券"))
# A sample customer is looked for among so many of the newest friends.
_NEWEST = 200


def read(session: Session, number: int, day: date) -> dict[str, Any]:
    """A real customer to read the words with: the `number`-th, and every variant filled for her."""
    found = _sample_pair(session, number)
    variants = session.execute(
        select(TalkingPoint.name, TalkingPointVariant.text)
        .join(TalkingPointVariant, TalkingPointVariant.talking_point_id == TalkingPoint.id)
        .where(TalkingPoint.is_active)
        .order_by(TalkingPoint.id, TalkingPointVariant.position)
    ).all()
    filled: dict[str, list[str]] = defaultdict(list)
    if found is None:
        for name, words in variants:
            filled[name].append(_with_samples(words))
        return {"label": "示例客户", "filled": filled}
    contact_id, guide_id, name, guide = found
    facts = placeholders.contact_facts(session, contact_id, guide_id, day)
    for point, words in variants:
        filled[point].append(placeholders.fill(_with_samples(words, _OF_THE_TASK), facts))
    return {"label": f"{people_words.person(name)} · 导购 {guide}", "filled": filled}


def _sample_pair(session: Session, number: int) -> tuple[int, int, str, str] | None:
    newest = (
        select(Contact.id, Contact.guide_id, Contact.name)
        .where(Contact.guide_id.is_not(None), Contact.followed_on.is_not(None))
        .order_by(Contact.followed_on.desc())
        .limit(_NEWEST)
        .subquery()
    )
    # Who has bought something has more to say of herself.
    query = (
        select(newest.c.id, newest.c.guide_id, newest.c.name, Guide.name)
        .join(Guide, Guide.id == newest.c.guide_id)
        .outerjoin(ContactScore, ContactScore.contact_id == newest.c.id)
        .order_by(func.coalesce(ContactScore.purchase_count, 0).desc(), newest.c.id)
    )
    total = session.scalar(select(func.count()).select_from(newest)) or 0
    if not total:
        return None
    row = session.execute(query.offset(number % total).limit(1)).one_or_none()
    return None if row is None else (row[0], row[1], row[2], row[3])


def _with_samples(words: str, only: Collection[str] = tuple(placeholders.PLACEHOLDERS)) -> str:
    filled = words
    for name in placeholders.names(words):
        if name not in only:
            continue
        known = placeholders.PLACEHOLDERS.get(name)
        if known is not None:
            filled = filled.replace(f"{{{name}}}", known.sample)
    return filled
