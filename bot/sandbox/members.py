"""The corp's own people (通讯录): members, departments, and the app itself."""

from __future__ import annotations

import sqlite3
from typing import Any

from bot.sandbox import fields
from bot.sandbox.fields import Ask
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import ACTIVE, ROOT_DEPARTMENT, Town


def member(db: sqlite3.Connection, userid: str) -> sqlite3.Row:
    """A member within the app's visible range: 60111 unknown or gone, 60011 invisible."""
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM member WHERE userid = ?", (userid,)
    ).fetchone()
    if row is None or row["status"] == 5:
        raise Refusal(60111)
    if not row["is_visible"]:
        raise Refusal(60011)
    return row


def under(db: sqlite3.Connection, department_id: int) -> list[int]:
    """A department and all below it."""
    rows = db.execute(
        "WITH RECURSIVE tree(id) AS (SELECT id FROM department WHERE id = ? UNION "
        "SELECT department.id FROM department JOIN tree ON parent_id = tree.id) "
        "SELECT id FROM tree",
        (department_id,),
    )
    return [row["id"] for row in rows]


def members_under(db: sqlite3.Connection, department_id: int) -> list[sqlite3.Row]:
    """Visible, active members of a department and of all below it."""
    marks = ",".join(str(one) for one in under(db, department_id))
    if not marks:
        return []
    return db.execute(
        f"SELECT * FROM member WHERE department_id IN ({marks}) AND status = ? AND is_visible",
        (ACTIVE,),
    ).fetchall()


def _detail(row: sqlite3.Row) -> dict[str, Any]:
    # Apps made since 2022-06-20 get no avatar, gender, mobile, mail, qr_code or address.
    return {
        "userid": row["userid"],
        "name": row["name"],
        "department": [row["department_id"]],
        "order": [0],
        "position": row["position"],
        "is_leader_in_dept": [int(row["is_leader"])],
        "direct_leader": [],
        "alias": row["alias"],
        "telephone": "",
        "status": row["status"],
        "main_department": row["department_id"],
        "extattr": {"attrs": []},
    }


def get(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """user/get"""
    return _detail(member(db, fields.text(ask.args, "userid", missing=40003)))


def _in_department(db: sqlite3.Connection, ask: Ask) -> list[sqlite3.Row]:
    department_id = _department_id(ask, "department_id")
    if department_id is None:
        raise Refusal(40066, "department_id missing")
    _department(db, department_id)
    return db.execute(
        "SELECT * FROM member WHERE department_id = ? AND is_visible AND status <> 5 "
        "ORDER BY userid",
        (department_id,),
    ).fetchall()


def list_full(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """user/list: the members of one department, not of those below it."""
    return {"userlist": [_detail(row) for row in _in_department(db, ask)]}


def list_simple(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """user/simplelist"""
    return {
        "userlist": [
            {"userid": row["userid"], "name": row["name"], "department": [row["department_id"]]}
            for row in _in_department(db, ask)
        ]
    }


def _department_id(ask: Ask, key: str) -> int | None:
    value = ask.args.get(key, "")
    if not value:
        return None
    if not value.isdecimal():
        raise Refusal(40066, f"{key} must be a number")
    return int(value)


def _department(db: sqlite3.Connection, department_id: int) -> None:
    if db.execute("SELECT 1 FROM department WHERE id = ?", (department_id,)).fetchone() is None:
        raise Refusal(60003, "department not found")


def _departments(db: sqlite3.Connection, ask: Ask) -> list[sqlite3.Row]:
    department_id = _department_id(ask, "id") or ROOT_DEPARTMENT
    _department(db, department_id)
    marks = ",".join(str(one) for one in under(db, department_id))
    return db.execute(f"SELECT * FROM department WHERE id IN ({marks}) ORDER BY id").fetchall()


def departments(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """department/list: a department and all below it."""
    leaders: dict[int, list[str]] = {}
    for row in db.execute("SELECT userid, department_id FROM member WHERE is_leader"):
        leaders.setdefault(row["department_id"], []).append(row["userid"])
    return {
        "department": [
            {
                "id": row["id"],
                "name": row["name"],
                "parentid": row["parent_id"],
                "order": row["sort"],
                "department_leader": leaders.get(row["id"], []),
            }
            for row in _departments(db, ask)
        ]
    }


def departments_simple(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """department/simplelist"""
    return {
        "department_id": [
            {"id": row["id"], "parentid": row["parent_id"], "order": row["sort"]}
            for row in _departments(db, ask)
        ]
    }


def agent(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """agent/get: the app as the console shows it."""
    _own_agent(town, ask)
    visible = db.execute(
        "SELECT userid FROM member WHERE is_visible AND status <> 5 ORDER BY userid LIMIT 1000"
    )
    return {
        "agentid": town.config.agent_id,
        "name": town.config.app_name,
        "square_logo_url": "",
        "description": "",
        "allow_userinfos": {"user": [{"userid": row["userid"]} for row in visible]},
        "allow_partys": {"partyid": [ROOT_DEPARTMENT]},
        "close": 0,
        "redirect_domain": "",
        "report_location_flag": 0,
        "isreportenter": 1,
        "home_url": "",
    }


def create_menu(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """menu/create: at most 3 buttons with at most 5 below each."""
    _own_agent(town, ask)
    buttons = fields.mappings(ask.body, "button", most=3, over=40016)
    if not buttons:
        raise Refusal(40016, "button count")
    for button in buttons:
        fields.text(button, "name", octets=16)
        for sub in fields.mappings(button, "sub_button", most=5, over=40023):
            fields.text(sub, "name", octets=40)
    town.record(db, "menu_changed", "app", buttons=buttons)
    return {}


def _own_agent(town: Town, ask: Ask) -> None:
    value = ask.args.get("agentid", "")
    if not value.isdecimal():
        raise Refusal(40056, "invalid agentid")
    if int(value) != town.config.agent_id:
        raise Refusal(301002, "no permission on this agentid")
