"""The one welcome of each add: queued once, and its end written down with the reason.

The unique row of `welcome_send` per relation and number is the promise that nobody is welcomed
twice: a later event of the same add (half added, then added; consent given) only brings a fresh
code to a welcome that has certainly not gone out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot import outbox
from bot.crm import timeline
from bot.crm.models import Contact, FollowRelation, Guide
from bot.outbox import CallState, Delivery
from bot.wecom import bodies
from bot.wecom.messages import Attachment
from content_library import notices, words
from content_library.models import WelcomeSend, WelcomeState

log = logging.getLogger(__name__)

API = "externalcontact/send_welcome_msg"
#: A welcome code lives 20 seconds (document 92137); a call that leaves in the last of them is lost.
CODE_LIFE = timedelta(seconds=20)
MARGIN = timedelta(seconds=1)


@dataclass(frozen=True)
class Reason:
    """Why a welcome did not go out: what people read, and whether the guide has to greet."""

    words: str
    greet_by_hand: bool


REASONS: dict[str, Reason] = {
    "no_code": Reason("企业微信没有给欢迎语凭证：后台可能已设置了欢迎语，或者双方已经聊过", False),
    "wecom_user": Reason("对方用的是企业微信，企业微信不给这样的好友发欢迎语凭证", True),
    "overtaken": Reason("客户删除后马上又添加，企业微信的通知先后颠倒，没有自动发送", True),
    "expired": Reason("欢迎语凭证已过期（20 秒内没有送达）", True),
    "taken": Reason("欢迎语已由后台或别的应用发出，或者双方已经开始聊天", False),
    "busy": Reason("别的应用一直占着这次欢迎语，没有轮到我们", True),
    "consent": Reason("客户还没有同意会话存档，同意后会自动补发", False),
    "timeout": Reason("企业微信一直没有回应，不确定是否送达", True),
    "refused": Reason("企业微信拒绝了这次发送", True),
}
_BY_ERRCODE = {41050: "expired", 41051: "taken", 41096: "busy", 41053: "consent"}


@dataclass(frozen=True, kw_only=True)
class Greeting:
    """One add that wants a welcome, with the words already filled."""

    relation_id: int
    relation_no: int
    welcome_message_id: int | None
    words: str
    attachments: Sequence[Attachment]
    left_out: Sequence[str]
    event_at: datetime

    @property
    def key(self) -> str:
        """What makes this welcome one, whatever arrives how often."""
        return f"welcome:{self.relation_id}:{self.relation_no}"


def queue(
    session: Session,
    wanted: Sequence[tuple[Greeting, str]],
    *,
    agent_id: int,
    clock_ahead: timedelta,
) -> int:
    """Want welcomes sent with their codes; returns how many were, the others are on their way or
    have ended for good.

    `clock_ahead` is the sandbox clock's lead over the database's, zero on a real corp.
    """
    newest: dict[str, tuple[Greeting, str]] = {}
    for greeting, code in sorted(wanted, key=lambda one: one[0].event_at):
        newest[greeting.key] = (greeting, code)
    drafts = [_draft(one, code, agent_id, clock_ahead) for one, code in newest.values()]
    added = outbox.add_many(session, drafts)
    queued = []
    for draft in drafts:
        greeting, _ = newest[draft.dedupe_key]
        if draft.dedupe_key in added or _renew(session, greeting, draft):
            queued.append(greeting)
    _write(session, queued, WelcomeState.QUEUED, None)
    return len(queued)


def _draft(greeting: Greeting, code: str, agent_id: int, clock_ahead: timedelta) -> outbox.Draft:
    return outbox.Draft(
        kind="welcome",
        api=API,
        body=bodies.welcome_body(code, greeting.words, greeting.attachments),
        dedupe_key=greeting.key,
        deadline=greeting.event_at + CODE_LIFE - MARGIN,
        lane="fast",
        subject={
            "relation_id": greeting.relation_id,
            "relation_no": greeting.relation_no,
            "agent_id": agent_id,
            "clock_ahead": clock_ahead.total_seconds(),
        },
    )


def _renew(session: Session, greeting: Greeting, draft: outbox.Draft) -> bool:
    """Give a welcome that has not gone out the code of a later event."""
    if not _is_newer(session, greeting):
        return False
    return outbox.replace(session, greeting.key, body=draft.body, deadline=draft.deadline)


def skip(
    session: Session,
    greeting: Greeting,
    reason: str,
    *,
    contact_id: int,
    guide_id: int,
    agent_id: int,
) -> bool:
    """Write down, once, that there was nothing to send it with; False if this add has a row."""
    if not _write(session, [greeting], WelcomeState.SKIPPED, reason):
        return False
    timeline.record(
        session,
        contact_id,
        "welcomed",
        f"欢迎语没有自动发出：{REASONS[reason].words}",
        greeting.event_at,
        guide_id=guide_id,
        dedupe_key=greeting.key,
    )
    if REASONS[reason].greet_by_hand:
        greet_by_hand(
            session,
            relation_id=greeting.relation_id,
            relation_no=greeting.relation_no,
            agent_id=agent_id,
            reason=reason,
        )
    return True


_SENT = text(
    """
    UPDATE welcome_send w SET state = 'sent', reason = NULL, sent_at = done.at,
           lag_ms = GREATEST(EXTRACT(epoch FROM done.at - w.event_at) * 1000, 0)
      FROM (SELECT clock_timestamp() + make_interval(secs => :ahead) AS at) done, follow_relation f
     WHERE w.relation_id = :relation_id AND w.relation_no = :relation_no AND f.id = w.relation_id
    RETURNING w.sent_at, w.lag_ms, f.contact_id, f.guide_id
    """
)
_FAILED = text(
    """
    UPDATE welcome_send w SET state = 'failed', reason = :reason FROM follow_relation f
     WHERE w.relation_id = :relation_id AND w.relation_no = :relation_no AND f.id = w.relation_id
    RETURNING w.event_at, f.contact_id, f.guide_id
    """
)


def welcome_sent(session: Session, delivery: Delivery) -> None:
    """After the call: the row says sent and how long the customer waited."""
    row = session.execute(_SENT, _of(delivery)).one_or_none()
    if row is None:
        return
    log.info("welcome delivery=%d welcome_lag_ms=%s", delivery.id, row.lag_ms)
    _tell(session, delivery, row, "欢迎语已自动发出", row.sent_at)


def welcome_failed(session: Session, delivery: Delivery) -> None:
    """After the call was given up: the reason on the row and, where nobody has greeted the
    customer, the words to the guide."""
    reason = _reason(delivery)
    row = session.execute(_FAILED, {**_of(delivery), "reason": reason}).one_or_none()
    if row is None:
        return
    log.warning("welcome delivery=%d failed=%s", delivery.id, reason)
    line = f"欢迎语没有自动发出：{REASONS[reason].words}"
    _tell(session, delivery, row, line, row.event_at)
    if REASONS[reason].greet_by_hand:
        greet_by_hand(
            session,
            relation_id=delivery.subject["relation_id"],
            relation_no=delivery.subject["relation_no"],
            agent_id=delivery.subject["agent_id"],
            reason=reason,
        )


def greet_by_hand(
    session: Session, *, relation_id: int, relation_no: int, agent_id: int, reason: str
) -> None:
    """Ask the guide to greet the customer herself, with the words ready to copy; once per add."""
    row = session.execute(
        select(Guide.userid, Contact.name, FollowRelation.remark, WelcomeSend.words)
        .join(FollowRelation, FollowRelation.guide_id == Guide.id)
        .join(Contact, Contact.id == FollowRelation.contact_id)
        .join(WelcomeSend, WelcomeSend.relation_id == FollowRelation.id)
        .where(
            FollowRelation.id == relation_id,
            WelcomeSend.relation_no == relation_no,
            Guide.is_active,
        )
    ).one_or_none()
    if row is None:
        return
    name = words.plain(row.remark or row.name) or "新客户"
    alert = (
        f"请亲自问候一下「{name}」\n{REASONS[reason].words}。\n\n可以直接复制：\n"
        f"{words.plain(row.words, 600, keep_lines=True)}"
    )
    notices.add(
        session,
        kind="alert",
        agent_id=agent_id,
        userid=row.userid,
        text=alert,
        dedupe_key=f"greet:{relation_id}:{relation_no}",
        subject={"relation_id": relation_id},
    )


def _reason(delivery: Delivery) -> str:
    # After a silent try nobody knows, whatever the next one was told.
    if delivery.ambiguous or delivery.state is CallState.UNKNOWN:
        return "timeout"
    known = _BY_ERRCODE.get(delivery.last_errcode or 0)
    if known is not None:
        return known
    if delivery.state is CallState.EXPIRED:
        return "expired"
    return "refused"


def _of(delivery: Delivery) -> dict[str, Any]:
    subject = delivery.subject
    return {
        "relation_id": subject["relation_id"],
        "relation_no": subject["relation_no"],
        "ahead": subject.get("clock_ahead", 0.0),
    }


def _tell(session: Session, delivery: Delivery, row: Any, line: str, at: datetime) -> None:
    """A line in the customer's story; `row` says whose and with which guide."""
    subject = delivery.subject
    timeline.record(
        session,
        row.contact_id,
        "welcomed",
        line,
        at,
        guide_id=row.guide_id,
        dedupe_key=f"welcome:{subject['relation_id']}:{subject['relation_no']}",
    )


