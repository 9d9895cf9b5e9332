"""What may be asked of mass messages (群发结果): lists, who confirmed, who got it, cancelling."""

from __future__ import annotations

import sqlite3
from typing import Any

from bot.sandbox import fields, knobs
from bot.sandbox.fields import Ask, Body
from bot.sandbox.frequency import count
from bot.sandbox.mass import SENT, attachments_of, group_of
from bot.sandbox.members import member
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town

_DAY = 86400
_LONGEST_SPAN = 31 * _DAY
_REMINDERS_A_DAY = 3
_MEMBER_SENT = 2


def list_all(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """get_groupmsg_list_v2: what was made in a span of at most a month; ours have no creator."""
    chat_type = fields.text(ask.body, "chat_type")
    first, last = span(ask.body, _LONGEST_SPAN)
    fields.number(ask.body, "filter_type", 2)
    limit = fields.number(ask.body, "limit", 50)
    limit = limit if 0 < limit <= 100 else 50
    after = position(ask.body)
    rows = db.execute(
        "SELECT rowid, * FROM mass_message WHERE chat_type = ? AND created_at BETWEEN ? AND ? "
        "AND rowid > ? ORDER BY rowid LIMIT ?",
        (chat_type, first, last, after, limit + 1),
    ).fetchall()
    page = rows[:limit]
    return {
        "group_msg_list": [
            {
                "msgid": row["msgid"],
                "create_time": str(int(row["created_at"])),
                "create_type": 0,
                "text": {"content": row["content"]},
                "attachments": attachments_of(row),
            }
            for row in page
        ],
        "next_cursor": f"p{page[-1]['rowid']}" if len(rows) > limit else "",
    }


def span(body: Body, longest: int) -> tuple[int, int]:
    """start_time and end_time, not further apart than `longest` seconds; else 40058."""
    first, last = fields.number(body, "start_time"), fields.number(body, "end_time")
    if not 0 <= last - first <= longest:
        raise Refusal(40058, "invalid time span")
    return first, last


def position(body: Body) -> int:
    """The row after which a page begins; 50100 for a cursor that is none of ours."""
    cursor = fields.text(body, "cursor", missing=None)
    if not cursor:
        return 0
    if cursor[:1] != "p" or not cursor[1:].isdecimal():
        raise Refusal(50100, "invalid cursor")
    return int(cursor[1:])


def tasks(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """get_groupmsg_task: the members, and who has confirmed."""
    row = _load(town, db, ask.body)
    limit, after = _page(ask.body)
    rows = db.execute(
        "SELECT rowid, * FROM mass_sender WHERE msgid = ? AND rowid > ? ORDER BY rowid LIMIT ?",
        (row["msgid"], after, limit + 1),
    ).fetchall()
    page = rows[:limit]
    found = []
    for one in page:
        task = {"userid": one["userid"], "status": _MEMBER_SENT if one["sent_at"] else 0}
        found.append(task | ({"send_time": int(one["sent_at"])} if one["sent_at"] else {}))
    return {
        "task_list": found,
        "next_cursor": f"p{page[-1]['rowid']}" if len(rows) > limit else "",
    }


def results(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """get_groupmsg_send_result: one member's customers; of groups only what was sent."""
    row = _load(town, db, ask.body)
    userid = member(db, fields.text(ask.body, "userid"))["userid"]
    limit, after = _page(ask.body)
    if row["chat_type"] == "group":
        return {"send_list": _group_result(db, row["msgid"], userid), "next_cursor": ""}
    rows = db.execute(
        "SELECT rowid, * FROM mass_receiver WHERE msgid = ? AND userid = ? AND rowid > ? "
        "ORDER BY rowid LIMIT ?",
        (row["msgid"], userid, after, limit + 1),
    ).fetchall()
    page = rows[:limit]
    found = []
    for one in page:
        line = {
            "external_userid": one["external_userid"],
            "userid": one["userid"],
            "status": one["status"],
        }
        found.append(line | ({"send_time": int(one["sent_at"])} if one["sent_at"] else {}))
    return {
        "send_list": found,
        "next_cursor": f"p{page[-1]['rowid']}" if len(rows) > limit else "",
    }


def _group_result(db: sqlite3.Connection, msgid: str, userid: str) -> list[dict[str, Any]]:
    row = db.execute(
        "SELECT * FROM mass_sender WHERE msgid = ? AND userid = ? AND sent_at IS NOT NULL",
        (msgid, userid),
    ).fetchone()
    if row is None:
        return []
    at = int(row["sent_at"])
    chat = {"chat_id": group_of(userid), "userid": userid}
    return [chat | {"status": SENT, "send_time": at}]


def remind(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """remind_groupmsg_send: three times in a day."""
    row = _load(town, db, ask.body)
    if row["is_cancelled"]:
        raise Refusal(41093)
    if count(db, town.now(), f"remind {row['msgid']}", _DAY) > _REMINDERS_A_DAY:
        raise Refusal(41094)
    return {}


def cancel(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """cancel_groupmsg_send: what is unsent stays unsent, what was delivered stays."""
    row = _load(town, db, ask.body)
    if row["is_cancelled"]:
        raise Refusal(41093)
    db.execute("UPDATE mass_message SET is_cancelled = 1 WHERE msgid = ?", (row["msgid"],))
    town.record(db, "mass_cancelled", "corp", msgid=row["msgid"])
    return {}


def _load(town: Town, db: sqlite3.Connection, body: Body) -> sqlite3.Row:
    msgid = fields.text(body, "msgid", missing=41046)
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM mass_message WHERE msgid = ?", (msgid,)
    ).fetchone()
    if row is None:
        raise Refusal(41047)
    if town.now() - row["created_at"] < knobs.knob(db, "mass_wait"):
        raise Refusal(41063)
    return row


def _page(body: Body) -> tuple[int, int]:
    limit = fields.number(body, "limit", 500)
    return (min(limit, 1000) if limit > 0 else 500), position(body)
