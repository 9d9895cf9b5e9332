"""微信客服 accounts, their people, and the state of each conversation (会话状态)."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from bot.sandbox import callbacks, codes, fields, knobs
from bot.sandbox.fields import Ask, Body
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import ACTIVE, Town, dump, new_id

NEW, BOT, QUEUE, HUMAN, ENDED = 0, 1, 2, 3, 4
WINDOW = 48 * 3600
# What the API may change.
_MOVES = {
    NEW: (BOT, QUEUE, HUMAN, ENDED),
    BOT: (QUEUE, HUMAN, ENDED),
    QUEUE: (HUMAN, ENDED),
    HUMAN: (HUMAN, ENDED),
}
_SCENE = re.compile(r"[0-9a-zA-Z_-]{0,32}")


def account(db: sqlite3.Connection, body: Body) -> sqlite3.Row:
    """The account a call is about: 60251 missing, 95000 no such shape, 95004 unknown, 48007."""
    open_kfid = fields.text(body, "open_kfid", missing=60251)
    if not open_kfid.startswith("wk"):
        raise Refusal(95000, "invalid open_kfid")
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM kf_account WHERE open_kfid = ?", (open_kfid,)
    ).fetchone()
    if row is None:
        raise Refusal(95004, "open_kfid not exist")
    if not row["is_granted"]:
        raise Refusal(48007, "kf account not authorised")
    return row


def session(
    town: Town, db: sqlite3.Connection, open_kfid: str, external_userid: str
) -> sqlite3.Row | None:
    """The conversation as it stands now; 48 idle hours have ended it."""
    db.execute(
        "UPDATE kf_session SET state = ?, servicer_userid = '' WHERE open_kfid = ? "
        "AND external_userid = ? AND state <> ? AND active_at < ?",
        (ENDED, open_kfid, external_userid, ENDED, town.now() - WINDOW),
    )
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM kf_session WHERE open_kfid = ? AND external_userid = ?",
        (open_kfid, external_userid),
    ).fetchone()
    return row


def set_state(
    town: Town, db: sqlite3.Connection, row: Any, state: int, servicer_userid: str = ""
) -> None:
    """Move a conversation; every real move is an effect."""
    db.execute(
        "UPDATE kf_session SET state = ?, servicer_userid = ?, active_at = ? "
        "WHERE open_kfid = ? AND external_userid = ?",
        (state, servicer_userid, town.now(), row["open_kfid"], row["external_userid"]),
    )
    if (state, servicer_userid) != (row["state"], row["servicer_userid"]):
        town.record(
            db, "kf_state_changed", servicer_userid, row["external_userid"],
            open_kfid=row["open_kfid"], before=row["state"], after=state,
        )  # fmt: skip


def put_message(
    town: Town,
    db: sqlite3.Connection,
    open_kfid: str,
    external_userid: str,
    origin: int,
    msgtype: str,
    payload: Body,
    *,
    servicer_userid: str = "",
    msgid: str = "",
) -> str:
    """One line of the conversation. Origin 3 customer, 4 system, 5 servicer ring the app's bell;
    0 is what the API sent, which sync_msg never returns."""
    chosen = msgid or new_id(size=32)
    db.execute(
        "INSERT INTO kf_message (msgid, open_kfid, external_userid, origin, servicer_userid, "
        "msgtype, payload, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            chosen, open_kfid, external_userid, origin, servicer_userid, msgtype,
            dump(dict(payload)), town.now(),
        ),
    )  # fmt: skip
    if origin:
        token = new_id("ENC", 60)
        db.execute("INSERT INTO kf_token VALUES (?, ?, ?)", (token, open_kfid, town.now()))
        callbacks.kf_rings(town, db, open_kfid, token)
    return chosen


def accounts(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """kf/account/list"""
    offset = fields.number(ask.body, "offset", 0)
    limit = fields.number(ask.body, "limit", 100)
    if offset < 0 or not 1 <= limit <= 100:
        raise Refusal(40058, "offset or limit out of range")
    rows = db.execute(
        "SELECT * FROM kf_account WHERE is_granted ORDER BY sort LIMIT ? OFFSET ?", (limit, offset)
    )
    return {
        "account_list": [
            {
                "open_kfid": row["open_kfid"],
                "name": row["name"],
                "avatar": row["avatar"],
                "manage_privilege": True,
            }
            for row in rows
        ]
    }


def contact_way(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """kf/add_contact_way: the link through which customers enter."""
    row = account(db, ask.body)
    scene = fields.text(ask.body, "scene", missing=None)
    if not _SCENE.fullmatch(scene):
        raise Refusal(40058, "invalid scene")
    base = town.config.public_base_url.rstrip("/")
    return {"url": f"{base}/kf/{row['open_kfid']}?enc_scene={scene}"}


def servicers(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """kf/servicer/list: status 0 receiving, 1 stopped."""
    row = account(db, ask.args)
    found = db.execute(
        "SELECT * FROM kf_servicer WHERE open_kfid = ? ORDER BY userid", (row["open_kfid"],)
    )
    return {
        "servicer_list": [
            {"userid": one["userid"], "status": one["status"]}
            | ({"stop_type": 0} if one["status"] else {})
            for one in found
        ]
    }


def get_state(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """kf/service_state/get"""
    open_kfid = account(db, ask.body)["open_kfid"]
    external_userid = fields.text(ask.body, "external_userid", missing=41035)
    row = session(town, db, open_kfid, external_userid)
    if row is None:
        must_know(db, external_userid)
        return {"service_state": ENDED}
    shown = {"service_state": row["state"]}
    return shown | ({"servicer_userid": row["servicer_userid"]} if row["state"] == HUMAN else {})


def must_know(db: sqlite3.Connection, external_userid: str) -> None:
    found = db.execute(
        "SELECT 1 FROM customer WHERE external_userid = ?", (external_userid,)
    ).fetchone()
    if found is None:
        raise Refusal(40096)


def move(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """kf/service_state/trans: 95016 not allowed, 95013 ended; the first entry brings a code."""
    open_kfid = account(db, ask.body)["open_kfid"]
    external_userid = fields.text(ask.body, "external_userid", missing=41035)
    must_know(db, external_userid)
    target = fields.number(ask.body, "service_state")
    if target not in (NEW, BOT, QUEUE, HUMAN, ENDED):
        raise Refusal(40058, "invalid service_state")
    row = session(town, db, open_kfid, external_userid)
    if row is None or row["state"] == ENDED:
        raise Refusal(95013, "session ended")
    if target not in _MOVES[row["state"]]:
        raise Refusal(95016, "illegal state move")
    servicer = ""
    if target == HUMAN:
        servicer = _receiving(db, open_kfid, fields.text(ask.body, "servicer_userid"))
    set_state(town, db, row, target, servicer)
    kinds = {QUEUE: "kf_queue", HUMAN: "kf_human", ENDED: "kf_closing"}
    if target not in kinds or row["state"] == HUMAN == target:
        return {}
    code = codes.issue(
        town, db, kinds[target], open_kfid=open_kfid, external_userid=external_userid, state=target
    )
    return {"msg_code": code}


def _receiving(db: sqlite3.Connection, open_kfid: str, userid: str) -> str:
    row = db.execute(
        "SELECT kf_servicer.*, member.status AS member_status, is_visible FROM kf_servicer "
        "JOIN member USING (userid) WHERE open_kfid = ? AND userid = ?",
        (open_kfid, userid),
    ).fetchone()
    if row is None:
        raise Refusal(60253, "servicer not in list")
    if not row["is_visible"]:
        raise Refusal(60030, "servicer out of range")
    if row["member_status"] != ACTIVE:
        raise Refusal(95014, "servicer not activated")
    if row["status"]:
        raise Refusal(95019, "servicer stopped")
    return str(row["userid"])


def customers(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """kf/customer/batchget: those who were in touch within 48 hours."""
    asked = fields.strings(ask.body, "external_userid_list", most=100)
    if not asked:
        raise Refusal(40058, "external_userid_list missing")
    with_context = fields.flag(ask.body, "need_enter_session_context", False)
    bound = knobs.knob(db, "developer_account_bound")
    found, invalid = [], []
    for external_userid in asked:
        row = db.execute(
            "SELECT customer.*, scene, scene_param FROM customer JOIN kf_session "
            "USING (external_userid) WHERE external_userid = ? AND kf_session.active_at >= ? "
            "ORDER BY kf_session.active_at DESC",
            (external_userid, town.now() - WINDOW),
        ).fetchone()
        if row is None:
            invalid.append(external_userid)
            continue
        person = {
            "external_userid": external_userid,
            "nickname": row["name"],
            "avatar": row["avatar"],
            "gender": row["gender"],
        }
        if bound and row["unionid"]:
            person["unionid"] = row["unionid"]
        if with_context:
            context = {"scene": row["scene"], "scene_param": row["scene_param"]}
            person["enter_session_context"] = context
        found.append(person)
    return {"customer_list": found, "invalid_external_userid": invalid}
