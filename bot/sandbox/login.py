"""Who is holding the phone (网页授权, 扫码登录): single-use login codes and their exchange."""

from __future__ import annotations

import sqlite3
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from bot.sandbox import codes, fields
from bot.sandbox.fields import Ask
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town


def whoami(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """auth/getuserinfo: the member behind a code; 40029 when it is used, old or unknown."""
    code = fields.text(ask.args, "code", missing=40029)
    subject = codes.look(town, db, code, "login", unknown=40029, used=40029)
    codes.use(town, db, code)
    return {"userid": subject["userid"]}


def check_door(town: Town, app_id: str, agent_id: str, redirect_uri: str) -> None:
    """Refuse a login page of another corp or app, or one that leads to a foreign domain (50001)."""
    if app_id != town.config.corp_id:
        raise Refusal(40013)
    if agent_id and agent_id != str(town.config.agent_id):
        raise Refusal(40056, "invalid agentid")
    target = urlsplit(redirect_uri)
    if target.scheme not in ("http", "https") or target.netloc not in _trusted(town):
        raise Refusal(50001, "redirect_url domain not trusted")


def _trusted(town: Town) -> set[str]:
    own = (town.config.public_base_url, town.config.callback_url)
    return {*town.config.trusted_domains, *(urlsplit(url).netloc for url in own if url)}


def go_back(town: Town, userid: str, redirect_uri: str, state: str) -> str:
    """The address to redirect to, with a fresh code of this member."""
    with town.write() as db:
        row = db.execute(
            "SELECT userid FROM member WHERE userid = ? AND is_visible AND status = 1", (userid,)
        ).fetchone()
        if row is None:
            raise Refusal(60111)
        code = codes.issue(town, db, "login", userid=row["userid"])
    target = urlsplit(redirect_uri)
    query = [*parse_qsl(target.query, keep_blank_values=True), ("code", code), ("state", state)]
    return urlunsplit(target._replace(query=urlencode(query)))
