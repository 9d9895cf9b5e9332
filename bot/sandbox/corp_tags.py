"""The corp's tag book (企业客户标签) and tagging customers; changes by API cause no callback."""

from __future__ import annotations

import sqlite3
from typing import Any

from bot.sandbox import fields
from bot.sandbox.contacts import friendship
from bot.sandbox.fields import Ask
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town, new_id

_MOST_TAGS = 10_000
_NAME_CHARS = 30


def list_all(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """get_corp_tag_list: all, or the groups asked for, or the groups of the tags asked for."""
    group_ids = fields.strings(ask.body, "group_id")
    tag_ids = [] if group_ids else fields.strings(ask.body, "tag_id")
    asked = bool(group_ids or tag_ids)
    groups = []
    for group in db.execute("SELECT * FROM tag_group ORDER BY sort DESC, rowid").fetchall():
        if group_ids and group["group_id"] not in group_ids:
            continue
        tags = db.execute(
            "SELECT * FROM tag WHERE group_id = ? ORDER BY sort DESC, rowid", (group["group_id"],)
        ).fetchall()
        tags = [
            tag
            for tag in tags
            if (not tag_ids or tag["tag_id"] in tag_ids) and (asked or not tag["is_deleted"])
        ]
        if (tag_ids and not tags) or (group["is_deleted"] and not asked):
            continue
        groups.append(_group(group, tags))
    return {"tag_group": groups}


def _group(group: sqlite3.Row, tags: list[sqlite3.Row]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "group_id": group["group_id"],
        "group_name": group["name"],
        "create_time": int(group["created_at"]),
        "order": group["sort"],
        "tag": [_tag(tag) for tag in tags],
    }
    return shown | ({"deleted": True} if group["is_deleted"] else {})


def _tag(tag: sqlite3.Row) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": tag["tag_id"],
        "name": tag["name"],
        "create_time": int(tag["created_at"]),
        "order": tag["sort"],
    }
    return shown | ({"deleted": True} if tag["is_deleted"] else {})


