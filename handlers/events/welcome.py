"""A new customer is welcomed (发欢迎语): the one thing here that runs on a 20-second clock.

Nothing is uploaded and nothing is asked on the way, but one look-up of the customer where the
words use a name nobody knows yet, and that one may take 1.5 seconds and no more.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bot.bot import Bot
from bot.clock import business_day
from bot.crm import contact_details, roster
from bot.crm.models import Contact, FollowRelation, FollowState, Guide, Member
from bot.db import transaction
from bot.errors import DaogouError
from bot.wecom.details import ContactDetail
from bot.wecom.events import ConsentGiven, ContactAdded, ContactHalfAdded
from content_library import materials, placeholders, welcome, welcome_sends
from content_library.welcome_sends import Greeting

log = logging.getLogger(__name__)

Added = ContactAdded | ContactHalfAdded | ConsentGiven

LOOK_UP_SECONDS = 1.5
# Below this there is no time to ask anybody anything.
_TIME_TO_LOOK_UP = timedelta(seconds=5)
_WECOM_USER = 2


@dataclass(frozen=True)
class _Add:
    """The add in our book."""

    relation_id: int
    relation_no: int
    guide_id: int
    contact_id: int
    channel_code_id: int | None
    is_ended: bool
    is_named: bool
    is_read: bool
    contact_kind: int

    def wants_look_up(self, text: str) -> bool:
        """Whether asking WeCom who this is can make these words better."""
        by_name = placeholders.uses_name(text) and not self.is_named
        return by_name or (placeholders.uses_own_facts(text) and not self.is_read)


def send_welcome(bot: Bot, event: Added) -> None:
    """Queue the welcome of this add on the fast lane, or write down why there is none.

    Once per add, however often and in whatever form the add is reported; a later report with a
    fresh code only helps a welcome that has certainly not gone out.
    """
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        add = _find(session, event)
        if add is None or add.is_ended:
            add = _begin(session, event)
        if add is None or add.is_ended:
            return
        chosen = welcome.fillable(
            welcome.choose(
                session, guide_id=add.guide_id, channel_code_id=add.channel_code_id, now=now
            )
        )
    detail: ContactDetail | None = None
    dies_at = event.created_at + welcome_sends.CODE_LIFE
    has_time = bool(event.welcome_code) and dies_at - now > _TIME_TO_LOOK_UP
    if has_time and add.wants_look_up(chosen.text):
        detail = _look_up(bot, event.external_userid)
        _keep(bot, detail)
    with transaction(bot.sessions) as session:
        # What was learned may have joined two rows of the book that are one person.
        add = _find(session, event) or add
        greeting = _greeting(session, bot, event, add, chosen, detail)
        _queue_or_skip(session, bot, event, add, greeting)


def _queue_or_skip(session: Session, bot: Bot, event: Added, add: _Add, greeting: Greeting) -> None:
    if event.welcome_code:
        if not welcome_sends.queue(
            session,
            greeting,
            event.welcome_code,
            agent_id=bot.settings.wecom.agent_id,
            clock_ahead=bot.clock.offset(),
        ):
            log.info("welcome relation=%d already on its way", add.relation_id)
        return
    reason = "wecom_user" if add.contact_kind == _WECOM_USER else "no_code"
    welcome_sends.skip(
        session,
        greeting,
        reason,
        contact_id=add.contact_id,
        guide_id=add.guide_id,
        agent_id=bot.settings.wecom.agent_id,
    )


def _find(session: Session, event: Added) -> _Add | None:
    row = session.execute(
        select(
            FollowRelation,
            Contact.name,
            Contact.kind,
            Contact.fetched_at,
            Member.name.label("member_name"),
        )
        .join(Guide, Guide.id == FollowRelation.guide_id)
        .join(Contact, Contact.id == FollowRelation.contact_id)
        .outerjoin(Member, Member.contact_id == Contact.id)
        .where(
            roster.same_guide(event.userid),
            Contact.external_userid == event.external_userid,
        )
    ).one_or_none()
    if row is None:
        return None
    relation: FollowRelation = row[0]
    return _Add(
        relation_id=relation.id,
        relation_no=relation.relation_no,
        guide_id=relation.guide_id,
        contact_id=relation.contact_id,
        channel_code_id=relation.channel_code_id,
        is_ended=relation.state == FollowState.ENDED,
        is_named=bool(row.name or relation.remark or row.member_name),
        is_read=row.fetched_at is not None,
        contact_kind=row.kind,
    )


def _begin(session: Session, event: Added) -> _Add | None:
    """The relation is usually begun by the function before this one; if that failed, begin it.

    A report that is older than the end of the relation does not begin it again.
    """
    if isinstance(event, ConsentGiven):
        return None
    roster.start_follow(
        session,
        userid=event.userid,
        external_userid=event.external_userid,
        state_text=event.state,
        half=isinstance(event, ContactHalfAdded),
        at=event.created_at,
    )
    return _find(session, event)


def _look_up(bot: Bot, external_userid: str) -> ContactDetail | None:
    """The customer's name, if WeCom tells it within 1.5 seconds.

    The call runs in a thread of its own because a socket timeout bounds each read, not the whole:
    a token refresh or a slow trickle of bytes would otherwise eat the life of the code.
    """
    answer: SimpleQueue[ContactDetail | None] = SimpleQueue()

    def ask() -> None:
        try:
            answer.put(bot.gateway.contact(external_userid, timeout=(0.5, 1.0)))
        except DaogouError as error:
            log.warning("welcome look-up failed reason=%s", type(error).__name__)
            answer.put(None)

    threading.Thread(target=ask, name="welcome-look-up", daemon=True).start()
    try:
        return answer.get(timeout=LOOK_UP_SECONDS)
    except Empty:
        log.warning("welcome look-up slow seconds=%s", LOOK_UP_SECONDS)
        return None


def _keep(bot: Bot, detail: ContactDetail | None) -> None:
    """Write what was learned into the customer book; the welcome does not depend on it."""
    if detail is None:
        return
    try:
        with transaction(bot.sessions) as session:
            contact_details.apply_detail(
                session, detail, bot.clock.now(), secret_key=bot.settings.secret_key
            )
    except (DaogouError, SQLAlchemyError):
        log.exception("welcome look-up not kept")


def _greeting(
    session: Session,
    bot: Bot,
    event: Added,
    add: _Add,
    chosen: welcome.Welcome,
    detail: ContactDetail | None,
) -> Greeting:
    now = bot.clock.now()
    facts = placeholders.contact_facts(session, add.contact_id, add.guide_id, business_day(now))
    if detail is not None:
        facts = facts.named(detail.name, detail.gender)
    attachments, left_out = materials.ready_messages(chosen.materials, now)
    if left_out:
        log.warning("welcome relation=%d left_out=%d", add.relation_id, len(left_out))
    return Greeting(
        relation_id=add.relation_id,
        relation_no=add.relation_no,
        welcome_message_id=chosen.welcome_message_id,
        words=placeholders.fill(chosen.text, facts),
        attachments=attachments,
        left_out=left_out,
        event_at=event.created_at,
    )
