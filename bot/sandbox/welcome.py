"""send_welcome_msg (新客户欢迎语): within 20 seconds, once per code, into the customer's chat."""

from __future__ import annotations

import sqlite3
from typing import Any

from bot.sandbox import codes, fields, knobs
from bot.sandbox.fields import Ask, Body
from bot.sandbox.media import must_be_picture, must_live
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town, dump

_MOST_ATTACHMENTS = 9
_TEXT_OCTETS = 4000


def send(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """Text and each attachment arrive as separate messages; the reply has no msgid."""
    code = fields.text(ask.body, "welcome_code", missing=41049)
    subject = codes.look(town, db, code, "welcome", unknown=41050, used=41051)
    userid, external_userid = subject["userid"], subject["external_userid"]
    relation = db.execute(
        "SELECT * FROM relation WHERE userid = ? AND external_userid = ? AND stage <> 'ended'",
        (userid, external_userid),
    ).fetchone()
    if relation is None:
        raise Refusal(84061)
    if relation["chat_started_at"] is not None:
        raise Refusal(41051)
    if knobs.knob(db, "archive_is_on"):
        raise Refusal(41053, "consent pending")
    content = fields.text(
        fields.mapping(ask.body, "text", missing=None),
        "content",
        missing=None,
        octets=_TEXT_OCTETS,
    )
    attachments = fields.mappings(ask.body, "attachments", most=_MOST_ATTACHMENTS, over=41064)
    if not content and not attachments:
        raise Refusal(40058, "text and attachments missing")
    parts = [attachment(town, db, one) for one in attachments]
    codes.use(town, db, code)
    # A second code of the same friendship (half, then confirmed) is worth nothing from now on.
    db.execute("UPDATE relation SET chat_started_at = ? WHERE id = ?", (town.now(), relation["id"]))
    if content:
        parts.insert(0, ("text", {"content": content}))
    for msgtype, payload in parts:
        say(town, db, userid, external_userid, "welcome", msgtype, payload)
    town.record(
        db, "welcome_sent", userid, external_userid,
        code=code, text=content, attachments=[dict(one) for one in attachments],
    )  # fmt: skip
    return {}


def attachment(town: Town, db: sqlite3.Connection, one: Body) -> tuple[str, Body]:
    """One attachment, checked: (msgtype, its object)."""
    msgtype = one.get("msgtype")
    if msgtype not in ("image", "link", "miniprogram", "video", "file"):
        raise Refusal(41065, "invalid attachment msgtype")
    part = one.get(msgtype)
    if not isinstance(part, dict):
        raise Refusal(40058, f"{msgtype} missing")
    if msgtype == "image":
        _image(town, db, part)
    elif msgtype == "link":
        fields.text(part, "title", octets=128)
        fields.text(part, "desc", missing=None, octets=512)
        fields.text(part, "picurl", missing=None, octets=2048)
        fields.text(part, "url", octets=2048)
    elif msgtype == "miniprogram":
        fields.text(part, "title", octets=64)
        fields.text(part, "appid")
        fields.text(part, "page")
        must_live(town, db, fields.text(part, "pic_media_id"), "image")
    else:
        must_live(town, db, fields.text(part, "media_id"), msgtype)
    return msgtype, part


def _image(town: Town, db: sqlite3.Connection, part: Body) -> None:
    media_id = fields.text(part, "media_id", missing=None)
    if media_id:
        must_live(town, db, media_id, "image")
    else:
        must_be_picture(town, db, fields.text(part, "pic_url"))


def say(
    town: Town,
    db: sqlite3.Connection,
    userid: str,
    external_userid: str,
    sender: str,
    msgtype: str,
    payload: Body,
) -> int:
    """One bubble in the private chat of a guide and a customer; `sender` is guide, customer,
    welcome (sent for the guide by the platform) or system."""
    row = db.execute(
        "INSERT INTO chat_message (userid, external_userid, sender, msgtype, payload, at) "
        "VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
        (userid, external_userid, sender, msgtype, dump(payload), town.now()),
    ).fetchone()
    return int(row["id"])
