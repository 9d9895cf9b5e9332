"""What has just reached somebody in the town (刚刚发生): the newest lines of the ledger."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

_KINDS = (
    "welcome_sent", "app_message", "card_updated", "tag_marked", "kf_message", "mass_delivered",
    "group_message_delivered", "moment_published",
)  # fmt: skip
_NEWEST = 4


def newest(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """The last few effects people could notice, newest first: {id, at, kind, guide, customer,
    tag, is_removal}; names where they are known."""
    rows = db.execute(
        "SELECT effect.*, member.name AS guide, customer.name AS customer FROM effect "
        "LEFT JOIN member ON member.userid = effect.who "
        "LEFT JOIN customer USING (external_userid) "
        f"WHERE kind IN ({', '.join('?' * len(_KINDS))}) ORDER BY effect.id DESC LIMIT ?",
        (*_KINDS, _NEWEST),
    )
    return [_line(row, json.loads(row["payload"])) for row in rows]


def _line(row: Any, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "at": row["at"],
        "kind": row["kind"],
        "guide": row["guide"] or "",
        "customer": row["customer"] or "",
        "tag": payload.get("tag", ""),
        "is_removal": payload.get("change") == "remove",
    }