def _is_newer(session: Session, greeting: Greeting) -> bool:
    """Whether this event is later than the one the queued welcome came from."""
    known = session.scalar(
        select(WelcomeSend.event_at).where(
            WelcomeSend.relation_id == greeting.relation_id,
            WelcomeSend.relation_no == greeting.relation_no,
        )
    )
    return known is None or greeting.event_at > known


def _write(
    session: Session, greetings: Sequence[Greeting], state: WelcomeState, reason: str | None
) -> int:
    """Write the rows of these adds; returns how many. A skipped add gives way to a code; nothing
    gives way to a skip."""
    if not greetings:
        return 0
    rows = [
        {
            "relation_id": one.relation_id,
            "relation_no": one.relation_no,
            "welcome_message_id": one.welcome_message_id,
            "state": state,
            "reason": reason,
            "words": one.words,
            "left_out": list(one.left_out),
            "event_at": one.event_at,
        }
        for one in greetings
    ]
    added = insert(WelcomeSend)
    key = [WelcomeSend.relation_id, WelcomeSend.relation_no]
    if state is WelcomeState.SKIPPED:
        statement = added.on_conflict_do_nothing(index_elements=key)
    else:
        fresh = {
            name: added.excluded[name]
            for name in ("welcome_message_id", "state", "reason", "words", "left_out", "event_at")
        }
        statement = added.on_conflict_do_update(index_elements=key, set_=fresh)
    return len(session.execute(statement.returning(WelcomeSend.id), rows).all())
