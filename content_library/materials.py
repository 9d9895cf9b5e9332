"""Materials (素材): as messages customers get, and their uploads kept fresh at WeCom.

WeCom keeps an upload three days (document 90253). It is renewed after two, ahead of any message
that needs it, because a welcome has no time to upload anything.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session, sessionmaker, undefer

from bot.clock import Clock
from bot.db import transaction
from bot.errors import (
    NotConfigured,
    RateLimited,
    TokenRejected,
    UserError,
    WeComError,
    WeComUnavailable,
)
from bot.wecom.gateway import Gateway
from bot.wecom.messages import MESSAGES, Attachment, File, Image, Link, MiniProgram, Video
from content_library.models import Material

log = logging.getLogger(__name__)

MEDIA_LIFE = timedelta(days=3)
RENEW_BEFORE = timedelta(days=1)
# A media_id that dies while the message is on its way would lose the whole message.
_SAFETY = timedelta(minutes=5)

#: Kind -> the type WeCom's media/upload wants; the other kinds need no upload.
UPLOAD_KINDS = {"image": "image", "miniprogram": "image", "video": "video", "file": "file"}
#: Bytes, document 90253.
_UPLOAD_LIMITS = {"image": 10_000_000, "video": 10_000_000, "file": 20_000_000}
_UPLOAD_SIGNS: dict[str, tuple[tuple[int, bytes], ...]] = {
    "image": ((0, b"\xff\xd8\xff"), (0, b"\x89PNG\r\n\x1a\n")),
    "video": ((4, b"ftyp"),),
    "file": (),
}
_UPLOAD_WORDS = {"image": "图片要是 JPG 或 PNG", "video": "视频要是 MP4"}


def check(material: Material) -> None:
    """Refuse a material that WeCom would refuse; raises UserError with the field."""
    if material.kind == "text" or material.kind not in MESSAGES:
        raise UserError(f"素材「{material.name}」的类型「{material.kind}」不认识。", field="kind")
    upload = UPLOAD_KINDS.get(material.kind)
    if upload is not None and not (material.kind == "image" and material.picture_url):
        _check_upload(material, upload)
    as_message(material, media_id=material.media_id or "checked")


def check_upload(kind: str, content: bytes) -> None:
    """Refuse bytes that are too small, too large or not of `kind`; raises UserError."""
    upload = UPLOAD_KINDS[kind]
    limit = _UPLOAD_LIMITS[upload]
    if not 5 < len(content) <= limit:
        raise UserError(f"文件要大于 5 字节、不超过 {limit // 1_000_000} MB。", field="content")
    signs = _UPLOAD_SIGNS[upload]
    if signs and not any(content[at : at + len(sign)] == sign for at, sign in signs):
        raise UserError(f"{_UPLOAD_WORDS[upload]}。", field="content")


def as_message(material: Material, *, media_id: str | None = None) -> Attachment:
    """The attachment a customer gets; raises UserError if a part of it is missing or too long."""
    uploaded = media_id if media_id is not None else (material.media_id or "")
    match material.kind:
        case "image":
            return Image(media_id=uploaded, pic_url=material.picture_url or "")
        case "link":
            return Link(
                title=material.title or material.name,
                url=material.url or "",
                desc=material.description or "",
                picurl=material.picture_url or "",
            )
        case "miniprogram":
            return MiniProgram(
                title=material.title or material.name,
                pic_media_id=uploaded,
                appid=material.appid or "",
                page=material.page or "",
            )
        case "video":
            return Video(media_id=uploaded)
        case "file":
            return File(media_id=uploaded)
    raise UserError(f"素材「{material.name}」的类型「{material.kind}」不认识。", field="kind")


def is_ready(material: Material, now: datetime) -> bool:
    """Whether it can be sent at once: no upload needed, or one that lives long enough."""
    if material.kind not in UPLOAD_KINDS:
        return True
    if material.kind == "image" and material.picture_url and not material.content:
        return True
    if material.media_id is None or material.media_expires_at is None:
        return False
    return material.media_expires_at > now + _SAFETY


def ready_messages(wanted: Sequence[Material], now: datetime) -> tuple[list[Attachment], list[str]]:
    """The attachments that can be sent now, in order, and the names of those left out."""
    messages: list[Attachment] = []
    left_out: list[str] = []
    for material in wanted:
        try:
            if not is_ready(material, now):
                raise UserError("not uploaded")
            messages.append(as_message(material))
        except UserError:
            left_out.append(material.name)
    return messages, left_out


def due_media(session: Session, now: datetime) -> list[int]:
    """Materials whose upload is missing or has less than a day to live."""
    return list(
        session.scalars(
            select(Material.id)
            .where(
                Material.kind.in_(UPLOAD_KINDS),
                Material.content.is_not(None),
                or_(
                    Material.media_id.is_(None),
                    Material.media_expires_at.is_(None),
                    Material.media_expires_at < now + RENEW_BEFORE,
                ),
            )
            .order_by(Material.media_expires_at.nulls_first(), Material.id)
        )
    )


def store_media_id(
    session: Session, material_id: int, media_id: str, uploaded_at: datetime, *, of: datetime
) -> bool:
    """Keep an upload. `of` is the `updated_at` of the bytes that were sent: if HQ replaced them
    meanwhile the upload shows the old picture and is not kept (False)."""
    kept = session.execute(
        update(Material)
        .where(Material.id == material_id, Material.updated_at == of)
        .values(media_id=media_id, media_expires_at=uploaded_at + MEDIA_LIFE, media_error=None)
        .returning(Material.id)
    )
    return kept.scalar() is not None


def renew_media(gateway: Gateway, sessions: sessionmaker[Session], clock: Clock) -> int:
    """Timed job: upload what is missing or due; returns how many were renewed.

    Safe to run twice or to be killed: an upload that was not kept is only done again. A material
    WeCom refuses is noted on its row and the others go on; an outage ends the run, which the next
    one continues.
    """
    with transaction(sessions) as session:
        due = due_media(session, clock.now())
    renewed = 0
    for material_id in due:
        try:
            renewed += _renew(gateway, sessions, clock.now(), material_id)
        except (WeComUnavailable, RateLimited, NotConfigured, TokenRejected):
            log.warning("media renewed=%d due=%d stopped=%d", renewed, len(due), material_id)
            raise
        except WeComError as error:
            log.warning("media material=%d errcode=%s", material_id, error.errcode)
            with transaction(sessions) as session:
                _note_error(session, material_id, error.reason)
    if due:
        log.info("media renewed=%d due=%d", renewed, len(due))
    return renewed


def _renew(
    gateway: Gateway, sessions: sessionmaker[Session], now: datetime, material_id: int
) -> bool:
    with transaction(sessions) as session:
        material = session.get(Material, material_id, options=[undefer(Material.content)])
        if material is None or not material.content:
            return False
        kind, content, of = UPLOAD_KINDS[material.kind], material.content, material.updated_at
        filename = material.filename or material.name
    media_id = gateway.upload_media(kind, filename, content)
    with transaction(sessions) as session:
        return store_media_id(session, material_id, media_id, now, of=of)


def _note_error(session: Session, material_id: int, reason: str) -> None:
    session.execute(update(Material).where(Material.id == material_id).values(media_error=reason))


def _check_upload(material: Material, upload: str) -> None:
    if material.content is None:
        raise UserError(f"素材「{material.name}」还没有上传文件。", field="content")
    check_upload(material.kind, material.content)
