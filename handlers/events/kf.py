"""Customers write to the brand's 微信客服 account: read everything new, then answer it.

The cursor moves in the transaction that keeps the messages, so a crash reads a page again and
keeps nothing twice. Answering takes what is kept without an outcome, so a crash in between only
delays an answer.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot.bot import Bot
from bot.crm import brand, opt_outs
from bot.crm.models import Contact, KfAccount, KfMessage
from bot.db import transaction
from bot.errors import Refused, UnknownPerson, WeComError
from bot.wecom.details import KfPage
from bot.wecom.events import KfArrived
from content_library import kf_answers
from handlers import lead_alerts
from sop import leads

log = logging.getLogger(__name__)

# A page holds up to 1,000 messages; this many pages are more than three days of any account.
_MOST_PAGES = 500
_TOKEN_DEAD = 95007


def kf_arrived(bot: Bot, event: KfArrived) -> None:
    """Read the account to its end and answer what has no answer yet. Safe to run many times."""
    try:
        _read_all(bot, event.open_kfid, event.token)
    finally:
        # What was read before a failure has customers waiting.
        _answer_all(bot, event.open_kfid)


def _read_all(bot: Bot, open_kfid: str, token: str) -> None:
    for _ in range(_MOST_PAGES):
        with transaction(bot.sessions) as session:
            cursor = _cursor(session, open_kfid)
        page = _page(bot, open_kfid, token, cursor)
        with transaction(bot.sessions) as session:
            kept = _keep(session, bot, open_kfid, cursor, page)
        if kept and not page.has_more:
            return
        if kept and page.next_cursor == cursor:
            log.warning("kf account=%s stands still", open_kfid)
            return
    log.warning("kf account=%s not read to its end pages=%d", open_kfid, _MOST_PAGES)


def _page(bot: Bot, open_kfid: str, token: str, cursor: str) -> KfPage:
    """One page. A token lives ten minutes; an event that waited longer reads without it."""
    try:
        return bot.gateway.kf_sync(open_kfid, token=token, cursor=cursor)
    except WeComError as error:
        if error.errcode != _TOKEN_DEAD or not token:
            raise
        return bot.gateway.kf_sync(open_kfid, cursor=cursor)


def _cursor(session: Session, open_kfid: str) -> str:
    session.execute(insert(KfAccount).values(open_kfid=open_kfid).on_conflict_do_nothing())
    query = select(KfAccount.cursor).where(KfAccount.open_kfid == open_kfid)
    return session.scalar(query) or ""


def _keep(session: Session, bot: Bot, open_kfid: str, cursor: str, page: KfPage) -> bool:
    """Keep a page and move the cursor; False if another worker has moved it meanwhile."""
    _lock(session, open_kfid)
    if _cursor(session, open_kfid) != cursor:
        return False
    rows = _rows(bot, open_kfid, page)
    if rows:
        session.execute(insert(KfMessage).on_conflict_do_nothing(), rows)
    for message in page.messages:
        if message.event.get("event_type") == "msg_send_fail":
            failed, kind = message.event.get("fail_msgid"), message.event.get("fail_type")
            kf_answers.note_send_fail(session, str(failed), kind if isinstance(kind, int) else 0)
    session.execute(
        update(KfAccount)
        .where(KfAccount.open_kfid == open_kfid)
        .values(cursor=page.next_cursor or None, synced_at=bot.clock.now())
    )
    return True


def _rows(bot: Bot, open_kfid: str, page: KfPage) -> list[dict[str, Any]]:
    now = bot.clock.now()
    return [
        {
            "msgid": message.msgid,
            "open_kfid": open_kfid,
            "external_userid": message.external_userid or None,
            "origin": message.origin,
            "msgtype": message.kind,
            # PostgreSQL cannot hold NUL; nothing else of what people write is touched.
            "text": message.text.replace("\0", "") or None,
            "event_type": _text(message.event.get("event_type")),
            "welcome_code": _text(message.event.get("welcome_code")),
            "sent_at": message.sent_at or now,
        }
        for message in page.messages
        if message.msgid
    ]


def _answer_all(bot: Bot, open_kfid: str) -> None:
    """Answer in the order of writing; one that fails does not keep the others waiting."""
    failures: list[Exception] = []
    for message_id in _unanswered(bot, open_kfid):
        try:
            _answer(bot, open_kfid, message_id)
        except WeComError as error:
            failures.append(error)
    if failures:
        raise ExceptionGroup(f"kf account {open_kfid}: {len(failures)} unanswered", failures)


def _unanswered(bot: Bot, open_kfid: str) -> Sequence[int]:
    with transaction(bot.sessions) as session:
        return session.scalars(
            select(KfMessage.id)
            .where(KfMessage.open_kfid == open_kfid, KfMessage.outcome.is_(None))
            .order_by(KfMessage.sent_at, KfMessage.id)
        ).all()


def _answer(bot: Bot, open_kfid: str, message_id: int) -> None:
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        message = session.get_one(KfMessage, message_id)
        external_userid = message.external_userid or ""
        asks = message.outcome is None and kf_answers.needs_state(message, now)
    state, refusal = _state(bot, open_kfid, external_userid) if asks else (None, None)
    with transaction(bot.sessions) as session:
        # Two workers must not both find that nobody has answered, or handed over, yet.
        _lock(session, open_kfid)
        message = session.get_one(KfMessage, message_id, with_for_update=True)
        if message.outcome is None and refusal is not None:
            message.outcome = f"{kf_answers.Outcome.FAILED}:{refusal}"
        elif message.outcome is None:
            kf_answers.answer(
                session,
                message,
                state,
                now,
                agent_id=bot.settings.wecom.agent_id,
                wants_person=_intends(session, bot, message, now),
            )
            log.info("kf message=%d outcome=%s", message.id, message.outcome)


def _intends(session: Session, bot: Bot, message: KfMessage, now: datetime) -> bool:
    """Whether she asks for something that wants a person (定制, 结婚选款); then she is a lead, and
    the guide who gets the lead hears of it at once."""
    said = message.text or ""
    if not kf_answers.needs_state(message, now) or opt_outs.asks_to_stop(said):
        return False
    intent = leads.intent_of(said, brand.settings(session).leads.intents)
    if intent is None:
        return False
    known = (Contact.external_userid == message.external_userid) & Contact.merged_into_id.is_(None)
    contact_id = session.scalar(select(Contact.id).where(known))
    if contact_id is not None:
        key = f"kf:{message.msgid}"
        if leads.raise_intent(session, contact_id, intent, said, now, dedupe_key=key) is not None:
            lead_alerts.tell_now(session, bot.settings, now)
    return True


def _state(bot: Bot, open_kfid: str, external_userid: str) -> tuple[int | None, str | None]:
    """Who talks with the customer, or why WeCom will never say; raises what a retry can mend."""
    try:
        return bot.gateway.kf_state(open_kfid, external_userid).state, None
    except (Refused, UnknownPerson) as error:
        return None, f"state unknown, errcode {error.errcode}"


def _lock(session: Session, open_kfid: str) -> None:
    """Workers on one account go one after the other, until the transaction ends."""
    key = func.hashtextextended(f"kf:{open_kfid}", 0)
    session.execute(select(func.pg_advisory_xact_lock(key)))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
