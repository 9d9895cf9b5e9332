"""Files of the app (素材): temporary media that live three days, and permanent pictures."""

from __future__ import annotations

import sqlite3
from typing import Any

from bot.sandbox.fields import Ask, Upload
from bot.sandbox.frequency import spend
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town, new_id

MEDIA_LIFE = 3 * 86400
_MIB = 1024 * 1024
# kind -> (most bytes, errcode when it is more)
_LIMITS = {
    "image": (10 * _MIB, 40009),
    "voice": (2 * _MIB, 45001),
    "video": (10 * _MIB, 45001),
    "file": (20 * _MIB, 45001),
}
# What was uploaded for moments is another kind: it cannot go into a chat, nor the other way round.
FOR_MOMENTS = "moment_"
_PICTURE_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


def upload(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """media/upload?type=: field `media`, more than 5 bytes."""
    kind = ask.args.get("type", "")
    if kind not in _LIMITS:
        raise Refusal(40004, "invalid media type")
    one = _single(ask)
    most, too_large = _LIMITS[kind]
    if len(one.data) <= 5:
        raise Refusal(40006, "invalid media size")
    if len(one.data) > most:
        raise Refusal(too_large, "media too large")
    if kind == "image" and not one.data.startswith(_PICTURE_STARTS):
        raise Refusal(40004, "not a JPG or PNG")
    media_id = new_id("3", 66)
    _keep(town, db, media_id, kind, one)
    return {"type": kind, "media_id": media_id, "created_at": str(int(town.now()))}


def upload_attachment(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """media/upload_attachment: a picture or film that is good for moments only."""
    kind = ask.args.get("media_type", "")
    if kind not in ("image", "video"):
        raise Refusal(40004, "invalid media type")
    if ask.args.get("attachment_type") != "1":
        raise Refusal(41072, "invalid attachment_type")
    one = _single(ask)
    if not 5 < len(one.data) <= 10 * _MIB:
        raise Refusal(41080, "invalid attachment size")
    if kind == "image" and not one.data.startswith(_PICTURE_STARTS):
        raise Refusal(40004, "not a JPG or PNG")
    if kind == "video" and one.data[4:8] != b"ftyp":
        raise Refusal(41090, "not an MP4")
    media_id = new_id("W", 64)
    _keep(town, db, media_id, FOR_MOMENTS + kind, one)
    return {"type": kind, "media_id": media_id, "created_at": int(town.now())}


def upload_image(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """media/uploadimg: a permanent picture address, 1,000 a day and 3,000 a month."""
    one = _single(ask)
    if len(one.data) <= 5 or len(one.data) > 2 * _MIB:
        raise Refusal(40009, "invalid image size")
    if not one.data.startswith(_PICTURE_STARTS):
        raise Refusal(40004, "not a JPG or PNG")
    spend(db, town.now(), "uploadimg day", 86400, 1000)
    spend(db, town.now(), "uploadimg month", 30 * 86400, 3000)
    name = new_id("pic", 40)
    _keep(town, db, name, "picture", one)
    return {"url": picture_url(town, name)}


def _single(ask: Ask) -> Upload:
    if len(ask.uploads) != 1:
        raise Refusal(40058, "one file expected")
    return ask.uploads[0]


def _keep(town: Town, db: sqlite3.Connection, media_id: str, kind: str, one: Upload) -> None:
    db.execute(
        "INSERT INTO media VALUES (?, ?, ?, ?, ?, ?)",
        (media_id, kind, one.filename, one.content_type, one.data, town.now()),
    )


def picture_url(town: Town, name: str) -> str:
    """Where a permanent picture is shown."""
    return f"{town.config.public_base_url.rstrip('/')}/media/{name}"


def must_live(town: Town, db: sqlite3.Connection, media_id: str, kind: str) -> None:
    """40007 unless the media exists, is of this kind, and is younger than three days."""
    row = db.execute("SELECT * FROM media WHERE media_id = ?", (media_id,)).fetchone()
    if row is None or row["kind"] != kind or town.now() - row["created_at"] > MEDIA_LIFE:
        raise Refusal(40007)


def must_be_picture(town: Town, db: sqlite3.Connection, url: str) -> None:
    """40058 unless the address came from uploadimg."""
    name = url.rpartition("/")[2]
    row = db.execute("SELECT kind FROM media WHERE media_id = ?", (name,)).fetchone()
    if row is None or row["kind"] != "picture" or url != picture_url(town, name):
        raise Refusal(40058, "pic_url not from uploadimg")
