"""Moments (客户朋友圈): a job in the background, then every member publishes for herself."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from bot.sandbox import fields, knobs
from bot.sandbox.fields import Ask, Body
from bot.sandbox.frequency import spend
from bot.sandbox.mass import attachments_of
from bot.sandbox.mass_results import position, span
from bot.sandbox.media import FOR_MOMENTS, must_live
from bot.sandbox.members import members_under
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town, dump, new_id

_DAY = 86400
_PER_MINUTE = 10
_PER_MONTH = 100_000
_JOB_LIFE = _DAY
_LONGEST_SPAN = 30 * _DAY
_MOST_ON_A_PAGE = 20
_MOST_MEMBERS = 100_000
_TEXT_CHARACTERS, _TEXT_OCTETS = 2000, 4000
_MOST_PICTURES = 9
_STARTED, _RUNNING, _DONE = 1, 2, 3


def add(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """add_moment_task: 10 a minute and 100,000 a month; the members are asked by the job."""
    content = fields.text(
        fields.mapping(ask.body, "text", missing=None),
        "content", missing=None, chars=_TEXT_CHARACTERS, octets=_TEXT_OCTETS,
    )  # fmt: skip
    parts = _attachments(town, db, ask.body)
    if not content and not parts:
        raise Refusal(41089, "text and attachments empty")
    asked, unknown = _senders(db, ask.body)
    spend(db, town.now(), "moments a minute", 60, _PER_MINUTE)
    spend(db, town.now(), "moments a month", 30 * _DAY, _PER_MONTH)
    moment_id, jobid = new_id("mom", 30), new_id("job", 40)
    db.execute(
        "INSERT INTO moment VALUES (?, ?, ?, ?, ?, ?)",
        (moment_id, jobid, content, dump(parts), dump(unknown), town.now()),
    )
    db.executemany(
        "INSERT INTO moment_publisher VALUES (?, ?, NULL)", [(moment_id, one) for one in asked]
    )
    town.record(db, "moment_created", "corp", moment_id=moment_id, text=content, members=asked)
    return {"jobid": jobid}


def _attachments(town: Town, db: sqlite3.Connection, body: Body) -> list[Any]:
    given = fields.mappings(body, "attachments")
    kinds = {str(one.get("msgtype")) for one in given}
    if len(kinds) > 1 or not kinds <= {"image", "video", "link"}:
        raise Refusal(40063, "invalid attachments msgtype")
    if len(given) > (_MOST_PICTURES if kinds == {"image"} else 1):
        raise Refusal(40063, "invalid attachments size")
    parts = []
    for one in given:
        kind = str(one["msgtype"])
        part = fields.mapping(one, kind)
        media_id = fields.text(part, "media_id", missing=40007)
        if kind == "link":
            fields.text(part, "title", missing=None, chars=64, octets=128)
            fields.text(part, "url", octets=2048)
        must_live(town, db, media_id, FOR_MOMENTS + ("video" if kind == "video" else "image"))
        parts.append([kind, dict(part)])
    return parts


def _senders(db: sqlite3.Connection, body: Body) -> tuple[list[str], list[str]]:
    """The members who are asked, and the userids that are nobody; nobody given is everybody."""
    visible = fields.mapping(body, "visible_range", missing=None)
    senders = fields.mapping(visible, "sender_list", missing=None)
    given = fields.strings(senders, "user_list", most=_MOST_MEMBERS)
    departments = senders.get("department_list") or []
    if not isinstance(departments, list) or not all(type(one) is int for one in departments):
        raise Refusal(40058, "department_list must be an array of integers")
    able = {
        row["userid"].lower(): row["userid"]
        for row in db.execute(
            "SELECT userid FROM member WHERE is_visible AND status = 1 AND has_contacts "
            "ORDER BY userid"
        )
    }
    if not given and not departments:
        return list(able.values()), []
    asked = [able[one.lower()] for one in given if one.lower() in able]
    below = [row["userid"] for one in departments for row in members_under(db, one)]
    asked += [one for one in below if one.lower() in able]
    if not asked:
        raise Refusal(60111)
    return list(dict.fromkeys(asked)), [one for one in given if one.lower() not in able]


def job(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """get_moment_task_result: 1 started, 2 running, 3 done; a jobid is known for a day."""
    jobid = fields.text(ask.args, "jobid")
    row = db.execute("SELECT * FROM moment WHERE jobid = ?", (jobid,)).fetchone()
    if row is None or town.now() - row["created_at"] > _JOB_LIFE:
        raise Refusal(40058, "invalid jobid")
    age, wait = town.now() - row["created_at"], knobs.knob(db, "moment_wait")
    status = _DONE if age >= wait else _RUNNING if age >= wait / 2 else _STARTED
    answer: dict[str, Any] = {"status": status, "type": "add_moment_task"}
    if status == _DONE:
        invalid = {"user_list": json.loads(row["invalid_users"]), "department_list": []}
        answer["result"] = {
            "errcode": 0,
            "errmsg": "ok",
            "moment_id": row["moment_id"],
            "invalid_sender_list": invalid,
            "invalid_external_contact_list": {"tag_list": []},
        }
    return answer


def list_all(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """get_moment_list: at most 20 a page and 30 days; what is still being made is not there."""
    first, last = span(ask.body, _LONGEST_SPAN)
    fields.number(ask.body, "filter_type", 2)
    limit = fields.number(ask.body, "limit", _MOST_ON_A_PAGE)
    limit = limit if 0 < limit <= _MOST_ON_A_PAGE else _MOST_ON_A_PAGE
    done_by = town.now() - knobs.knob(db, "moment_wait")
    rows = db.execute(
        "SELECT rowid, * FROM moment WHERE created_at > ? AND created_at < ? AND created_at <= ? "
        "AND rowid > ? ORDER BY rowid LIMIT ?",
        (first, last, done_by, position(ask.body), limit + 1),
    ).fetchall()
    page = rows[:limit]
    return {
        "moment_list": [
            {
                "moment_id": row["moment_id"],
                "create_time": str(int(row["created_at"])),
                "create_type": 0,
                "visible_type": 1,
                "text": {"content": row["content"]},
                "image": [one["image"] for one in attachments_of(row) if "image" in one],
            }
            for row in page
        ],
        "next_cursor": f"p{page[-1]['rowid']}" if len(rows) > limit else "",
    }


def tasks(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """get_moment_task: the members of a moment, and who has published it."""
    moment_id = fields.text(ask.body, "moment_id", missing=41059)
    row = db.execute("SELECT * FROM moment WHERE moment_id = ?", (moment_id,)).fetchone()
    if row is None:
        raise Refusal(41060)
    limit = fields.number(ask.body, "limit", 500)
    limit = min(limit, 1000) if limit > 0 else 500
    rows = db.execute(
        "SELECT rowid, * FROM moment_publisher WHERE moment_id = ? AND rowid > ? "
        "ORDER BY rowid LIMIT ?",
        (moment_id, position(ask.body), limit + 1),
    ).fetchall()
    page = rows[:limit]
    return {
        "task_list": [
            {"userid": one["userid"], "publish_status": int(one["published_at"] is not None)}
            for one in page
        ],
        "next_cursor": f"p{page[-1]['rowid']}" if len(rows) > limit else "",
    }


def publish(town: Town, db: sqlite3.Connection, row: sqlite3.Row, userid: str) -> None:
    """The member published: all her customers may see it."""
    db.execute(
        "UPDATE moment_publisher SET published_at = ? WHERE moment_id = ? AND userid = ?",
        (town.now(), row["moment_id"], userid),
    )
    town.record(
        db, "moment_published", userid,
        moment_id=row["moment_id"], text=row["content"], attachments=attachments_of(row),
    )  # fmt: skip
