"""What people do in the town, and no API can do for them: friends and chats."""

from __future__ import annotations

import json
import random
import sqlite3
from typing import Any

from bot.errors import UserError
from bot.sandbox import callbacks, codes, contact_ways, knobs
from bot.sandbox.town import Town
from bot.sandbox.welcome import say


def person(db: sqlite3.Connection, external_userid: str) -> sqlite3.Row:
    """A customer of the town, or one clear sentence."""
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM customer WHERE external_userid = ?", (external_userid,)
    ).fetchone()
    if row is None:
        raise UserError("镇上没有这位客户。", field="external_userid")
    return row


def guide(db: sqlite3.Connection, userid: str) -> sqlite3.Row:
    """A member who is still at work, or one clear sentence."""
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM member WHERE userid = ? AND status = 1", (userid,)
    ).fetchone()
    if row is None:
        raise UserError("企业里没有这位成员。", field="userid")
    return row


def relation(db: sqlite3.Connection, userid: str, external_userid: str) -> sqlite3.Row:
    """The two as they stand, whatever the stage, or one clear sentence."""
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM relation WHERE userid = ? AND external_userid = ? AND stage <> 'ended'",
        (userid, external_userid),
    ).fetchone()
    if row is None:
        raise UserError("这位导购和这位客户还不是好友。")
    return row


def scan(
    town: Town,
    external_userid: str,
    *,
    config_id: str = "",
    state: str = "",
    userid: str = "",
) -> dict[str, Any]:
    """A customer scans a channel code (by its id, or by its state) and adds a guide behind it.

    `userid` picks the guide of a code for several. Returns {userid, stage}: stage `half` (no
    verification, not yet confirmed), `asked` (waits for approval) or `friend`.
    """
    with town.write() as db:
        person(db, external_userid)
        row = db.execute(
            "SELECT * FROM contact_way WHERE config_id = ? OR (? = '' AND state = ?) "
            "ORDER BY created_at DESC",
            (config_id, config_id, state),
        ).fetchone()
        if row is None:
            raise UserError("没有这个渠道活码。", field="config_id")
        way = json.loads(row["detail"])
        chosen = _pick(db, way, external_userid, userid)
        if way["is_temp"]:
            if town.now() > row["created_at"] + way["expires_in"]:
                raise UserError("这个临时二维码已经过期。")
            db.execute("DELETE FROM contact_way WHERE config_id = ?", (row["config_id"],))
        return _ask(town, db, chosen, external_userid, way["state"], way["skip_verify"], 1)


def _pick(db: sqlite3.Connection, way: dict[str, Any], external_userid: str, userid: str) -> str:
    users = [
        one
        for one in contact_ways.expand(db, way["user"], way["party"])
        if db.execute("SELECT 1 FROM member WHERE userid = ? AND status = 1", (one,)).fetchone()
    ]
    if not users:
        raise UserError("这个活码背后没有在职的导购。")
    if userid:
        if userid.lower() not in [one.lower() for one in users]:
            raise UserError("这个活码不含这位导购。", field="userid")
        return userid
    # Who is a friend already gets that friend's chat again.
    friends = [
        row["userid"]
        for row in db.execute(
            "SELECT userid FROM relation WHERE external_userid = ? AND stage <> 'ended'",
            (external_userid,),
        )
    ]
    known = [one for one in users if one in friends]
    return known[0] if known else random.choice(users)


def add_directly(
    town: Town, userid: str, external_userid: str, *, add_way: int = 2, skip_verify: bool = False
) -> dict[str, Any]:
    """A customer adds a guide without any code (search, name card): no State in the event."""
    with town.write() as db:
        person(db, external_userid)
        chosen = guide(db, userid)["userid"]
        return _ask(town, db, chosen, external_userid, "", skip_verify, add_way)


def _ask(
    town: Town,
    db: sqlite3.Connection,
    userid: str,
    external_userid: str,
    state: str,
    skip_verify: bool,
    add_way: int,
) -> dict[str, Any]:
    before = db.execute(
        "SELECT * FROM relation WHERE userid = ? AND external_userid = ?",
        (userid, external_userid),
    ).fetchone()
    if before is not None and before["stage"] != "ended" and before["customer_left_at"] is None:
        return {"userid": userid, "stage": before["stage"]}
    if before is not None and before["stage"] == "friend":
        # The guide still has this customer: coming back needs no confirmation.
        db.execute(
            "UPDATE relation SET customer_left_at = NULL, chat_started_at = NULL, state = ? "
            "WHERE id = ?",
            (state, before["id"]),
        )
        _tell(town, db, "add_external_contact", userid, external_userid, state)
        return {"userid": userid, "stage": before["stage"]}
    stage = "half" if skip_verify else "asked"
    wait = knobs.knob(db, "accept_after")
    wait = town.config.accept_after if wait is None else wait
    accept_at = town.now() + wait if skip_verify and wait is not None else None
    db.execute("DELETE FROM relation WHERE userid = ? AND external_userid = ?",
               (userid, external_userid))  # fmt: skip
    db.execute(
        "INSERT INTO relation (userid, external_userid, stage, add_way, state, oper_userid, "
        "created_at, accept_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            userid, external_userid, stage, add_way, state, external_userid, town.now(), accept_at,
        ),
    )  # fmt: skip
    if skip_verify:
        say(town, db, userid, external_userid, "system", "text",
            {"content": "你已添加了对方，现在可以开始聊天了。"})  # fmt: skip
        _tell(town, db, "add_half_external_contact", userid, external_userid, state)
    return {"userid": userid, "stage": stage}


