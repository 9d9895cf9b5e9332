"""What intake hands to the rooms that keep facts: one read event, and the same with its contact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Fact:
    """One event that passed every check. `detail` is what its kind's reader made of it."""

    index: int
    source: str
    event_id: str
    kind: str
    occurred_at: datetime
    keys: tuple[tuple[str, str], ...]
    detail: Any
    #: The fields of its type as received, without the mobile number.
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Receipt:
    """A fact that is new here, with the contact and the identity it came under."""

    fact: Fact
    source_event_id: int
    contact_id: int
    identity_id: int
    #: Kinds of numbers that turned out to be somebody else's.
    clashes: tuple[str, ...] = ()


def entry(
    receipt: Receipt, kind: str, text: str, detail: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A line of the customer's story about one event; told once however often it is reported."""
    fact = receipt.fact
    return {
        "contact_id": receipt.contact_id,
        "kind": kind,
        "occurred_at": fact.occurred_at.isoformat(),
        "text": text,
        "detail": dict(detail or {}),
        "dedupe_key": f"{fact.kind}:{fact.source}:{fact.event_id}",
    }


def yuan(fen: int) -> str:
    """Money as people read it: ¥1,280 or ¥0.50."""
    whole, rest = divmod(fen, 100)
    return f"¥{whole:,}.{rest:02}" if rest else f"¥{whole:,}"