def add(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """add_corp_tag: into the group by id, or by name (made if it is new)."""
    body = ask.body
    wanted: dict[str, int] = {}
    for one in fields.mappings(body, "tag"):
        name = fields.text(one, "name", chars=_NAME_CHARS)
        wanted.setdefault(name, fields.number(one, "order", 0))
    if not wanted:
        raise Refusal(40058, "tag missing")
    group_id = fields.text(body, "group_id", missing=None)
    name = "" if group_id else fields.text(body, "group_name", chars=_NAME_CHARS)
    return {"tag_group": create(town, db, name, wanted, group_id=group_id, is_ours=True)}


def create(
    town: Town,
    db: sqlite3.Connection,
    group_name: str,
    wanted: dict[str, int],
    *,
    group_id: str = "",
    is_ours: bool,
) -> dict[str, Any]:
    """Tags (name -> order) in a group; 40068 unknown group, 40071 known name, 40126 too many."""
    count = db.execute("SELECT COUNT(*) FROM tag WHERE NOT is_deleted").fetchone()[0]
    if count + len(wanted) > _MOST_TAGS:
        raise Refusal(40126, "tag count at limit")
    group = db.execute(
        "SELECT * FROM tag_group WHERE NOT is_deleted AND (group_id = ? OR (? = '' AND name = ?))",
        (group_id, group_id, group_name),
    ).fetchone()
    if group is None:
        if group_id:
            raise Refusal(40068, "invalid group_id")
        group_id = new_id("et")
        db.execute(
            "INSERT INTO tag_group (group_id, name, sort, created_at, is_ours) "
            "VALUES (?, ?, 0, ?, ?)",
            (group_id, group_name, town.now(), is_ours),
        )
        group = _row(db, "tag_group", "group_id", group_id)
    for name, order in wanted.items():
        if _name_taken(db, group["group_id"], name):
            raise Refusal(40071)
        db.execute(
            "INSERT INTO tag (tag_id, group_id, name, sort, created_at, is_ours) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (new_id("et"), group["group_id"], name, order, town.now(), is_ours),
        )
    town.record(db, "corp_tag_created", "corp", group=group["name"], tags=list(wanted))
    made = db.execute(
        f"SELECT * FROM tag WHERE group_id = ? AND NOT is_deleted AND name IN "
        f"({','.join('?' * len(wanted))}) ORDER BY rowid",
        (group["group_id"], *wanted),
    ).fetchall()
    return _group(group, made)


def _row(db: sqlite3.Connection, table: str, key: str, value: str) -> Any:
    return db.execute(
        f"SELECT * FROM {table} WHERE {key} = ? AND NOT is_deleted", (value,)
    ).fetchone()


def _name_taken(db: sqlite3.Connection, group_id: str, name: str) -> bool:
    found = db.execute(
        "SELECT 1 FROM tag WHERE group_id = ? AND name = ? AND NOT is_deleted", (group_id, name)
    )
    return found.fetchone() is not None


def edit(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """edit_corp_tag: a tag's or a group's name and order; only what the app made itself."""
    changed_id = fields.text(ask.body, "id")
    name = fields.text(ask.body, "name", missing=None, chars=_NAME_CHARS)
    table, row = _find(db, changed_id)
    if not row["is_ours"]:
        raise Refusal(81011, "no privilege on this tag")
    rename(db, table, row, name)
    order = fields.number(ask.body, "order", row["sort"])
    if not 0 <= order < 2**32:
        raise Refusal(40058, "order out of range")
    key = "tag_id" if table == "tag" else "group_id"
    db.execute(f"UPDATE {table} SET sort = ? WHERE {key} = ?", (order, changed_id))
    town.record(db, "corp_tag_changed", "corp", id=changed_id, name=name or row["name"])
    return {}


def rename(db: sqlite3.Connection, table: str, row: Any, name: str) -> None:
    """A new name for a tag or group, unless another one has it (40071)."""
    if not name or name == row["name"]:
        return
    if table == "tag":
        if _name_taken(db, row["group_id"], name):
            raise Refusal(40071)
        db.execute("UPDATE tag SET name = ? WHERE tag_id = ?", (name, row["tag_id"]))
        return
    if _row(db, "tag_group", "name", name) is not None:
        raise Refusal(40071)
    db.execute("UPDATE tag_group SET name = ? WHERE group_id = ?", (name, row["group_id"]))


def _find(db: sqlite3.Connection, some_id: str) -> tuple[str, Any]:
    for table, key in (("tag", "tag_id"), ("tag_group", "group_id")):
        row = _row(db, table, key, some_id)
        if row is not None:
            return table, row
    raise Refusal(40068)


def delete(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """del_corp_tag: tags, whole groups; a group goes with its last tag."""
    tag_ids = fields.strings(ask.body, "tag_id")
    group_ids = fields.strings(ask.body, "group_id")
    if not tag_ids and not group_ids:
        raise Refusal(40058, "tag_id and group_id missing")
    for some_id in [*tag_ids, *group_ids]:
        if not _find(db, some_id)[1]["is_ours"]:
            raise Refusal(81011, "no privilege on this tag")
    for tag_id in tag_ids:
        drop_tag(db, tag_id)
    for group_id in group_ids:
        drop_group(db, group_id)
    town.record(db, "corp_tag_deleted", "corp", tags=tag_ids, groups=group_ids)
    return {}


def drop_tag(db: sqlite3.Connection, tag_id: str) -> None:
    """The tag leaves the book and everyone who wore it."""
    db.execute("UPDATE tag SET is_deleted = 1 WHERE tag_id = ?", (tag_id,))
    db.execute("DELETE FROM relation_tag WHERE tag_id = ?", (tag_id,))
    db.execute(
        "UPDATE tag_group SET is_deleted = 1 WHERE group_id = "
        "(SELECT group_id FROM tag WHERE tag_id = ?) AND NOT EXISTS (SELECT 1 FROM tag WHERE "
        "tag.group_id = tag_group.group_id AND NOT tag.is_deleted)",
        (tag_id,),
    )


def drop_group(db: sqlite3.Connection, group_id: str) -> None:
    """The group goes, and its tags with it."""
    for row in db.execute("SELECT tag_id FROM tag WHERE group_id = ?", (group_id,)).fetchall():
        drop_tag(db, row["tag_id"])
    db.execute("UPDATE tag_group SET is_deleted = 1 WHERE group_id = ?", (group_id,))


def mark(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """mark_tag: one member's customer gets and loses corp tags; one effect per real change."""
    userid = fields.text(ask.body, "userid")
    external_userid = fields.text(ask.body, "external_userid", missing=41035)
    added = fields.strings(ask.body, "add_tag")
    removed = fields.strings(ask.body, "remove_tag")
    if not added and not removed:
        raise Refusal(40058, "add_tag and remove_tag missing")
    relation = friendship(db, userid, external_userid)
    for tag_id in [*added, *removed]:
        if _row(db, "tag", "tag_id", tag_id) is None:
            raise Refusal(40068)
    wear(town, db, relation, added, removed)
    return {}


def wear(
    town: Town, db: sqlite3.Connection, relation: Any, added: list[str], removed: list[str]
) -> None:
    """Put tags on a relation and take tags off; only real changes reach the ledger."""
    changes = [("add", tag_id) for tag_id in added] + [("remove", tag_id) for tag_id in removed]
    for change, tag_id in changes:
        sql = (
            "INSERT OR IGNORE INTO relation_tag VALUES (?, ?)"
            if change == "add"
            else "DELETE FROM relation_tag WHERE relation_id = ? AND tag_id = ?"
        )
        if db.execute(sql, (relation["id"], tag_id)).rowcount:
            row = db.execute(
                "SELECT tag.name, tag_group.name AS group_name FROM tag "
                "JOIN tag_group USING (group_id) WHERE tag_id = ?",
                (tag_id,),
            ).fetchone()
            town.record(
                db, "tag_marked", relation["userid"], relation["external_userid"],
                change=change, tag_id=tag_id, tag=row["name"], group=row["group_name"],
            )  # fmt: skip
