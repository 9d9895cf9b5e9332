"""Reading and writing 微信客服 conversations: sync_msg, send_msg, send_msg_on_event."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

from bot.sandbox import codes, fields, kf, knobs
from bot.sandbox.fields import Ask, Body
from bot.sandbox.frequency import spend
from bot.sandbox.media import must_live
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town

_TOKEN_LIFE = 600
_HORIZON = 3 * 86400
_MOST_MESSAGES = 5
_MSGID = re.compile(r"[0-9a-zA-Z_-]{1,32}")
_MENU_ACTIONS = ("click", "view", "miniprogram")


def sync(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """kf/sync_msg: pages of one account after a cursor; has_more may come with an empty page."""
    open_kfid = kf.account(db, ask.body)["open_kfid"]
    _check_token(town, db, fields.text(ask.body, "token", missing=None, octets=128), open_kfid)
    limit = fields.number(ask.body, "limit", 1000)
    limit = min(limit, 1000) if limit > 0 else 1000
    limit = max(1, min(limit, int(knobs.knob(db, "kf_page_size"))))
    after, empty_pages = _position(fields.text(ask.body, "cursor", missing=None, octets=64))
    if empty_pages < knobs.knob(db, "kf_empty_pages"):
        return _page(db, open_kfid, [], after, empty_pages + 1, has_more=True)
    rows = db.execute(
        "SELECT * FROM kf_message WHERE open_kfid = ? AND seq > ? AND at >= ? AND origin <> 0 "
        "ORDER BY seq LIMIT ?",
        (open_kfid, after, town.now() - _HORIZON, limit + 1),
    ).fetchall()
    page = rows[:limit]
    last = page[-1]["seq"] if page else after
    return _page(db, open_kfid, page, last, 0, has_more=len(rows) > limit)


def _check_token(town: Town, db: sqlite3.Connection, token: str, open_kfid: str) -> None:
    if not token:
        most = int(knobs.knob(db, "kf_calls_without_token"))
        spend(db, town.now(), "kf/sync_msg without token", 60, most)
        return
    row = db.execute("SELECT * FROM kf_token WHERE token = ?", (token,)).fetchone()
    if row is None or row["open_kfid"] != open_kfid or town.now() - row["created_at"] > _TOKEN_LIFE:
        raise Refusal(95007)


def _position(cursor: str) -> tuple[int, int]:
    """A cursor is the last sequence number, and how many empty pages were given since."""
    if not cursor:
        return 0, 0
    found = re.fullmatch(r"4gw7MepFLfgF2VC5([0-9]+)e([0-9]+)", cursor)
    if found is None:
        raise Refusal(50100, "invalid cursor")
    return int(found[1]), int(found[2])


def _page(
    db: sqlite3.Connection,
    open_kfid: str,
    rows: list[sqlite3.Row],
    last: int,
    empty_pages: int,
    *,
    has_more: bool,
) -> dict[str, Any]:
    return {
        "next_cursor": f"4gw7MepFLfgF2VC5{last}e{empty_pages}",
        "has_more": int(has_more),
        "msg_list": [_message(row) for row in rows],
    }


def _message(row: sqlite3.Row) -> dict[str, Any]:
    message = {
        "msgid": row["msgid"],
        "send_time": int(row["at"]),
        "origin": row["origin"],
        "msgtype": row["msgtype"],
        row["msgtype"]: json.loads(row["payload"]),
    }
    if row["msgtype"] != "event":
        message |= {"open_kfid": row["open_kfid"], "external_userid": row["external_userid"]}
    if row["origin"] == 5:
        message["servicer_userid"] = row["servicer_userid"]
    return message


def send(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """kf/send_msg: states 0 and 1 only, within 48 hours, five per message of the customer."""
    open_kfid = kf.account(db, ask.body)["open_kfid"]
    external_userid = fields.text(ask.body, "touser")
    msgid = _msgid(db, ask.body, open_kfid)
    msgtype, payload = _content(town, db, ask.body, most_actions=10)
    kf.must_know(db, external_userid)
    row = kf.session(town, db, open_kfid, external_userid)
    now = town.now()
    if row is None or row["last_customer_at"] is None or now - row["last_customer_at"] > kf.WINDOW:
        raise Refusal(95002, "no message of the customer within 48 hours")
    if row["state"] not in (kf.NEW, kf.BOT):
        raise Refusal(95018)
    if row["sent_count"] >= _MOST_MESSAGES:
        raise Refusal(95001, "message count at limit")
    kf.set_state(town, db, row, kf.BOT)
    db.execute(
        "UPDATE kf_session SET sent_count = sent_count + 1 "
        "WHERE open_kfid = ? AND external_userid = ?",
        (open_kfid, external_userid),
    )
    return {"msgid": _deliver(town, db, open_kfid, external_userid, msgtype, payload, msgid)}


def send_on_event(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """kf/send_msg_on_event: one message per code; the session must still be as it was."""
    code = fields.text(ask.body, "code")
    kinds = ("kf_welcome", "kf_queue", "kf_human", "kf_closing")
    subject = codes.look(town, db, code, *kinds, unknown=95007, used=95007)
    open_kfid, external_userid = subject["open_kfid"], subject["external_userid"]
    msgid = _msgid(db, ask.body, open_kfid)
    allowed = ("text", "msgmenu") if subject["kind"] in ("kf_welcome", "kf_closing") else ("text",)
    if ask.body.get("msgtype") not in allowed:
        raise Refusal(40008)
    msgtype, payload = _content(town, db, ask.body, most_actions=10, most_items=10)
    row = kf.session(town, db, open_kfid, external_userid)
    if subject["kind"] != "kf_welcome" and (row is None or row["state"] != subject["state"]):
        raise Refusal(95018)
    codes.use(town, db, code)
    if subject["kind"] == "kf_welcome":
        db.execute(
            "UPDATE kf_session SET last_welcome_at = ? WHERE open_kfid = ? AND external_userid = ?",
            (town.now(), open_kfid, external_userid),
        )
    sent = _deliver(town, db, open_kfid, external_userid, msgtype, payload, msgid, subject["kind"])
    return {"msgid": sent}


def _deliver(
    town: Town,
    db: sqlite3.Connection,
    open_kfid: str,
    external_userid: str,
    msgtype: str,
    payload: Body,
    msgid: str,
    because: str = "reply",
) -> str:
    sent = kf.put_message(town, db, open_kfid, external_userid, 0, msgtype, payload, msgid=msgid)
    town.record(
        db, "kf_message", "app", external_userid,
        open_kfid=open_kfid, msgid=sent, msgtype=msgtype, content=payload, because=because,
    )  # fmt: skip
    return sent


def _msgid(db: sqlite3.Connection, body: Body, open_kfid: str) -> str:
    """A msgid of the caller, unique per account. The errcode of a repetition is not documented."""
    msgid = fields.text(body, "msgid", missing=None)
    if not msgid:
        return ""
    if not _MSGID.fullmatch(msgid):
        raise Refusal(40058, "invalid msgid")
    if db.execute(
        "SELECT 1 FROM kf_message WHERE open_kfid = ? AND msgid = ?", (open_kfid, msgid)
    ).fetchone():
        raise Refusal(40058, "msgid used before")
    return msgid


def _content(
    town: Town,
    db: sqlite3.Connection,
    body: Body,
    *,
    most_actions: int,
    most_items: int = 50,
) -> tuple[str, Body]:
    msgtype = body.get("msgtype")
    if msgtype not in ("text", "image", "voice", "video", "file", "link", "miniprogram", "msgmenu"):
        raise Refusal(40008)
    part = fields.mapping(body, msgtype)
    if msgtype == "text":
        return msgtype, {**part, "content": fields.cut(fields.text(part, "content"), 2048)}
    if msgtype == "link":
        fields.text(part, "title", octets=128)
        fields.text(part, "desc", missing=None, octets=512)
        fields.text(part, "url", octets=2048)
        must_live(town, db, fields.text(part, "thumb_media_id"), "image")
    elif msgtype == "miniprogram":
        fields.text(part, "appid")
        fields.text(part, "title", missing=None, octets=64)
        fields.text(part, "pagepath")
        must_live(town, db, fields.text(part, "thumb_media_id"), "image")
    elif msgtype == "msgmenu":
        _menu(part, most_actions, most_items)
    else:
        must_live(town, db, fields.text(part, "media_id"), msgtype)
    return msgtype, part


def _menu(part: Body, most_actions: int, most_items: int) -> None:
    fields.text(part, "head_content", missing=None, octets=1024)
    fields.text(part, "tail_content", missing=None, octets=1024)
    items = fields.mappings(part, "list", most=most_items, over=95008)
    if sum(item.get("type") in _MENU_ACTIONS for item in items) > most_actions:
        raise Refusal(95008, "too many menu items")
    for item in items:
        kind = item.get("type")
        if kind not in (*_MENU_ACTIONS, "text"):
            raise Refusal(95009, "invalid menu item type")
        detail = fields.mapping(item, kind)
        if kind == "click":
            fields.text(detail, "id", octets=128)
            fields.text(detail, "content", octets=128)
        elif kind == "view":
            fields.text(detail, "url", octets=2048)
            fields.text(detail, "content", octets=1024)
        elif kind == "miniprogram":
            fields.text(detail, "appid", octets=32)
            fields.text(detail, "pagepath", octets=1024)
            fields.text(detail, "content", octets=1024)
        else:
            fields.text(detail, "content", octets=256)
