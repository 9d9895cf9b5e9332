"""Channel codes as the platform keeps them (联系我 contact_way): made, read, changed, deleted."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from bot.sandbox import fields, knobs
from bot.sandbox.fields import Ask, Body
from bot.sandbox.members import members_under
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import ACTIVE, Town, dump, new_id

_DAY = 86400
_MOST_USERS = 100
_MOST_WAYS = 500_000
_QR_CODE = 2


def add(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """add_contact_way"""
    body = ask.body
    kind = _choice(body, "type", (1, 2), 41037, 41039)
    scene = _choice(body, "scene", (1, 2), 41038, 41040)
    detail: dict[str, Any] = {"type": kind, "scene": scene}
    detail |= _changeable(town, db, body, detail)
    is_temp = fields.flag(body, "is_temp", False)
    if is_temp and kind != 1:
        raise Refusal(40058, "a temporary way is for one member")
    detail |= {"is_temp": is_temp, "is_exclusive": fields.flag(body, "is_exclusive", False)}
    count = db.execute("SELECT COUNT(*) FROM contact_way WHERE NOT is_temp").fetchone()[0]
    if not is_temp and count >= _MOST_WAYS:
        raise Refusal(41045, "contact way count at limit")
    config_id = new_id()
    if scene == _QR_CODE:
        detail["qr_code"] = f"{town.config.public_base_url.rstrip('/')}/qr/{config_id}"
    db.execute(
        "INSERT INTO contact_way VALUES (?, ?, ?, ?, ?)",
        (config_id, town.now(), is_temp, detail["state"], dump(detail)),
    )
    town.record(db, "contact_way_created", "corp", config_id=config_id, **detail)
    shown = {"config_id": config_id}
    return shown | ({"qr_code": detail["qr_code"]} if scene == _QR_CODE else {})


def _choice(body: Body, key: str, allowed: tuple[int, ...], missing: int, bad: int) -> int:
    if body.get(key) is None:
        raise Refusal(missing, f"{key} missing")
    value = fields.number(body, key, wrong=bad)
    if value not in allowed:
        raise Refusal(bad, f"invalid {key}")
    return value


def _changeable(
    town: Town, db: sqlite3.Connection, body: Body, before: dict[str, Any]
) -> dict[str, Any]:
    """The fields an update may change as well, checked; what is not given keeps its value."""
    detail = {
        "remark": _kept(body, before, "remark", 30),
        "state": _kept(body, before, "state", 30),
        "skip_verify": fields.flag(body, "skip_verify", before.get("skip_verify", True)),
        "user": before.get("user", []),
        "party": before.get("party", []),
        "style": before.get("style", 1),
        "mark_source": fields.flag(body, "mark_source", before.get("mark_source", True)),
    }
    styles = (1, 2, 3) if before["type"] == 1 else (1, 2)
    if before["scene"] == 1 and body.get("style") is not None:
        detail["style"] = fields.number(body, "style", wrong=41042)
        if detail["style"] not in styles:
            raise Refusal(41042, "invalid style")
    if "user" in body or "party" in body or "user" not in before:
        detail["party"] = _parties(body)
        asked = fields.strings(body, "user")
        detail["user"] = _check_users(db, before["type"], asked, detail["party"])
    for key, default in (("expires_in", 7 * _DAY), ("chat_expires_in", _DAY)):
        detail[key] = fields.number(body, key, before.get(key, default))
        if not 0 < detail[key] <= 14 * _DAY:
            raise Refusal(40058, f"{key} out of range")
    detail["unionid"] = fields.text(body, "unionid", missing=None) or before.get("unionid", "")
    if detail["unionid"] and not knobs.knob(db, "developer_account_bound"):
        raise Refusal(41057, "no developer account bound")
    return detail


def _kept(body: Body, before: dict[str, Any], key: str, chars: int) -> str:
    if body.get(key) is None:
        return str(before.get(key, ""))
    return fields.text(body, key, missing=None, chars=chars)


def _parties(body: Body) -> list[int]:
    value = body.get("party") or []
    if not isinstance(value, list) or not all(type(one) is int for one in value):
        raise Refusal(40058, "party must be an array of integers")
    return value


def _check_users(
    db: sqlite3.Connection, kind: int, users: list[str], parties: list[int]
) -> list[str]:
    """The users as the corp spells them, all fit to be added by customers."""
    known = []
    if kind == 1 and (len(users) != 1 or parties):
        raise Refusal(40058, "type 1 needs exactly one user")
    if not users and not parties:
        raise Refusal(40058, "user and party missing")
    for userid in users:
        row = db.execute("SELECT * FROM member WHERE userid = ?", (userid,)).fetchone()
        if row is None or row["status"] == 5:
            raise Refusal(60111)
        if not row["is_visible"]:
            raise Refusal(60011)
        if row["status"] != ACTIVE:
            raise Refusal(41054, "user not activated")
        if not row["is_verified"] or not row["has_contacts"]:
            raise Refusal(40098, "user not verified")
        known.append(str(row["userid"]))
    if len(expand(db, users, parties)) > _MOST_USERS:
        raise Refusal(41041, "too many users")
    return known


def expand(db: sqlite3.Connection, users: list[str], parties: list[int]) -> list[str]:
    """The members behind a way, departments expanded, in a stable order."""
    found = list(users)
    for party in parties:
        if db.execute("SELECT 1 FROM department WHERE id = ?", (party,)).fetchone() is None:
            raise Refusal(60003, "department not found")
        found += [row["userid"] for row in members_under(db, party) if row["has_contacts"]]
    return list(dict.fromkeys(found))


def _load(db: sqlite3.Connection, body: Body) -> tuple[str, dict[str, Any], float]:
    config_id = fields.text(body, "config_id", missing=41043)
    row = db.execute("SELECT * FROM contact_way WHERE config_id = ?", (config_id,)).fetchone()
    if row is None:
        raise Refusal(41044, "invalid config_id")
    return config_id, json.loads(row["detail"]), row["created_at"]


def get(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """get_contact_way"""
    config_id, detail, _ = _load(db, ask.body)
    if detail["scene"] == _QR_CODE:
        detail.pop("style")
    return {"contact_way": {"config_id": config_id, **detail}}


def list_all(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """list_contact_way: ids only, the last 90 days by default, without temporary ones."""
    now = town.now()
    start = fields.number(ask.body, "start_time", int(now - 90 * _DAY))
    end = fields.number(ask.body, "end_time", int(now) + 1)
    limit = fields.number(ask.body, "limit", 100)
    limit = min(limit, 1000) if limit > 0 else 100
    cursor = fields.text(ask.body, "cursor", missing=None)
    rows = db.execute(
        "SELECT rowid AS position, config_id FROM contact_way WHERE created_at BETWEEN ? AND ? "
        "AND NOT is_temp AND rowid > ? ORDER BY rowid LIMIT ?",
        (start, end, _position(cursor), limit + 1),
    ).fetchall()
    page = rows[:limit]
    return {
        "contact_way": [{"config_id": row["config_id"]} for row in page],
        "next_cursor": f"w{page[-1]['position']}" if len(rows) > limit else "",
    }


def _position(cursor: str) -> int:
    if not cursor:
        return 0
    if cursor[:1] != "w" or not cursor[1:].isdecimal():
        raise Refusal(50100, "invalid cursor")
    return int(cursor[1:])


def update(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """update_contact_way: type and scene stay; user and party are overwritten together."""
    config_id, before, created_at = _load(db, ask.body)
    if before["is_temp"] and town.now() > created_at + before["expires_in"]:
        raise Refusal(41044, "expired temporary way")
    detail = before | _changeable(town, db, ask.body, before)
    db.execute(
        "UPDATE contact_way SET state = ?, detail = ? WHERE config_id = ?",
        (detail["state"], dump(detail), config_id),
    )
    town.record(db, "contact_way_changed", "corp", config_id=config_id, **detail)
    return {}


def delete(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """del_contact_way"""
    config_id, _, _ = _load(db, ask.body)
    db.execute("DELETE FROM contact_way WHERE config_id = ?", (config_id,))
    town.record(db, "contact_way_deleted", "corp", config_id=config_id)
    return {}
