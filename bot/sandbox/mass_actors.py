"""What a guide does with what HQ asks of her (群发助手): confirms messages, publishes moments."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from bot.errors import UserError
from bot.sandbox import mass, moments
from bot.sandbox.actors import guide
from bot.sandbox.town import Town

_NEWEST = 20


def confirm_mass(town: Town, userid: str, *, msgid: str = "") -> dict[str, int]:
    """Send a mass or group message; without `msgid` all that wait for this guide.

    Returns {sent, not_friends, over_limit}, in customers (or groups).
    """
    with town.write() as db:
        name = guide(db, userid)["userid"]
        rows = db.execute(
            "SELECT mass_message.* FROM mass_message JOIN mass_sender USING (msgid) "
            "WHERE userid = ? AND sent_at IS NULL AND NOT is_cancelled AND (? = '' OR msgid = ?) "
            "ORDER BY created_at, mass_message.rowid",
            (name, msgid, msgid),
        ).fetchall()
        if not rows:
            raise UserError("没有等她确认的群发。", field="msgid")
        total = {"sent": 0, "not_friends": 0, "over_limit": 0}
        for row in rows:
            for key, number in mass.deliver(town, db, row, name).items():
                total[key] += number
    return total


def publish_moment(town: Town, userid: str, *, moment_id: str = "") -> int:
    """Publish a moment; without `moment_id` all that wait for this guide. Returns how many."""
    with town.write() as db:
        name = guide(db, userid)["userid"]
        rows = db.execute(
            "SELECT moment.* FROM moment JOIN moment_publisher USING (moment_id) "
            "WHERE userid = ? AND published_at IS NULL AND (? = '' OR moment_id = ?) "
            "ORDER BY created_at, moment.rowid",
            (name, moment_id, moment_id),
        ).fetchall()
        if not rows:
            raise UserError("没有等她发表的朋友圈。", field="moment_id")
        for row in rows:
            moments.publish(town, db, row, name)
    return len(rows)


def waiting_for(db: sqlite3.Connection, userid: str) -> dict[str, list[dict[str, Any]]]:
    """What waits on a guide's phone: {mass: [{msgid, is_group, count, parts}], moments: [...]}."""
    messages = db.execute(
        "SELECT mass_message.*, (SELECT COUNT(*) FROM mass_receiver AS r WHERE "
        "r.msgid = mass_message.msgid AND r.userid = mass_sender.userid) AS number "
        "FROM mass_message JOIN mass_sender USING (msgid) "
        "WHERE userid = ? AND sent_at IS NULL AND NOT is_cancelled "
        "ORDER BY created_at LIMIT ?",
        (userid, _NEWEST),
    )
    shown = db.execute(
        "SELECT moment.* FROM moment JOIN moment_publisher USING (moment_id) "
        "WHERE userid = ? AND published_at IS NULL ORDER BY created_at LIMIT ?",
        (userid, _NEWEST),
    )
    return {
        "mass": [
            {
                "msgid": row["msgid"],
                "is_group": row["chat_type"] == "group",
                "count": row["number"],
                "text": row["content"],
                "at": row["created_at"],
            }
            for row in messages
        ],
        "moments": [
            {
                "moment_id": row["moment_id"],
                "text": row["content"],
                "pictures": len(json.loads(row["parts"])),
                "at": row["created_at"],
            }
            for row in shown
        ],
    }
