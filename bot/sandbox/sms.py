"""The pretend SMS gateway (短信网关): takes a signed message once, reports on it, brings replies.

`town.effects("sms_sent")` is what reached a telephone; numbers are shown masked everywhere.
"""

from __future__ import annotations

import hmac
import json
import sqlite3
from typing import Any

from flask import Blueprint, Response, request

from bot.crm.mobiles import mask_mobile
from bot.errors import UserError
from bot.sandbox import callbacks, side_door
from bot.sandbox.actors import person
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town, dump, new_id
from bot.sms import Code, signature

_LARGEST = 64 * 1024
_WANTED = ("message_id", "mobile", "signature", "template", "content")
#: What people answer to refuse further messages; the operator shuts them out as well.
_STOP_WORDS = frozenset({"R", "TD", "T", "N", "退订", "拒收"})


def blueprint(town: Town) -> Blueprint:
    """POST /sms/messages and /sms/account, signed as `bot.sms` does it."""
    gateway = Blueprint("sandbox_sms", __name__, url_prefix="/sms")

    @gateway.post("/messages")
    def messages() -> Response:
        body = request.stream.read(_LARGEST)
        return side_door.answer(
            town,
            "sms/messages",
            lambda db: _take(town, db, _checked(town, body)),
            code="code",
            words="reason",
        )

    @gateway.post("/account")
    def account() -> Response:
        body = request.stream.read(_LARGEST)

        def look(db: sqlite3.Connection) -> dict[str, Any]:
            _checked(town, body)
            return {"balance": 10_000}

        return side_door.answer(town, "sms/account", look, code="code", words="reason")

    return gateway


def reply(town: Town, external_userid: str, text: str) -> None:
    """A customer answers the last message from her telephone."""
    with town.write() as db:
        mobile = person(db, external_userid)["mobile"]
        if not mobile:
            raise UserError("这位客户没有手机号。", field="external_userid")
        said = text.strip().upper()
        if said in _STOP_WORDS:
            db.execute("INSERT OR IGNORE INTO sms_block VALUES (?)", (mobile,))
        town.record(db, "sms_reply", mask_mobile(mobile), external_userid, content=text)
        letter = {"kind": "reply", "mobile": mobile, "text": text, "reply_id": new_id(size=16)}
        _tell(town, db, letter)


def _checked(town: Town, body: bytes) -> dict[str, Any]:
    """The message of a request that is rightly signed by the one account there is."""
    config = town.config
    wanted = signature(config.sms_secret, request.headers.get("X-Timestamp", ""), body)
    given = request.headers.get("X-Signature", "")
    if not config.sms_secret or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise Refusal(Code.WRONG_SIGNATURE, "wrong signature")
    try:
        message = json.loads(body)
    except ValueError:
        message = None
    if not isinstance(message, dict) or message.get("account") != config.sms_account:
        raise Refusal(Code.WRONG_SIGNATURE, "unknown account")
    return message


def _take(town: Town, db: sqlite3.Connection, message: dict[str, Any]) -> dict[str, Any]:
    texts = {key: message.get(key) for key in _WANTED}
    if not all(isinstance(value, str) and value for value in texts.values()):
        raise Refusal(Code.UNKNOWN_TEMPLATE, f"{', '.join(_WANTED)} are wanted")
    params = message.get("params")
    if not isinstance(params, dict) or not all(isinstance(one, str) for one in params.values()):
        raise Refusal(Code.UNKNOWN_TEMPLATE, "params are texts by name")
    mobile = str(texts["mobile"])
    if not mobile.removeprefix("+").isdecimal():
        raise Refusal(Code.WRONG_MOBILE, "no telephone number")
    before = db.execute(
        "SELECT id FROM sms_message WHERE message_id = ?", (texts["message_id"],)
    ).fetchone()
    if before is not None:
        return {"id": before["id"]}
    if db.execute("SELECT 1 FROM sms_block WHERE mobile = ?", (mobile,)).fetchone():
        raise Refusal(Code.REFUSED_BY_RECEIVER, "the receiver has refused")
    return {"id": _send(town, db, texts, mobile, params)}


def _send(
    town: Town,
    db: sqlite3.Connection,
    texts: dict[str, Any],
    mobile: str,
    params: dict[str, str],
) -> str:
    chosen = new_id("sm", 20)
    db.execute(
        "INSERT INTO sms_message (message_id, id, mobile, params, at) VALUES (?, ?, ?, ?, ?)",
        (texts["message_id"], chosen, mobile, dump(params), town.now()),
    )
    owner = db.execute(
        "SELECT external_userid FROM customer WHERE mobile = ? LIMIT 1", (mobile,)
    ).fetchone()
    report: dict[str, Any] = {"kind": "report", "message_id": texts["message_id"], "ok": True}
    if owner is None:
        report |= {"ok": False, "error": "空号"}
    else:
        town.record(
            db,
            "sms_sent",
            mask_mobile(mobile),
            owner["external_userid"],
            message_id=texts["message_id"],
            signature=texts["signature"],
            template=texts["template"],
            params=params,
            content=texts["content"],
        )
    _tell(town, db, report)
    return chosen


def _tell(town: Town, db: sqlite3.Connection, letter: dict[str, Any]) -> None:
    if town.config.sms_reports_url:
        now = town.now()
        callbacks.put(db, "till", "sms", dump([letter]).encode(), now, now)
