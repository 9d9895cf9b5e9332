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
    #: The event as received, without the mobile number.
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Receipt:
    """A fact that is new here, with the contact and the identity it came under."""

    fact: Fact
    source_event_id: int
    contact_id: int
    identity_id: int
