"""Things that work once and not for long: welcome, login, card and 客服 codes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town, dump, new_id

# kind -> seconds of life
LIFE: dict[str, float] = {
    "welcome": 20,
    "login": 300,
    "card": 72 * 3600,
    "kf_welcome": 20,
    "kf_closing": 20,
    "kf_queue": 48 * 3600,
    "kf_human": 48 * 3600,
}


def issue(town: Town, db: sqlite3.Connection, kind: str, **subject: Any) -> str:
    """A new code of one kind, about `subject`."""
    code = new_id(size=64)
    db.execute(
        "INSERT INTO one_time_code (code, kind, subject, created_at) VALUES (?, ?, ?, ?)",
        (code, kind, dump(subject), town.now()),
    )
    return code


def look(
    town: Town, db: sqlite3.Connection, code: str, *kinds: str, unknown: int, used: int
) -> Mapping[str, Any]:
    """The subject of a live code (with `kind` in it); else a Refusal. The code stays unused."""
    row = db.execute("SELECT * FROM one_time_code WHERE code = ?", (code,)).fetchone()
    if row is None or row["kind"] not in kinds:
        raise Refusal(unknown)
    if row["used_at"] is not None:
        raise Refusal(used)
    if town.now() - row["created_at"] > LIFE[row["kind"]]:
        raise Refusal(unknown)
    return {**json.loads(row["subject"]), "kind": row["kind"]}


def use(town: Town, db: sqlite3.Connection, code: str) -> None:
    """The code is spent."""
    db.execute("UPDATE one_time_code SET used_at = ? WHERE code = ?", (town.now(), code))
