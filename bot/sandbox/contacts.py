"""Customers and whom they follow (外部联系人): lists, details, remarks, as the app may see them."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from bot.sandbox import fields, knobs
from bot.sandbox.fields import Ask
from bot.sandbox.members import member
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town, dump

_FOLLOWERS_PER_PAGE = 500


def customer(db: sqlite3.Connection, external_userid: str) -> sqlite3.Row:
    """A known customer, or 40096."""
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM customer WHERE external_userid = ?", (external_userid,)
    ).fetchone()
    if row is None:
        raise Refusal(40096)
    return row


def friendship(db: sqlite3.Connection, userid: str, external_userid: str) -> sqlite3.Row:
    """The relation of a visible member and a customer: 60111, 60011, 40096, 84061.

    A customer who deleted the guide is still there for the API; one the guide deleted, or whom
    the guide has not confirmed yet, is not.
    """
    member(db, userid)
    customer(db, external_userid)
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM relation WHERE userid = ? AND external_userid = ? AND stage = 'friend'",
        (userid, external_userid),
    ).fetchone()
    if row is None:
        raise Refusal(84061)
    return row


def follow_users(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """externalcontact/get_follow_user_list: visible members with the function."""
    rows = db.execute(
        "SELECT userid FROM member WHERE is_visible AND has_contacts AND status = 1 ORDER BY userid"
    )
    return {"follow_user": [row["userid"] for row in rows]}


def list_of(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """externalcontact/list: one member's customers; nobody yet is 84061, not an empty list."""
    userid = fields.text(ask.args, "userid", missing=40003)
    member(db, userid)
    rows = db.execute(
        "SELECT external_userid FROM relation WHERE userid = ? AND stage = 'friend' ORDER BY id",
        (userid,),
    ).fetchall()
    if not rows:
        raise Refusal(84061)
    return {"external_userid": [row["external_userid"] for row in rows]}


