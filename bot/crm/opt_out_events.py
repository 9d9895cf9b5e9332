"""Refusals told by POS, ERP and mall (退订事件): read, and handed to the room that keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from bot.crm import event_fields, opt_outs
from bot.crm.models import OptOutChannel
from bot.crm.receipts import Receipt


def read(event: Mapping[str, Any]) -> dict[str, Any]:
    """The word of an `opt_out` event; UserError names the field that is wrong."""
    return {
        "channel": event_fields.word(event, "channel", [each.value for each in OptOutChannel]),
        "is_out": event_fields.flag(event, "is_out", default=True),
    }


def keep(session: Session, receipts: Sequence[Receipt]) -> set[int]:
    """Keep what was said; of two words about one channel the newer holds."""
    opt_outs.hear(session, [saying for receipt in receipts for saying in _sayings(receipt)])
    return set()


def _sayings(receipt: Receipt) -> list[opt_outs.Saying]:
    fact = receipt.fact
    channel, is_out = fact.detail["channel"], fact.detail["is_out"]
    # Who takes everything back takes every single refusal back, too.
    takes_all_back = channel == OptOutChannel.ALL and not is_out
    channels = [each.value for each in OptOutChannel] if takes_all_back else [channel]
    return [
        opt_outs.Saying(
            contact_id=receipt.contact_id,
            channel=one,
            is_out=is_out,
            source="event",
            said_at=fact.occurred_at,
            event_key=f"event:{fact.source}:{fact.event_id}",
        )
        for one in channels
    ]
