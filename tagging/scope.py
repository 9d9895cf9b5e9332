"""Whom a refresh is for: everybody at night, some contacts after an event, with one statement."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, any_, literal, true
from sqlalchemy.orm import InstrumentedAttribute


def only(
    contact_id: InstrumentedAttribute[Any] | ColumnElement[Any],
    contact_ids: Collection[int] | None,
) -> ColumnElement[bool]:
    """True for all with None, else `contact_id = ANY(ids)`; no ids means nobody."""
    if contact_ids is None:
        return true()
    return contact_id == any_(literal(sorted(set(contact_ids)), ARRAY(BigInteger)))
