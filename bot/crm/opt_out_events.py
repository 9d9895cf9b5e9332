"""Refusals told by POS, ERP and mall (退订事件): read, and handed to the room that keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import event_fields, opt_outs
from bot.crm.models import OptOutChannel
from bot.crm.receipts import Receipt

_TOLD = text(
    """
    SELECT contact_id, source, event_id, occurred_at, body FROM source_event
    WHERE contact_id = ANY(:ids) AND kind = 'opt_out' ORDER BY id
    """
)
_FORGET = text(
    """
    WITH lines AS (
        DELETE FROM timeline_entry WHERE dedupe_key = ANY(:lines)
    )
    DELETE FROM opt_out
    WHERE contact_id = ANY(:ids) AND source = 'event' AND event_key LIKE 'event:%'
    """
)


def read(event: Mapping[str, Any]) -> dict[str, Any]:
    """The word of an `opt_out` event; UserError names the field that is wrong."""
    return {
        "channel": event_fields.word(event, "channel", [each.value for each in OptOutChannel]),
        "is_out": event_fields.flag(event, "is_out", default=True),
    }


def keep(session: Session, receipts: Sequence[Receipt]) -> set[int]:
    """Keep what was said; of two words about one channel the newer holds."""
    sayings = []
    for receipt in receipts:
        fact = receipt.fact
        key = _key(fact.source, fact.event_id)
        sayings += _sayings(receipt.contact_id, fact.detail, fact.occurred_at, key)
    opt_outs.hear(session, sayings)
    return set()


def part(session: Session, contact_ids: Iterable[int]) -> None:
    """After events moved among these contacts: what was told of each holds for each.

    What was said through another door stays with whom it was said of.
    """
    ids = {"ids": sorted(set(contact_ids))}
    told = session.execute(_TOLD, ids).all()
    if not told:
        return
    sayings = []
    for row in told:
        key = _key(row.source, row.event_id)
        sayings += _sayings(row.contact_id, read(row.body), row.occurred_at, key)
    elsewhere = [
        opt_outs.story_key(id, saying.channel, saying.event_key)
        for saying in sayings
        for id in ids["ids"]
        if id != saying.contact_id
    ]
    session.execute(_FORGET, ids | {"lines": elsewhere})
    opt_outs.hear(session, sayings)


def _key(source: str, event_id: str) -> str:
    return f"event:{source}:{event_id}"


def _sayings(
    contact_id: int, detail: Mapping[str, Any], at: datetime, key: str
) -> list[opt_outs.Saying]:
    channel, is_out = detail["channel"], detail["is_out"]
    # Who takes everything back takes every single refusal back, too.
    takes_all_back = channel == OptOutChannel.ALL and not is_out
    channels = [each.value for each in OptOutChannel] if takes_all_back else [channel]
    return [
        opt_outs.Saying(
            contact_id=contact_id,
            channel=one,
            is_out=is_out,
            source="event",
            said_at=at,
            event_key=key,
        )
        for one in channels
    ]