def _tell(
    town: Town,
    db: sqlite3.Connection,
    change_type: str,
    userid: str,
    external_userid: str,
    state: str,
    *,
    with_code: bool = True,
) -> None:
    """An add event; without a code when HQ greets from the console, or for WeCom people."""
    is_wechat = person(db, external_userid)["type"] == 1
    code = ""
    if with_code and is_wechat and not knobs.knob(db, "console_welcome"):
        code = codes.issue(town, db, "welcome", userid=userid, external_userid=external_userid)
    callbacks.contact_changed(
        town, db, change_type, userid, external_userid, State=state, WelcomeCode=code
    )


def accept(town: Town, userid: str, external_userid: str) -> None:
    """The guide confirms: now they are friends. No second code after a welcome or a word."""
    with town.write() as db:
        confirm(town, db, relation(db, userid, external_userid))


def confirm(town: Town, db: sqlite3.Connection, row: Any) -> None:
    """As `accept`, in a running transaction; who is a friend already stays one."""
    if row["stage"] == "friend":
        return
    userid, external_userid = row["userid"], row["external_userid"]
    db.execute("UPDATE relation SET stage = 'friend', accept_at = NULL WHERE id = ?", (row["id"],))
    if row["stage"] == "asked":
        say(town, db, userid, external_userid, "system", "text",
            {"content": "我通过了你的联系人验证请求，现在我们可以开始聊天了。"})  # fmt: skip
    _tell(
        town, db, "add_external_contact", userid, external_userid, row["state"],
        with_code=row["chat_started_at"] is None,
    )  # fmt: skip


def accept_due(town: Town) -> int:
    """Confirm those whose time has come (knob `accept_after`); returns how many."""
    due = "SELECT * FROM relation WHERE accept_at <= ? AND stage = 'half'"
    with town.read() as db:
        if db.execute(due, (town.now(),)).fetchone() is None:
            return 0
    with town.write() as db:
        rows = db.execute(due, (town.now(),)).fetchall()
        for row in rows:
            confirm(town, db, row)
    return len(rows)


def customer_deletes_guide(town: Town, external_userid: str, userid: str) -> None:
    """del_follow_user: for the API the relation goes on, one-sided."""
    with town.write() as db:
        row = relation(db, userid, external_userid)
        if row["customer_left_at"] is not None:
            raise UserError("客户已经删除过这位导购。")
        db.execute("UPDATE relation SET customer_left_at = ? WHERE id = ?", (town.now(), row["id"]))
        callbacks.contact_changed(town, db, "del_follow_user", row["userid"], external_userid)


def guide_deletes_customer(
    town: Town, userid: str, external_userid: str, *, source: str = ""
) -> None:
    """del_external_contact: no relation any more, 84061 from now on."""
    with town.write() as db:
        row = relation(db, userid, external_userid)
        db.execute("UPDATE relation SET stage = 'ended' WHERE id = ?", (row["id"],))
        db.execute("DELETE FROM relation_tag WHERE relation_id = ?", (row["id"],))
        callbacks.contact_changed(
            town, db, "del_external_contact", row["userid"], external_userid, Source=source
        )


def chat(town: Town, userid: str, external_userid: str, sender: str, text: str) -> None:
    """A word between guide and customer (`sender`: guide or customer). No API ever sees it; it
    only starts the chat, which ends the time of welcomes."""
    if sender not in ("guide", "customer"):
        raise UserError("只有导购或客户可以说话。", field="sender")
    if not text.strip():
        raise UserError("还没有写内容。", field="text")
    with town.write() as db:
        row = relation(db, userid, external_userid)
        if row["stage"] == "asked":
            raise UserError("导购还没有通过好友申请。")
        if row["customer_left_at"] is not None:
            raise UserError("客户已经删除了这位导购，消息发不出去。")
        db.execute(
            "UPDATE relation SET chat_started_at = COALESCE(chat_started_at, ?) WHERE id = ?",
            (town.now(), row["id"]),
        )
        say(town, db, row["userid"], external_userid, sender, "text", {"content": text})