def get(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """externalcontact/get: the customer and every visible follower, 500 a page."""
    external_userid = fields.text(ask.args, "external_userid", missing=41035)
    person = customer(db, external_userid)
    after = _position(ask.args.get("cursor", ""))
    rows = db.execute(
        "SELECT relation.* FROM relation JOIN member USING (userid) WHERE external_userid = ? "
        "AND stage = 'friend' AND is_visible AND status <> 5 AND relation.id > ? "
        "ORDER BY relation.id LIMIT ?",
        (external_userid, after, _FOLLOWERS_PER_PAGE + 1),
    ).fetchall()
    if not rows:
        raise Refusal(84061)
    page = rows[:_FOLLOWERS_PER_PAGE]
    tags = _tags(db, page)
    answer: dict[str, Any] = {
        "external_contact": _person(db, person),
        "follow_user": [
            {**_follow(row), "tags": tags["detail"].get(row["id"], [])} for row in page
        ],
    }
    if len(rows) > _FOLLOWERS_PER_PAGE:
        answer["next_cursor"] = _cursor(page[-1]["id"])
    return answer


def by_user(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """externalcontact/batch/get_by_user: one row per (member, customer), in pages."""
    userids = fields.strings(ask.body, "userid_list", most=100)
    if not userids:
        raise Refusal(40058, "userid_list missing")
    for userid in userids:
        member(db, userid)
    limit = fields.number(ask.body, "limit", 50)
    limit = min(limit, 100) if limit > 0 else 50
    after = _position(fields.text(ask.body, "cursor", missing=None))
    marks = ",".join("?" * len(userids))
    rows = db.execute(
        f"SELECT * FROM relation WHERE userid IN ({marks}) AND stage = 'friend' AND id > ? "
        "ORDER BY id LIMIT ?",
        (*userids, after, limit + 1),
    ).fetchall()
    page = rows[:limit]
    tags = _tags(db, page)
    return {
        "external_contact_list": [
            {
                "external_contact": _person(db, customer(db, row["external_userid"])),
                "follow_info": {**_follow(row), "tag_id": tags["ids"].get(row["id"], [])},
            }
            for row in page
        ],
        "next_cursor": _cursor(page[-1]["id"]) if len(rows) > limit else "",
        "fail_info": {"unlicensed_userid_list": []},
    }


def remark(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """externalcontact/remark: overwrites the fields that are given; no callback."""
    body = ask.body
    userid = fields.text(body, "userid")
    external_userid = fields.text(body, "external_userid", missing=41035)
    given = [
        key
        for key in ("remark", "description", "remark_company", "remark_mobiles")
        if body.get(key) is not None
    ]
    if not given and not body.get("remark_pic_mediaid"):
        raise Refusal(40058, "nothing to change")
    relation = friendship(db, userid, external_userid)
    values: dict[str, str] = {
        "remark": fields.text(body, "remark", missing=None, chars=20),
        "description": fields.text(body, "description", missing=None, chars=150),
        "remark_company": fields.text(body, "remark_company", missing=None, chars=20),
        "remark_mobiles": _mobiles(body),
    }
    columns = {"remark_company": "remark_corp_name"}
    for key in given:
        column = columns.get(key, key)
        db.execute(f"UPDATE relation SET {column} = ? WHERE id = ?", (values[key], relation["id"]))
    town.record(
        db, "remark_changed", userid, external_userid, **{key: values[key] for key in given}
    )
    return {}


def _mobiles(body: fields.Body) -> str:
    value = body.get("remark_mobiles")
    if value is None or value == "":
        return "[]"
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Refusal(40058, "remark_mobiles must be an array of strings")
    return dump([one for one in value if one])


def _person(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    person: dict[str, Any] = {
        "external_userid": row["external_userid"],
        "name": row["name"],
        "type": row["type"],
        "avatar": row["avatar"],
        "gender": row["gender"],
    }
    if row["type"] == 1:
        if row["unionid"] and knobs.knob(db, "developer_account_bound"):
            person["unionid"] = row["unionid"]
    else:
        person |= {"position": "", "corp_name": row["corp_name"]}
        person |= {"corp_full_name": row["corp_name"], "external_profile": {"external_attr": []}}
    return person


def _follow(row: sqlite3.Row) -> dict[str, Any]:
    follow = {
        "userid": row["userid"],
        "remark": row["remark"],
        "description": row["description"],
        "createtime": int(row["created_at"]),
        "remark_corp_name": row["remark_corp_name"],
        "remark_mobiles": json.loads(row["remark_mobiles"]),
        "oper_userid": row["oper_userid"],
        "add_way": row["add_way"],
    }
    if row["state"]:
        follow["state"] = row["state"]
    return follow


def _tags(db: sqlite3.Connection, rows: Iterable[sqlite3.Row]) -> dict[str, dict[int, list[Any]]]:
    """Tags of several relations: `detail` as in get (personal ones too), `ids` as in the batch."""
    marks = ",".join(str(row["id"]) for row in rows)
    detail: dict[int, list[Any]] = {}
    ids: dict[int, list[Any]] = {}
    for row in db.execute(
        f"SELECT relation_id, tag_id, tag.name AS tag_name, tag_group.name AS group_name "
        f"FROM relation_tag JOIN tag USING (tag_id) JOIN tag_group USING (group_id) "
        f"WHERE relation_id IN ({marks}) ORDER BY tag_id"
    ):
        ids.setdefault(row["relation_id"], []).append(row["tag_id"])
        detail.setdefault(row["relation_id"], []).append(
            {
                "group_name": row["group_name"],
                "tag_name": row["tag_name"],
                "type": 1,
                "tag_id": row["tag_id"],
            }
        )
    for row in db.execute(f"SELECT * FROM personal_tag WHERE relation_id IN ({marks})"):
        detail.setdefault(row["relation_id"], []).append(
            {"group_name": "", "tag_name": row["name"], "type": 2}
        )
    return {"detail": detail, "ids": ids}


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(f"r{position}".encode()).decode()


def _position(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        plain = base64.urlsafe_b64decode(cursor.encode()).decode()
        if not plain.startswith("r"):
            raise ValueError(plain)
        return int(plain[1:])
    except ValueError as error:
        raise Refusal(50100, "invalid cursor") from error
