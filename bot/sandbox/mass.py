"""Mass messages (企业群发): made for members, who must confirm; then, and only then, they arrive.

A message for customers goes to the members they are friends with: of several to the one who
chatted last. A message for groups goes to the groups its member picks; in this town every member
owns one customer group, which nobody can look into.
"""

from __future__ import annotations

import calendar
import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.clock import SHANGHAI
from bot.sandbox import fields, knobs, welcome
from bot.sandbox.fields import Ask, Body
from bot.sandbox.members import member
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town, dump, new_id

WAITING, SENT, NOT_FRIENDS, OVER_LIMIT = 0, 1, 2, 3
_MOST_CUSTOMERS = 10_000
_MOST_GROUPS = 2_000
_MOST_TAGS = 100
_MOST_PARTS = 9
_TEXT_OCTETS = 4000


def add(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """add_msg_template: nothing is sent; the members are asked."""
    body = ask.body
    chat_type = body.get("chat_type", "single")
    if chat_type not in ("single", "group"):
        raise Refusal(86214, "invalid chat_type")
    content, parts = _content(town, db, body)
    sender = fields.text(body, "sender", missing=None)
    if sender:
        sender = member(db, sender)["userid"]
    msgid = new_id("msg", 32)
    if chat_type == "group":
        given = fields.strings(body, "chat_id_list", most=_MOST_GROUPS)
        if not sender:
            raise Refusal(40058, "sender missing")
        refused, routed = given, {sender: list[str]()}
    else:
        refused, routed = _route(db, body, sender)
        if not routed:
            raise Refusal(41048, fail_list=refused, msgid="")
    db.execute(
        "INSERT INTO mass_message VALUES (?, ?, ?, ?, ?, 0)",
        (msgid, chat_type, content, dump(parts), town.now()),
    )
    for userid, people in routed.items():
        db.execute("INSERT INTO mass_sender VALUES (?, ?, NULL)", (msgid, userid))
        db.executemany(
            "INSERT INTO mass_receiver VALUES (?, ?, ?, 0, NULL)",
            [(msgid, userid, one) for one in people],
        )
    kind = "group_message_created" if chat_type == "group" else "mass_created"
    counts = {userid: len(people) for userid, people in routed.items()}
    town.record(db, kind, sender or "corp", msgid=msgid, text=content, receivers=counts)
    return {"fail_list": refused, "msgid": msgid}


def _content(town: Town, db: sqlite3.Connection, body: Body) -> tuple[str, list[Any]]:
    content = fields.text(
        fields.mapping(body, "text", missing=None), "content", missing=None, octets=_TEXT_OCTETS
    )
    given = fields.mappings(body, "attachments", most=_MOST_PARTS, over=41064)
    if not content and not given:
        raise Refusal(40058, "text and attachments missing")
    parts: list[Any] = [list(welcome.attachment(town, db, one)) for one in given]
    return content, ([["text", {"content": content}]] if content else []) + parts


def _route(
    db: sqlite3.Connection, body: Body, sender: str
) -> tuple[list[str], dict[str, list[str]]]:
    """Who cannot be reached at all, and the customers of each member who is asked."""
    given = fields.strings(body, "external_userid", most=_MOST_CUSTOMERS)
    wanted = given or _tagged(db, body)
    if not given and not wanted and not sender:
        raise Refusal(40058, "sender, external_userid and tag_filter missing")
    rows = db.execute(
        "SELECT relation.userid, external_userid FROM relation JOIN member USING (userid) "
        "WHERE stage = 'friend' AND is_visible AND status = 1 AND has_contacts "
        "AND (? = '' OR relation.userid = ?) "
        # The last row of a customer stands: the member who chatted last.
        "ORDER BY COALESCE(chat_started_at, relation.created_at), relation.id",
        (sender, sender),
    ).fetchall()
    last = {row["external_userid"]: row["userid"] for row in rows}
    people = wanted if wanted or "tag_filter" in body else sorted(last)
    routed: dict[str, list[str]] = {}
    for one in people:
        if one in last:
            routed.setdefault(last[one], []).append(one)
    return [one for one in given if one not in last], routed


def _tagged(db: sqlite3.Connection, body: Body) -> list[str]:
    """Customers with one tag of every group of the filter."""
    groups = fields.mappings(fields.mapping(body, "tag_filter", missing=None), "group_list")
    found: set[str] | None = None
    for group in groups:
        tags = fields.strings(group, "tag_list", most=_MOST_TAGS)
        marks = ",".join("?" * len(tags))
        rows = db.execute(
            "SELECT DISTINCT external_userid FROM relation JOIN relation_tag "
            f"ON relation_tag.relation_id = relation.id WHERE tag_id IN ({marks})",
            tags,
        )
        people = {row["external_userid"] for row in rows}
        found = people if found is None else found & people
    return sorted(found or ())


def attachments_of(row: sqlite3.Row) -> list[dict[str, Any]]:
    """The attachments of a kept message or moment, as they were given."""
    parts = json.loads(row["parts"])
    return [{"msgtype": kind, kind: part} for kind, part in parts if kind != "text"]


def group_of(userid: str) -> str:
    """The chat id of a member's customer group."""
    return f"wr{userid.lower()}"


def deliver(town: Town, db: sqlite3.Connection, row: sqlite3.Row, userid: str) -> dict[str, int]:
    """The member confirmed: what can arrive does, in the order of the list; counts by status."""
    parts: Sequence[tuple[str, Mapping[str, Any]]] = json.loads(row["parts"])
    now = town.now()
    db.execute(
        "UPDATE mass_sender SET sent_at = ? WHERE msgid = ? AND userid = ?",
        (now, row["msgid"], userid),
    )
    if row["chat_type"] == "group":
        town.record(
            db, "group_message_delivered", userid,
            msgid=row["msgid"], text=row["content"], chat_id=group_of(userid),
        )  # fmt: skip
        return {"sent": 1, "not_friends": 0, "over_limit": 0}
    waiting = db.execute(
        "SELECT external_userid FROM mass_receiver WHERE msgid = ? AND userid = ? AND status = 0 "
        "ORDER BY rowid",
        (row["msgid"], userid),
    ).fetchall()
    counts = {SENT: 0, NOT_FRIENDS: 0, OVER_LIMIT: 0}
    for one in waiting:
        status = _status(db, userid, one["external_userid"], now)
        counts[status] += 1
        db.execute(
            "UPDATE mass_receiver SET status = ?, sent_at = ? WHERE msgid = ? "
            "AND external_userid = ?",
            (status, now if status == SENT else None, row["msgid"], one["external_userid"]),
        )
        if status != SENT:
            continue
        for msgtype, payload in parts:
            welcome.say(town, db, userid, one["external_userid"], "guide", msgtype, payload)
        town.record(
            db, "mass_delivered", userid, one["external_userid"],
            msgid=row["msgid"], text=row["content"], attachments=attachments_of(row),
        )  # fmt: skip
    keys = {SENT: "sent", NOT_FRIENDS: "not_friends", OVER_LIMIT: "over_limit"}
    return {keys[status]: number for status, number in counts.items()}


def _status(db: sqlite3.Connection, userid: str, external_userid: str, now: float) -> int:
    friend = db.execute(
        "SELECT 1 FROM relation WHERE userid = ? AND external_userid = ? AND stage = 'friend' "
        "AND customer_left_at IS NULL",
        (userid, external_userid),
    ).fetchone()
    if friend is None:
        return NOT_FRIENDS
    local = datetime.fromtimestamp(now, SHANGHAI)
    begins = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
    received = db.execute(
        "SELECT COUNT(*) FROM mass_receiver WHERE external_userid = ? AND sent_at >= ?",
        (external_userid, begins),
    ).fetchone()[0]
    most = knobs.knob(db, "mass_per_month")
    most = calendar.monthrange(local.year, local.month)[1] if most is None else most
    return OVER_LIMIT if received >= most else SENT
