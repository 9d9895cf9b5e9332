"""What the brand's 微信客服 account answers: a keyword reply, a welcome, or a person takes over.

Decisions are written where the message is kept (`kf_message.outcome`) together with the calls
they cause, so that a message is answered once however often it is looked at.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from bot import outbox
from bot.clock import business_day
from bot.crm import activity, changes, opt_outs, timeline
from bot.crm.models import Contact, Guide, KfMessage
from bot.outbox import CallState, Delivery, Outbox
from bot.wecom import bodies
from content_library import keyword_replies, notices, placeholders, words
from content_library.models import KeywordReply


class Origin(IntEnum):
    """Who wrote (WeCom's numbers, document 94670)."""

    CUSTOMER = 3
    SYSTEM = 4
    SERVICER = 5


class Talk(IntEnum):
    """Who talks with the customer (WeCom's numbers, document 94669)."""

    NEW = 0
    BOT = 1
    QUEUE = 2
    PERSON = 3
    ENDED = 4


class Outcome(StrEnum):
    """What became of a message; a reason may follow after a colon."""

    REPLIED = "replied"
    HANDED_OVER = "handed_over"
    WELCOMED = "welcomed"
    IGNORED = "ignored"
    FAILED = "failed"


#: The keyword reply HQ may write to replace the built-in welcome of the account.
WELCOME_NAME = "客服欢迎语"
WELCOME_TEXT = "{客户称呼}您好，这里是{品牌名}。想了解什么直接告诉我，也可以点下面："
NO_MATCH_TEXT = "收到，我请同事来回复您，请稍等。"
STOP_NAME = "退订"
STOP_TEXT = "好的，已为您停发活动短信和群发消息。有需要时随时在这里找我们。"
NOT_FOUND_TEXT = "暂时没有查到您的会员资料，我请同事帮您核对，请稍等。"

#: Older messages are only kept: an answer a day later would read as a ghost's.
ANSWER_WITHIN = timedelta(hours=24)
#: A reply that could not leave for two hours is a person's to give (WeCom would allow 48 hours).
_REPLY_LIFE = timedelta(hours=2)
_WELCOME_LIFE = timedelta(seconds=19)
_MSGID = re.compile(r"dg([0-9]+)-[0-9a-f]{8}")
_KINDS = {"image": "图片", "voice": "语音", "video": "视频", "file": "文件", "location": "位置"}


@dataclass(frozen=True)
class Person:
    """The customer as our book knows them; all None for a stranger."""

    contact_id: int | None
    guide_id: int | None
    guide_userid: str | None


def needs_state(message: KfMessage, now: datetime) -> bool:
    """Whether deciding needs to know who talks with the customer (one call to WeCom)."""
    return message.origin == Origin.CUSTOMER and now - message.sent_at <= ANSWER_WITHIN


def answer(
    session: Session,
    message: KfMessage,
    state: int | None,
    now: datetime,
    *,
    agent_id: int,
    wants_person: bool = False,
) -> None:
    """Decide on one message that is locked by the caller and has no outcome yet.

    `state` is who talks with the customer now (None where `needs_state` is false). With
    `wants_person` a person takes over whatever the keyword reply says.
    """
    person = _person(session, message.external_userid)
    if message.origin == Origin.CUSTOMER:
        _remember(session, message, person)
        _heed(session, message, person)
    if now - message.sent_at > ANSWER_WITHIN:
        message.outcome = f"{Outcome.IGNORED}:old"
    elif message.origin == Origin.SYSTEM and message.event_type == "enter_session":
        _welcome(session, message, person, now)
    elif message.origin != Origin.CUSTOMER or not message.external_userid:
        message.outcome = Outcome.IGNORED
    elif state not in (Talk.NEW, Talk.BOT):
        message.outcome = f"{Outcome.IGNORED}:{'ended' if state == Talk.ENDED else 'person'}"
    elif _is_being_handed_over(session, message):
        message.outcome = f"{Outcome.IGNORED}:person"
    else:
        _reply(session, message, person, now, agent_id, wants_person)


def _reply(
    session: Session,
    message: KfMessage,
    person: Person,
    now: datetime,
    agent_id: int,
    wants_person: bool,
) -> None:
    if person.contact_id is not None and opt_outs.asks_to_stop(message.text or ""):
        _send(session, message, bodies.kf_text(STOP_TEXT), now, agent_id, STOP_NAME)
        message.outcome = f"{Outcome.REPLIED}:{STOP_NAME}"
        return
    found = keyword_replies.match(session, message.text or "")
    if found is None:
        # No menu here: once a person has the chat, WeCom lets nobody else answer a touch on it.
        said = bodies.kf_text(NO_MATCH_TEXT)
        message.outcome = f"{Outcome.HANDED_OVER}:no_match"
        hands_over = True
    else:
        said, hands_over = _filled(session, found, message, person, now)
    _send(session, message, said, now, agent_id, found.name if found else "")
    if hands_over or wants_person:
        _hand_over(session, message, person, agent_id)


def _filled(
    session: Session, found: KeywordReply, message: KfMessage, person: Person, now: datetime
) -> tuple[dict[str, Any], bool]:
    """The reply with this customer's own facts; without the fact asked for, a person answers."""
    day = business_day(now)
    facts = placeholders.contact_facts(session, person.contact_id, person.guide_id, day)
    if placeholders.unknown_facts(found.reply, facts):
        message.outcome = f"{Outcome.HANDED_OVER}:unknown_facts"
        return bodies.kf_text(NOT_FOUND_TEXT), True
    message.outcome = f"{Outcome.REPLIED}:{found.name}"
    return bodies.kf_text(placeholders.fill(found.reply, facts)), found.hand_over


def _welcome(session: Session, message: KfMessage, person: Person, now: datetime) -> None:
    if not message.welcome_code:
        message.outcome = f"{Outcome.IGNORED}:no_code"
        return
    if now >= message.sent_at + _WELCOME_LIFE:
        message.outcome = f"{Outcome.IGNORED}:code_expired"
        return
    own = session.scalar(
        select(KeywordReply.reply).where(KeywordReply.name == WELCOME_NAME, KeywordReply.is_active)
    )
    facts = placeholders.contact_facts(
        session, person.contact_id, person.guide_id, business_day(now)
    )
    head = placeholders.fill(own or WELCOME_TEXT, facts)
    choices = keyword_replies.menu(session)
    said = _menu(head, choices) if choices else bodies.kf_text(head.rstrip("：，"))
    outbox.add(
        session,
        kind="kf_welcome",
        api="kf/send_msg_on_event",
        body=bodies.kf_send_on_event_body(message.welcome_code, said, msgid=_msgid(message)),
        dedupe_key=f"kf_welcome:{message.msgid}",
        deadline=message.sent_at + _WELCOME_LIFE,
        lane="fast",
        subject={"kf_message_id": message.id},
    )
    message.outcome = Outcome.WELCOMED


def _send(
    session: Session,
    message: KfMessage,
    said: dict[str, Any],
    now: datetime,
    agent_id: int,
    name: str,
) -> None:
    outbox.add(
        session,
        kind="kf_reply",
        api="kf/send_msg",
        body=bodies.kf_send_body(
            message.open_kfid, message.external_userid or "", said, msgid=_msgid(message)
        ),
        dedupe_key=f"kf_reply:{message.msgid}",
        order_key=_order_key(message),
        deadline=now + _REPLY_LIFE,
        lane="fast",
        subject={"kf_message_id": message.id, "name": name, "agent_id": agent_id},
    )


def _hand_over(session: Session, message: KfMessage, person: Person, agent_id: int) -> None:
    """After the words: to her own guide if she has one, else into the queue."""
    target = Talk.PERSON if person.guide_userid else Talk.QUEUE
    _move(session, message, target, person.guide_userid or "", agent_id)


def _move(session: Session, message: KfMessage, state: Talk, servicer: str, agent_id: int) -> None:
    outbox.add(
        session,
        kind="kf_state",
        api="kf/service_state/trans",
        body=bodies.kf_transfer_body(
            message.open_kfid, message.external_userid or "", state, servicer
        ),
        dedupe_key=f"kf_state:{message.msgid}:{int(state)}",
        order_key=_order_key(message),
        lane="fast",
        subject={"kf_message_id": message.id, "state": int(state), "agent_id": agent_id},
    )


def kf_replied(session: Session, delivery: Delivery) -> None:
    """After a reply went out: a line in the customer's story."""
    message = session.get(KfMessage, delivery.subject["kf_message_id"])
    if message is None:
        return
    person = _person(session, message.external_userid)
    if person.contact_id is not None:
        name = delivery.subject.get("name") or ""
        line = f"客服自动回复了「{name}」" if name else "客服请同事来回复"
        timeline.record(
            session,
            person.contact_id,
            "replied",
            line,
            message.sent_at,
            guide_id=person.guide_id,
            dedupe_key=f"kf_reply:{message.msgid}",
        )


def kf_refused(session: Session, delivery: Delivery) -> None:
    """After a reply or a welcome was given up: the reason stands on the message."""
    reason = delivery.last_error or str(delivery.last_errcode or delivery.state)
    session.execute(
        update(KfMessage)
        .where(KfMessage.id == delivery.subject["kf_message_id"])
        .values(outcome=f"{Outcome.FAILED}:{reason}"[:300])
    )


def kf_not_moved(session: Session, delivery: Delivery) -> None:
    """After a hand-over was given up: not to this guide, then into the queue; not even there,
    then the guide is told, because now nobody sees the customer waiting."""
    message = session.get(KfMessage, delivery.subject["kf_message_id"])
    if message is None:
        return
    agent_id = delivery.subject["agent_id"]
    if delivery.subject["state"] == Talk.PERSON:
        _move(session, message, Talk.QUEUE, "", agent_id)
        return
    kf_refused(session, delivery)
    person = _person(session, message.external_userid)
    if person.guide_userid:
        name = session.scalar(select(Contact.name).where(Contact.id == person.contact_id))
        said = words.plain(message.text, 60) or "（不是文字）"
        text = f"{words.plain(name) or '您的客户'}在客服里等人回复：\n「{said}」\n请尽快联系。"
        notices.add(
            session,
            kind="alert",
            agent_id=agent_id,
            userid=person.guide_userid,
            text=text,
            dedupe_key=f"kf_waits:{message.msgid}",
            subject={"kf_message_id": message.id},
        )


def note_send_fail(session: Session, msgid: str, fail_type: int) -> None:
    """WeCom reports that a message it had accepted did not reach the customer."""
    ours = _MSGID.fullmatch(msgid)
    if ours is not None and len(ours[1]) < 19:
        session.execute(
            update(KfMessage)
            .where(KfMessage.id == int(ours[1]))
            .values(outcome=f"{Outcome.FAILED}:not delivered, fail_type {fail_type}")
        )


def _remember(session: Session, message: KfMessage, person: Person) -> None:
    if person.contact_id is not None:
        kind = _KINDS.get(message.msgtype, "一条消息")
        said = f"：{words.clean(message.text, 60)}" if message.text else f"发来{kind}"
        timeline.record(
            session,
            person.contact_id,
            "wrote",
            f"在客服里{'说' if message.text else ''}{said}",
            message.sent_at,
            guide_id=person.guide_id,
            dedupe_key=f"kf:{message.msgid}",
        )
        activity.seen(session, {person.contact_id: business_day(message.sent_at)}, "replied_on")
        changes.mark(session, [person.contact_id])


def _heed(session: Session, message: KfMessage, person: Person) -> None:
    """Who asks for no more messages is heard whoever talks with her, and however late it is."""
    if person.contact_id is not None and opt_outs.asks_to_stop(message.text or ""):
        opt_outs.refuse_messages(
            session,
            person.contact_id,
            source="kf",
            at=message.sent_at,
            words=message.text,
            event_key=f"kf:{message.msgid}",
        )


def _person(session: Session, external_userid: str | None) -> Person:
    row = session.execute(
        select(Contact.id, Guide.id, Guide.userid)
        .outerjoin(Guide, (Guide.id == Contact.guide_id) & Guide.is_active)
        .where(Contact.external_userid == external_userid)
    ).one_or_none()
    return Person(*row) if row else Person(None, None, None)


def _is_being_handed_over(session: Session, message: KfMessage) -> bool:
    """A hand-over that WeCom has not heard of yet: its state would still say the bot talks."""
    pending = session.scalar(
        select(Outbox.id)
        .where(
            Outbox.order_key == _order_key(message),
            Outbox.kind == "kf_state",
            Outbox.state.in_([CallState.DUE, CallState.SENDING]),
        )
        .limit(1)
    )
    return pending is not None


def _menu(head: str, choices: list[str]) -> dict[str, Any]:
    return bodies.kf_menu(head, [(f"k{n}", choice) for n, choice in enumerate(choices, 1)])


def _order_key(message: KfMessage) -> str:
    return f"kf:{message.open_kfid}:{message.external_userid}"


def _msgid(message: KfMessage) -> str:
    """The same for every try of this answer, and another one after a database was set up anew."""
    return f"dg{message.id}-{hashlib.sha256(message.msgid.encode()).hexdigest()[:8]}"
