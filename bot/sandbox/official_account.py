"""The pretend official account (公众号): its token, and template messages to its followers."""

from __future__ import annotations

import hmac
import json
import re
import sqlite3
from typing import Any

from flask import Blueprint, Response, request

from bot.sandbox import side_door
from bot.sandbox.actors import person
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town, new_id

_LIFE = 7200
_LARGEST = 64 * 1024
_OPENID = "o_"
# developers.weixin.qq.com, 模板消息: a field named thing has at most 20 characters.
_THING = re.compile(r"thing[0-9]+")
_THING_LENGTH = 20


def openid_of(external_userid: str) -> str:
    """Under which openid the account knows a person of the town."""
    return f"{_OPENID}{external_userid}"


def blueprint(town: Town) -> Blueprint:
    """GET /mp/cgi-bin/token and POST /mp/cgi-bin/message/template/send."""
    house = Blueprint("sandbox_official_account", __name__, url_prefix="/mp/cgi-bin")

    @house.get("/token")
    def token() -> Response:
        return side_door.answer(
            town, "mp/token", lambda db: _token(town, db), code="errcode", words="errmsg"
        )

    @house.post("/message/template/send")
    def send() -> Response:
        body = request.stream.read(_LARGEST)
        return side_door.answer(
            town,
            "message/template/send",
            lambda db: _send(town, db, body),
            code="errcode",
            words="errmsg",
        )

    return house


def unsubscribe(town: Town, external_userid: str) -> None:
    """A customer stops following the account."""
    with town.write() as db:
        person(db, external_userid)
        db.execute("INSERT OR IGNORE INTO mp_stranger VALUES (?)", (external_userid,))


def subscribe(town: Town, external_userid: str) -> None:
    """A customer follows the account again."""
    with town.write() as db:
        person(db, external_userid)
        db.execute("DELETE FROM mp_stranger WHERE external_userid = ?", (external_userid,))


def _token(town: Town, db: sqlite3.Connection) -> dict[str, Any]:
    args, config = request.args, town.config
    if not config.official_account_secret or args.get("appid") != config.official_account_app_id:
        raise Refusal(40013, "invalid appid")
    given = args.get("secret", "").encode()
    if not hmac.compare_digest(given, config.official_account_secret.encode()):
        raise Refusal(40125, "invalid appsecret")
    token = new_id(size=136)
    db.execute("INSERT INTO mp_token VALUES (?, ?)", (token, town.now() + _LIFE))
    return {"access_token": token, "expires_in": _LIFE}


def _send(town: Town, db: sqlite3.Connection, body: bytes) -> dict[str, Any]:
    given = request.args.get("access_token", "")
    row = db.execute("SELECT expires_at FROM mp_token WHERE token = ?", (given,)).fetchone()
    if row is None or town.now() >= row["expires_at"]:
        raise Refusal(40001 if row is None else 42001)
    message = _message(body)
    external_userid = str(message["touser"]).removeprefix(_OPENID)
    known = db.execute(
        "SELECT 1 FROM customer WHERE external_userid = ?", (external_userid,)
    ).fetchone()
    if known is None or not str(message["touser"]).startswith(_OPENID):
        raise Refusal(40003, "invalid openid")
    if db.execute(
        "SELECT 1 FROM mp_stranger WHERE external_userid = ?", (external_userid,)
    ).fetchone():
        raise Refusal(43004, "require subscribe")
    town.record(
        db,
        "template_sent",
        str(message["touser"]),
        external_userid,
        template_id=message["template_id"],
        data={name: one["value"] for name, one in message["data"].items()},
        url=message.get("url", ""),
    )
    return {"errmsg": "ok", "msgid": int(town.now() * 1000)}


def _message(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise Refusal(47001, "data format error")
    if not isinstance(message.get("template_id"), str) or not message["template_id"]:
        raise Refusal(40037, "invalid template_id")
    data = message.get("data")
    if not isinstance(data, dict) or not data:
        raise Refusal(47001, "data format error")
    for name, one in data.items():
        value = one.get("value") if isinstance(one, dict) else None
        too_long = isinstance(value, str) and _THING.fullmatch(name) and len(value) > _THING_LENGTH
        if not isinstance(value, str) or not value or too_long:
            raise Refusal(47003, f"argument invalid! data.{name}.value invalid")
    return message
