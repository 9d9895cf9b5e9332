"""Door: what the SMS gateway tells us (短信回执与上行): delivery reports, and customers' replies.

Signed like events. A report belongs to the task whose message it was; "TD" is a refusal, any other
reply a sign of life. Everything may come twice, and a piece we cannot use never hurts the others.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, current_app, jsonify
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.bot import Bot
from bot.clock import business_day
from bot.crm import activity, changes, mobiles, opt_outs, timeline
from bot.crm.models import Contact, ContactIdentity, IdentityKind, OptOutChannel
from bot.db import transaction
from bot.errors import UserError
from content_library import words
from handlers import api
from sop import send_results

log = logging.getLogger(__name__)

bp = Blueprint("sms_reports", __name__, url_prefix="/api/v1")

_MESSAGE_ID = re.compile(r"t([0-9]{1,18})")
_LONGEST = 1000


@dataclass(frozen=True)
class _Report:
    task_id: int
    is_delivered: bool
    error: str


@dataclass(frozen=True)
class _Reply:
    mobile: str
    words: str
    key: str


@bp.post("/sms")
def receive_reports() -> tuple[Response, int]:
    """A JSON array or NDJSON of reports and replies; answers how many were of use."""
    bot: Bot = current_app.extensions["bot"]
    try:
        entries = api.signed_entries(bot)
    except api.Refused as refused:
        log.info("sms reports refused status=%d", refused.status)
        return jsonify(error=refused.error), refused.status
    accepted, rejected = 0, []
    for index, entry in enumerate(entries):
        try:
            piece = _read(entry)
        except UserError as error:
            rejected.append({"index": index, "error": error.message_zh})
            continue
        with transaction(bot.sessions) as session:
            accepted += _keep(session, piece, bot)
    log.info("sms reports accepted=%d rejected=%d of=%d", accepted, len(rejected), len(entries))
    return jsonify(accepted=accepted, rejected=rejected), 200


def _read(entry: Any) -> _Report | _Reply:
    if not isinstance(entry, dict):
        raise UserError("每一条要是 JSON 对象。")
    match entry.get("kind"):
        case "report":
            return _report(entry)
        case "reply":
            return _reply(entry)
    raise UserError("kind 要是 report 或 reply。", field="kind")


def _report(entry: dict[str, Any]) -> _Report:
    message_id, ok, error = entry.get("message_id"), entry.get("ok"), entry.get("error", "")
    ours = _MESSAGE_ID.fullmatch(message_id) if isinstance(message_id, str) else None
    if ours is None:
        raise UserError("message_id 不是我们发出的短信编号。", field="message_id")
    if not isinstance(ok, bool):
        raise UserError("ok 要是 true 或 false。", field="ok")
    if error is not None and not isinstance(error, str):
        raise UserError("error 要是文字。", field="error")
    return _Report(int(ours[1]), ok, words.clean(error or "", 60))


def _reply(entry: dict[str, Any]) -> _Reply:
    mobile, said = entry.get("mobile"), entry.get("text")
    if not isinstance(mobile, str) or len(mobile) > _LONGEST:
        raise UserError("mobile 不是有效的手机号。", field="mobile")
    if not isinstance(said, str) or len(said) > _LONGEST:
        raise UserError(f"text 要是文字，最多 {_LONGEST} 个字。", field="text")
    number = mobiles.normalize(mobile)
    given = entry.get("reply_id")
    if given is not None and not (isinstance(given, str) and 0 < len(given) <= 128):
        raise UserError("reply_id 要是文字，最多 128 个字。", field="reply_id")
    return _Reply(number, words.clean(said, _LONGEST), given or "")


def _keep(session: Session, piece: _Report | _Reply, bot: Bot) -> bool:
    now = bot.clock.now()
    if isinstance(piece, _Report):
        return send_results.reported(
            session, piece.task_id, is_delivered=piece.is_delivered, error=piece.error, at=now
        )
    return _hear(session, piece, now, bot.settings.secret_key)


def _hear(session: Session, reply: _Reply, now: datetime, secret_key: str) -> bool:
    contact = _contact(session, mobiles.mobile_index(reply.mobile, secret_key))
    if contact is None:
        return False
    day = business_day(now)
    # Without an id of the gateway's the same words on the same day are the same reply.
    key = reply.key or f"{day}:{reply.words}"
    digest = hashlib.sha256(f"{contact.id}:{key}".encode()).hexdigest()[:32]
    if opt_outs.is_stop_reply(reply.words):
        return opt_outs.refuse(
            session,
            contact.id,
            OptOutChannel.SMS,
            source="sms_reply",
            at=now,
            words=reply.words,
            event_key=f"sms_reply:{digest}",
        )
    activity.seen(session, {contact.id: day}, activity.Sign.REPLIED)
    timeline.record(
        session,
        contact.id,
        "wrote",
        f"回复短信：{words.clean(reply.words, 60)}",
        now,
        guide_id=contact.guide_id,
        dedupe_key=f"sms_reply:{digest}",
    )
    changes.mark(session, [contact.id])
    return True


def _contact(session: Session, index: str) -> Contact | None:
    """Whose number it is, by its blind index; a merged contact is the one it went into."""
    owner = (
        select(func.coalesce(Contact.merged_into_id, Contact.id))
        .join(ContactIdentity, ContactIdentity.contact_id == Contact.id)
        .where(ContactIdentity.kind == IdentityKind.MOBILE, ContactIdentity.value == index)
        .scalar_subquery()
    )
    return session.scalars(select(Contact).where(Contact.id == owner)).one_or_none()
