"""Whose turn it is: rules, enrolling, planning and publishing run one after the other (排队)."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

# Any number no other advisory lock of this program uses.
_TURN = 0x50A1


def take(session: Session) -> None:
    """Wait for the turn; it is given back when the transaction ends.

    Two at once would both see the same free seats and the same untouched customers, and give or
    take tags by what the other has changed meanwhile. One turn for all of it: whoever has it never
    waits for another one.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})
