"""How often a thing may be done (频率限制): fixed windows, and the block that follows an excess."""

from __future__ import annotations

import sqlite3

from bot.sandbox.refusal import Refusal


class Exceeded(Refusal):
    """45009 that starts a block; the front door keeps it, since a refusal rolls all else back."""

    def __init__(self, name: str, until: float) -> None:
        super().__init__(45009)
        self.name = name
        self.until = until


def block(db: sqlite3.Connection, exceeded: Exceeded) -> None:
    """From now on refuse what was exceeded, until its end."""
    db.execute(
        "INSERT INTO call_block VALUES (?, ?) "
        "ON CONFLICT DO UPDATE SET until = MAX(until, excluded.until)",
        (exceeded.name, exceeded.until),
    )


def count(db: sqlite3.Connection, now: float, name: str, seconds: int, by: int = 1) -> int:
    """Count `by` more of `name` in the current window; returns the sum so far."""
    window = int(now // seconds)
    row = db.execute(
        "INSERT INTO call_count VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET count = count + excluded.count RETURNING count",
        (f"{name}/{seconds}", window, by),
    ).fetchone()
    if row["count"] == by:
        # The first of a window sweeps the earlier windows of its name away.
        db.execute(
            "DELETE FROM call_count WHERE name = ? AND window_at < ?", (f"{name}/{seconds}", window)
        )
    return int(row["count"])


def spend(
    db: sqlite3.Connection, now: float, name: str, seconds: int, limit: int, by: int = 1
) -> None:
    """One more of `name`; over `limit` a window: 45009, and a block of the window's length."""
    refuse_blocked(db, now, name)
    if count(db, now, name, seconds, by) > limit:
        raise Exceeded(name, now + seconds)


def refuse_blocked(db: sqlite3.Connection, now: float, name: str) -> None:
    """45009 while the block of `name` lasts."""
    row = db.execute("SELECT until FROM call_block WHERE name = ?", (name,)).fetchone()
    if row is not None and row["until"] > now:
        raise Refusal(45009)
