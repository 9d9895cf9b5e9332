"""What a customer's telephone shows beside WeChat's chats (通知): her SMS and template messages."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

_MOST = 50
_NAMES = {"sms": "短信", "official_account": "公众号消息"}


def of(db: sqlite3.Connection, external_userid: str) -> list[dict[str, Any]]:
    """[{kind, name, messages}], only those that have any; messages are shaped like chat bubbles."""
    rows = db.execute(
        "SELECT * FROM effect WHERE external_userid = ? "
        "AND kind IN ('sms_sent', 'sms_reply', 'template_sent') ORDER BY id DESC LIMIT ?",
        (external_userid, _MOST),
    ).fetchall()
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _NAMES}
    for row in reversed(rows):
        payload = json.loads(row["payload"])
        is_sms = row["kind"] != "template_sent"
        words = payload["content"] if is_sms else _lines(payload)
        found["sms" if is_sms else "official_account"].append(
            {
                "id": row["id"],
                "sender": "customer" if row["kind"] == "sms_reply" else "brand",
                "msgtype": "text",
                "content": {"content": words},
                "at": row["at"],
            }
        )
    return [
        {"kind": kind, "name": _NAMES[kind], "messages": messages}
        for kind, messages in found.items()
        if messages
    ]


def _lines(payload: dict[str, Any]) -> str:
    lines = [str(value) for value in payload["data"].values()]
    return "\n".join([*lines, payload["url"]] if payload.get("url") else lines)
