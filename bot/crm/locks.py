"""Locks by name (按名加锁): whoever adds up one order, cart or coupon holds it alone."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from enum import IntEnum

from sqlalchemy import text
from sqlalchemy.orm import Session


class Space(IntEnum):
    """What the names of a lock stand for; locks are taken in the order of these numbers."""

    CARTS = 7202
    COUPONS = 7203
    ORDERS = 7204


# So few that the server's lock table holds them all for every connection.
_NUMBERS = 256
_LOCK = text(
    "SELECT pg_advisory_xact_lock(:space, n) FROM unnest(CAST(:numbers AS integer[])) AS n"
)


def lock_keys(session: Session, space: Space, names: Iterable[tuple[str, str]]) -> None:
    """Hold these (source, name) pairs until commit, in one order for everybody.

    Two events about one thing may come in two batches at the same moment; as both hold its lock,
    the later of them sees what the other wrote.
    """
    numbers = sorted({zlib.crc32("\n".join(name).encode()) % _NUMBERS for name in names})
    if numbers:
        session.execute(_LOCK, {"space": int(space), "numbers": numbers})
