"""Messages of the app to members (应用消息): message/send and recall."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from typing import Any

from bot.sandbox import cards, codes, fields, knobs
from bot.sandbox.fields import Ask, Body
from bot.sandbox.frequency import Exceeded, count, refuse_blocked
from bot.sandbox.media import must_live
from bot.sandbox.members import members_under
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import ACTIVE, Town, dump, new_id

_PER_MINUTE = 30
_PER_HOUR = 1000
_PER_ACCOUNT = 200
_LEAST_ACCOUNTS = 200
_SHANGHAI_SECONDS = 8 * 3600
_RECALL_SECONDS = 24 * 3600
_KINDS = (
    "text", "image", "voice", "video", "file", "textcard", "news", "markdown", "template_card",
)  # fmt: skip


def send(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """message/send: to the receivers that exist; the others are named, in lower case."""
    body = ask.body
    if fields.number(body, "agentid", wrong=40056) != town.config.agent_id:
        raise Refusal(301002, "no permission on this agentid")
    msgtype = body.get("msgtype")
    if msgtype not in _KINDS:
        raise Refusal(40008)
    userids, invalid = _receivers(db, body)
    content = _content(town, db, body, msgtype)
    repeated = _sent_before(town, db, body)
    if repeated is not None:
        return {**invalid, "msgid": repeated}
    if not userids:
        raise Refusal(81013)
    _spend_day(town, db, len(userids))
    msgid = new_id("m", 64)
    task_id = content.get("task_id") if msgtype == "template_card" else None
    if (
        task_id is not None
        and db.execute("SELECT 1 FROM app_message WHERE task_id = ?", (task_id,)).fetchone()
    ):
        raise Refusal(42014, "task_id used before")
    db.execute(
        "INSERT INTO app_message (msgid, msgtype, body, sent_at, task_id) VALUES (?, ?, ?, ?, ?)",
        (msgid, msgtype, dump(dict(body)), town.now(), task_id),
    )
    _remember(town, db, body, msgid)
    for userid in userids:
        deliver(town, db, msgid, userid, msgtype, content)
    answer = {**invalid, "msgid": msgid}
    if msgtype == "template_card" and cards.calls_back(content):
        answer["response_code"] = codes.issue(town, db, "card", msgid=msgid)
    return answer


def _receivers(db: sqlite3.Connection, body: Body) -> tuple[list[str], dict[str, str]]:
    asked = _split(body, "touser", 1000, 40032)
    parties = _split(body, "toparty", 100, 82002)
    tags = _split(body, "totag", 100, 82003)
    if not asked and not parties and not tags:
        raise Refusal(82001, "no receiver")
    found: list[str] = []
    bad_users: list[str] = []
    bad_parties: list[str] = []
    if asked == ["@all"]:
        asked = []
        rows = db.execute("SELECT userid FROM member WHERE is_visible AND status = ?", (ACTIVE,))
        found += [row["userid"] for row in rows]
    for userid in asked:
        row = db.execute(
            "SELECT userid FROM member WHERE userid = ? AND is_visible AND status = ?",
            (userid, ACTIVE),
        ).fetchone()
        if row is None:
            bad_users.append(userid.lower())
        else:
            found.append(row["userid"])
    for party in parties:
        inside = members_under(db, int(party)) if party.isdecimal() else []
        if not inside:
            bad_parties.append(party)
        found += [row["userid"] for row in inside]
    invalid = {
        "invaliduser": "|".join(bad_users),
        "invalidparty": "|".join(bad_parties),
        "invalidtag": "|".join(tags),
        "unlicenseduser": "",
    }
    return list(dict.fromkeys(found)), invalid


def _split(body: Body, key: str, most: int, over: int) -> list[str]:
    parts = [one for one in fields.text(body, key, missing=None).split("|") if one]
    if len(parts) > most:
        raise Refusal(over, f"{key} too long")
    return list(dict.fromkeys(parts))


def _content(town: Town, db: sqlite3.Connection, body: Body, msgtype: str) -> dict[str, Any]:
    """The checked payload as it will be shown; texts over the limit are cut where they are cut."""
    if msgtype == "template_card":
        card = fields.mapping(body, "template_card")
        cards.check(card, has_callback=bool(town.config.callback_url))
        return dict(card)
    part = dict(fields.mapping(body, msgtype))
    if msgtype == "text":
        return part | {"content": fields.cut(fields.text(part, "content", missing=44004), 2048)}
    if msgtype == "markdown":
        fields.text(part, "content", missing=44004, octets=2048)
    elif msgtype == "textcard":
        fields.text(part, "title", chars=128)
        fields.text(part, "description", chars=512)
        url = fields.text(part, "url", octets=2048)
        if "://" not in url:
            raise Refusal(40058, "url needs a scheme")
        fields.text(part, "btntxt", missing=None, chars=4)
    elif msgtype == "news":
        _articles(part)
    else:
        must_live(town, db, fields.text(part, "media_id"), msgtype)
    return part


def _articles(part: Body) -> None:
    articles = fields.mappings(part, "articles", most=8, over=45008)
    if not articles:
        raise Refusal(40058, "articles missing")
    for one in articles:
        fields.text(one, "title", octets=128)
        fields.text(one, "description", missing=None, octets=512)
        fields.text(one, "picurl", missing=None, octets=2048)
        if not one.get("appid"):
            fields.text(one, "url", octets=2048)


def _digest(body: Body) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _interval(body: Body) -> int | None:
    """The seconds in which the same request is not delivered again; None: not asked for."""
    if body.get("enable_duplicate_check") != 1:
        return None
    seconds = fields.number(body, "duplicate_check_interval", 1800)
    if not 0 < seconds <= 4 * 3600:
        raise Refusal(40058, "duplicate_check_interval out of range")
    return seconds


def _sent_before(town: Town, db: sqlite3.Connection, body: Body) -> str | None:
    interval = _interval(body)
    if interval is None:
        return None
    row = db.execute("SELECT * FROM sent_before WHERE digest = ?", (_digest(body),)).fetchone()
    if row is None or town.now() - row["at"] > interval:
        return None
    return str(row["msgid"])


def _remember(town: Town, db: sqlite3.Connection, body: Body, msgid: str) -> None:
    if _interval(body) is not None:
        db.execute(
            "INSERT OR REPLACE INTO sent_before VALUES (?, ?, ?)",
            (_digest(body), msgid, town.now()),
        )


def _spend_day(town: Town, db: sqlite3.Connection, receivers: int) -> None:
    """200 persons a day for each account of the corp; over it, 45009 until the day ends."""
    name, now = "message/send persons", town.now()
    refuse_blocked(db, now, name)
    # Days are natural days of Shanghai.
    local = now + _SHANGHAI_SECONDS
    used = count(db, local, name, 86400, receivers)
    accounts = knobs.knob(db, "account_limit")
    if accounts is None and used <= _PER_ACCOUNT * _LEAST_ACCOUNTS:
        return
    if accounts is None:
        members = db.execute("SELECT COUNT(*) FROM member").fetchone()[0]
        accounts = max(_LEAST_ACCOUNTS, members)
    if used > _PER_ACCOUNT * accounts:
        raise Exceeded(name, (local // 86400 + 1) * 86400 - _SHANGHAI_SECONDS)


def deliver(
    town: Town,
    db: sqlite3.Connection,
    msgid: str,
    userid: str,
    msgtype: str,
    content: Body,
) -> None:
    """Into one member's app chat, unless that member had too many: then it vanishes silently."""
    now = town.now()
    this_minute = count(db, now, f"app to {userid.lower()}", 60)
    this_hour = count(db, now, f"app to {userid.lower()}", 3600)
    dropped = this_minute > _PER_MINUTE or this_hour > _PER_HOUR
    db.execute(
        "INSERT INTO app_delivery (msgid, userid, sender, msgtype, content, state, at) "
        "VALUES (?, ?, 'app', ?, ?, ?, ?)",
        (msgid, userid, msgtype, dump(dict(content)), "dropped" if dropped else "delivered", now),
    )
    if not dropped:
        town.record(db, "app_message", userid, msgid=msgid, msgtype=msgtype, content=content)


def recall(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """message/recall: within 24 hours, a message of this app."""
    msgid = fields.text(ask.body, "msgid")
    row = db.execute("SELECT * FROM app_message WHERE msgid = ?", (msgid,)).fetchone()
    if row is None:
        raise Refusal(40058, "invalid msgid")
    if town.now() - row["sent_at"] > _RECALL_SECONDS:
        raise Refusal(42052, "too late to recall")
    db.execute("UPDATE app_message SET is_recalled = 1 WHERE msgid = ?", (msgid,))
    changed = db.execute(
        "UPDATE app_delivery SET state = 'recalled' WHERE msgid = ? AND state = 'delivered' "
        "RETURNING userid",
        (msgid,),
    ).fetchall()
    for one in changed:
        town.record(db, "app_message_recalled", one["userid"], msgid=msgid)
    return {}
