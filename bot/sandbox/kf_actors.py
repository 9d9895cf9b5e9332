"""What customers and servicers do in 微信客服: enter, write, choose from a menu, take over, end."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from bot.errors import UserError
from bot.sandbox import codes, kf
from bot.sandbox.actors import guide, person
from bot.sandbox.town import Town

_CUSTOMER, _SYSTEM, _SERVICER = 3, 4, 5


def enter(
    town: Town, external_userid: str, open_kfid: str, *, scene: str = "", scene_param: str = ""
) -> str:
    """Open the conversation through the account's link; returns the welcome code, or "".

    There is a code only if the customer neither got a welcome nor wrote within 48 hours.
    """
    with town.write() as db:
        row = _session(town, db, external_userid, open_kfid)
        since = town.now() - kf.WINDOW
        fresh = all(
            row[key] is None or row[key] < since for key in ("last_welcome_at", "last_customer_at")
        )
        db.execute(
            "UPDATE kf_session SET scene = ?, scene_param = ?, active_at = ? "
            "WHERE open_kfid = ? AND external_userid = ?",
            (scene, scene_param, town.now(), open_kfid, external_userid),
        )
        event: dict[str, Any] = {
            "event_type": "enter_session",
            "open_kfid": open_kfid,
            "external_userid": external_userid,
            "scene": scene,
            "scene_param": scene_param,
        }
        code = ""
        if fresh:
            code = codes.issue(
                town, db, "kf_welcome", open_kfid=open_kfid, external_userid=external_userid
            )
            event["welcome_code"] = code
        kf.put_message(town, db, open_kfid, external_userid, _SYSTEM, "event", event)
    return code


def write(town: Town, external_userid: str, open_kfid: str, text: str, *, menu_id: str = "") -> str:
    """The customer writes; an ended conversation begins anew. Returns the msgid."""
    if not text:
        raise UserError("还没有写内容。", field="text")
    with town.write() as db:
        row = _session(town, db, external_userid, open_kfid)
        if row["state"] == kf.ENDED:
            kf.set_state(town, db, row, kf.NEW)
        db.execute(
            "UPDATE kf_session SET last_customer_at = ?, active_at = ?, sent_count = 0 "
            "WHERE open_kfid = ? AND external_userid = ?",
            (town.now(), town.now(), open_kfid, external_userid),
        )
        payload = {"content": text} | ({"menu_id": menu_id} if menu_id else {})
        return kf.put_message(town, db, open_kfid, external_userid, _CUSTOMER, "text", payload)


def choose(town: Town, external_userid: str, open_kfid: str, msgid: str, menu_id: str) -> str:
    """The customer taps an entry of a menu message: a text with its menu_id."""
    with town.read() as db:
        row = db.execute(
            "SELECT payload FROM kf_message WHERE open_kfid = ? AND msgid = ? "
            "AND external_userid = ? AND msgtype = 'msgmenu'",
            (open_kfid, msgid, external_userid),
        ).fetchone()
    entries = json.loads(row["payload"]).get("list", []) if row else []
    for entry in entries:
        if entry["type"] == "click" and entry["click"]["id"] == menu_id:
            return write(
                town, external_userid, open_kfid, entry["click"]["content"], menu_id=menu_id
            )
    raise UserError("菜单里没有这一项。", field="menu_id")


def servicer_takes(town: Town, userid: str, external_userid: str, open_kfid: str) -> str:
    """A servicer takes the customer from the pool; returns the msg_code the event carries."""
    with town.write() as db:
        row = _session(town, db, external_userid, open_kfid)
        if row["state"] != kf.QUEUE:
            raise UserError("这位客户不在待接入池里。")
        return _enter_human(town, db, row, guide(db, userid)["userid"], 1)


def servicer_writes(
    town: Town, userid: str, external_userid: str, open_kfid: str, text: str
) -> str:
    """A servicer writes from the client; into an ended chat that opens it again."""
    with town.write() as db:
        row = _session(town, db, external_userid, open_kfid)
        name = guide(db, userid)["userid"]
        if row["state"] == kf.ENDED:
            _enter_human(town, db, row, name, 4)
        elif row["state"] != kf.HUMAN or row["servicer_userid"] != name:
            raise UserError("这段会话不是由这位接待人员接待。")
        return kf.put_message(
            town, db, open_kfid, external_userid, _SERVICER, "text", {"content": text},
            servicer_userid=name,
        )  # fmt: skip


def servicer_ends(town: Town, userid: str, external_userid: str, open_kfid: str) -> str:
    """A servicer ends the conversation; returns the closing code the event carries."""
    with town.write() as db:
        row = _session(town, db, external_userid, open_kfid)
        if row["state"] != kf.HUMAN:
            raise UserError("这段会话没有人在接待。")
        kf.set_state(town, db, row, kf.ENDED)
        code = _code(town, db, row, "kf_closing", kf.ENDED)
        _changed(town, db, row, 3, old_servicer_userid=row["servicer_userid"], msg_code=code)
    return code


def _session(
    town: Town, db: sqlite3.Connection, external_userid: str, open_kfid: str
) -> sqlite3.Row:
    person(db, external_userid)
    known = db.execute("SELECT 1 FROM kf_account WHERE open_kfid = ?", (open_kfid,)).fetchone()
    if known is None:
        raise UserError("没有这个客服账号。", field="open_kfid")
    db.execute(
        "INSERT OR IGNORE INTO kf_session (open_kfid, external_userid, state, active_at) "
        "VALUES (?, ?, ?, ?)",
        (open_kfid, external_userid, kf.ENDED, town.now()),
    )
    row = kf.session(town, db, open_kfid, external_userid)
    if row is None:
        raise UserError("这段会话不存在。")
    return row


def _enter_human(town: Town, db: sqlite3.Connection, row: Any, userid: str, change: int) -> str:
    kf.set_state(town, db, row, kf.HUMAN, userid)
    if change != 1:
        _changed(town, db, row, change, new_servicer_userid=userid)
        return ""
    code = _code(town, db, row, "kf_human", kf.HUMAN)
    _changed(town, db, row, change, new_servicer_userid=userid, msg_code=code)
    return code


def _code(town: Town, db: sqlite3.Connection, row: Any, kind: str, state: int) -> str:
    return codes.issue(
        town, db, kind, state=state, open_kfid=row["open_kfid"],
        external_userid=row["external_userid"],
    )  # fmt: skip


def _changed(town: Town, db: sqlite3.Connection, row: Any, change_type: int, **extra: str) -> None:
    event = {
        "event_type": "session_status_change",
        "open_kfid": row["open_kfid"],
        "external_userid": row["external_userid"],
        "change_type": change_type,
        **extra,
    }
    kf.put_message(town, db, row["open_kfid"], row["external_userid"], _SYSTEM, "event", event)
