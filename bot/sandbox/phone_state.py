"""What the phones show: a customer's chats, a guide's app and customers, the world."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from bot.errors import UserError
from bot.sandbox import kf, knobs, mass_actors, news, notices, till
from bot.sandbox.actors import guide, person
from bot.sandbox.town import Town

_BUBBLES = 200
_PEOPLE = 200
_CONVERSATIONS = 20


def customer_phone(town: Town, external_userid: str) -> dict[str, Any]:
    """One customer's WeChat: {customer, chats: [{userid, name, stage, messages}], kf: [...],
    notices: [...], orders: [...]}."""
    bought = till.orders(town, external_userid)
    with town.read() as db:
        row = person(db, external_userid)
        pairs = db.execute(
            "SELECT relation.*, member.name AS guide_name, department.name AS store_name "
            "FROM relation JOIN member USING (userid) "
            "JOIN department ON department.id = member.department_id "
            "WHERE external_userid = ? AND stage <> 'ended' ORDER BY relation.created_at",
            (external_userid,),
        ).fetchall()
        return {
            "customer": _customer(row),
            "chats": [
                {
                    "userid": pair["userid"],
                    "name": pair["guide_name"],
                    "store": pair["store_name"],
                    "stage": pair["stage"],
                    "deleted_at": pair["customer_left_at"],
                    "messages": _bubbles(db, pair["userid"], external_userid),
                }
                for pair in pairs
            ],
            "kf": [_kf_chat(db, one, external_userid) for one in _kf_accounts(db)],
            "notices": notices.of(db, external_userid),
            "orders": bought,
        }


def _customer(row: Any) -> dict[str, Any]:
    keys = ("external_userid", "name", "gender", "avatar", "mobile", "member_no", "unionid")
    return {key: row[key] for key in keys}


def _bubbles(db: sqlite3.Connection, userid: str, external_userid: str) -> list[dict[str, Any]]:
    rows = db.execute(
        "SELECT * FROM chat_message WHERE external_userid = ? AND userid = ? "
        "ORDER BY id DESC LIMIT ?",
        (external_userid, userid, _BUBBLES),
    ).fetchall()
    return [
        {
            "id": row["id"],
            "sender": row["sender"],
            "msgtype": row["msgtype"],
            "content": json.loads(row["payload"]),
            "at": row["at"],
        }
        for row in reversed(rows)
    ]


def _kf_accounts(db: sqlite3.Connection) -> list[Any]:
    return db.execute("SELECT * FROM kf_account ORDER BY sort").fetchall()


def _kf_chat(db: sqlite3.Connection, account: Any, external_userid: str) -> dict[str, Any]:
    key = (account["open_kfid"], external_userid)
    session = db.execute(
        "SELECT * FROM kf_session WHERE open_kfid = ? AND external_userid = ?", key
    ).fetchone()
    rows = db.execute(
        "SELECT * FROM kf_message WHERE open_kfid = ? AND external_userid = ? "
        "AND msgtype <> 'event' ORDER BY seq DESC LIMIT ?",
        (*key, _BUBBLES),
    ).fetchall()
    senders = {3: "customer", 5: "servicer"}
    return {
        "open_kfid": account["open_kfid"],
        "name": account["name"],
        "state": session["state"] if session else 4,
        "servicer": session["servicer_userid"] if session else "",
        "messages": [
            {
                "msgid": row["msgid"],
                "sender": senders.get(row["origin"], "app"),
                "msgtype": row["msgtype"],
                "content": json.loads(row["payload"]),
                "at": row["at"],
            }
            for row in reversed(rows)
        ],
    }


def guide_phone(town: Town, userid: str) -> dict[str, Any]:
    """One guide's WeCom: {guide, app: [messages and cards], requests, customers, outgoing (what
    waits for her to send or publish), kf}."""
    with town.read() as db:
        member = guide(db, userid)
        rows = db.execute(
            "SELECT * FROM app_delivery WHERE userid = ? AND state <> 'dropped' "
            "ORDER BY id DESC LIMIT ?",
            (userid, _BUBBLES),
        ).fetchall()
        pairs = db.execute(
            "SELECT relation.*, customer.name AS customer_name, avatar FROM relation "
            "JOIN customer USING (external_userid) WHERE userid = ? AND stage <> 'ended' "
            "ORDER BY COALESCE(chat_started_at, relation.created_at) DESC LIMIT ?",
            (userid, _PEOPLE),
        ).fetchall()
        people = [_friend(db, pair) for pair in pairs]
        return {
            "guide": _guide(db, member),
            "app_name": town.config.app_name,
            "app": [_app_message(row) for row in reversed(rows)],
            "requests": [one for one in people if one["stage"] in ("half", "asked")],
            "customers": [one for one in people if one["stage"] == "friend"],
            "outgoing": mass_actors.waiting_for(db, member["userid"]),
            "kf": _servicer_chats(db, member["userid"]),
        }


def _servicer_chats(db: sqlite3.Connection, userid: str) -> list[dict[str, Any]]:
    """The 客服 conversations that wait for a person, and those this servicer has taken."""
    rows = db.execute(
        "SELECT kf_session.open_kfid, kf_session.external_userid, customer.name "
        "FROM kf_session JOIN kf_servicer USING (open_kfid) "
        "JOIN customer USING (external_userid) WHERE kf_servicer.userid = ? "
        "AND (kf_session.state = ? OR kf_session.state = ? AND servicer_userid = ?) "
        "ORDER BY active_at DESC LIMIT ?",
        (userid, kf.QUEUE, kf.HUMAN, userid, _CONVERSATIONS),
    ).fetchall()
    accounts = {one["open_kfid"]: one for one in _kf_accounts(db)}
    return [
        {
            "external_userid": row["external_userid"],
            "customer_name": row["name"],
            **_kf_chat(db, accounts[row["open_kfid"]], row["external_userid"]),
        }
        for row in rows
    ]


def _guide(db: sqlite3.Connection, row: Any) -> dict[str, Any]:
    store = db.execute(
        "SELECT name FROM department WHERE id = ?", (row["department_id"],)
    ).fetchone()
    return {
        "userid": row["userid"],
        "name": row["name"],
        "position": row["position"],
        "store": store["name"] if store else "",
    }


def _app_message(row: Any) -> dict[str, Any]:
    return {
        "id": row["id"],
        "msgid": row["msgid"],
        "sender": row["sender"],
        "msgtype": row["msgtype"],
        "content": json.loads(row["content"]),
        "is_recalled": row["state"] == "recalled",
        "replaced": row["replaced"],
        "at": row["at"],
    }


def _friend(db: sqlite3.Connection, pair: Any) -> dict[str, Any]:
    tags = db.execute(
        "SELECT tag.tag_id, tag.name FROM relation_tag JOIN tag USING (tag_id) "
        "WHERE relation_id = ? ORDER BY tag.rowid",
        (pair["id"],),
    )
    last = db.execute(
        "SELECT * FROM chat_message WHERE external_userid = ? AND userid = ? "
        "ORDER BY id DESC LIMIT 1",
        (pair["external_userid"], pair["userid"]),
    ).fetchone()
    return {
        "external_userid": pair["external_userid"],
        "name": pair["customer_name"],
        "remark": pair["remark"],
        "avatar": pair["avatar"],
        "stage": pair["stage"],
        "state": pair["state"],
        "since": pair["created_at"],
        "tags": [{"id": tag["tag_id"], "name": tag["name"]} for tag in tags],
        "last": {"msgtype": last["msgtype"], "content": json.loads(last["payload"]),
                 "sender": last["sender"], "at": last["at"]} if last else None,
    }  # fmt: skip


def chat_of(town: Town, userid: str, external_userid: str) -> list[dict[str, Any]]:
    """The bubbles between one guide and one customer."""
    with town.read() as db:
        return _bubbles(db, userid, external_userid)


def world(town: Town, search: str = "") -> dict[str, Any]:
    """The world panel: people (featured, or found by name, mobile or member number), guides,
    codes to scan, 客服 accounts, stores, the town's time and knobs."""
    with town.read() as db:
        if search:
            like = f"%{search.replace('%', '').replace('_', '')}%"
            people = db.execute(
                "SELECT * FROM customer WHERE name LIKE ? OR mobile LIKE ? OR member_no LIKE ? "
                "ORDER BY created_at DESC LIMIT ?",
                (like, like, like, _PEOPLE),
            ).fetchall()
        else:
            people = db.execute(
                "SELECT * FROM customer WHERE is_featured ORDER BY created_at DESC LIMIT ?",
                (_PEOPLE,),
            ).fetchall()
        guides = db.execute(
            "SELECT * FROM member WHERE status = 1 ORDER BY department_id, is_leader DESC, userid "
            "LIMIT ?",
            (_PEOPLE,),
        ).fetchall()
        ways = db.execute("SELECT * FROM contact_way ORDER BY rowid DESC LIMIT ?", (_PEOPLE,))
        return {
            "corp_name": town.config.corp_name,
            "now": town.now(),
            "customers": [_customer(row) for row in people],
            "guides": [_guide(db, row) for row in guides],
            "codes": [_code(row) for row in ways],
            "kf": [{"open_kfid": one["open_kfid"], "name": one["name"]} for one in
                   _kf_accounts(db)],
            "stores": [
                {"id": row["id"], "code": (row["code"] or "").partition(":")[2],
                 "name": row["name"]}
                for row in db.execute("SELECT * FROM department WHERE code LIKE 'store:%'")
            ],
            "knobs": knobs.every(db),
            "faults": knobs.waiting(db),
            "news": news.newest(db),
            "has_bells": town.config.on_night is not None and town.config.on_morning is not None,
        }  # fmt: skip


def _code(row: Any) -> dict[str, Any]:
    detail = json.loads(row["detail"])
    keys = ("remark", "state", "skip_verify", "user", "qr_code")
    return {"config_id": row["config_id"], **{key: detail.get(key, "") for key in keys}}


def must_search(value: str) -> str:
    """A search text of reasonable length."""
    if len(value) > 50:
        raise UserError("搜索的字太多了。", field="q")
    return value
