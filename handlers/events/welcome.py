"""A new customer is welcomed (发欢迎语): the one thing here that runs on a 20-second clock.

Nothing is uploaded and nothing is asked on the way, but one look-up of the customer where the
words use a name nobody knows yet, and that one may take 1.5 seconds and no more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bot.bot import Bot
from bot.clock import business_day
from bot.crm import contact_details, roster, standing
from bot.crm.standing import Standing
from bot.db import transaction
from bot.errors import DaogouError
from bot.wecom.details import ContactDetail
from bot.wecom.events import (
    ConsentGiven,
    ContactAdded,
    ContactHalfAdded,
    ContactRemoved,
    GuideRemoved,
)
from content_library import materials, placeholders, welcome, welcome_sends
from content_library.facts import PlaceholderFacts
from content_library.welcome import Welcome
from content_library.welcome_sends import Greeting

log = logging.getLogger(__name__)

Added = ContactAdded | ContactHalfAdded | ConsentGiven

LOOK_UP_SECONDS = 1.5
# Below this there is no time to ask anybody anything.
_TIME_TO_LOOK_UP = timedelta(seconds=5)
_WECOM_USER = 2


@dataclass
class _Add:
    """One event that wants a welcome, with what is known of it so far."""

    event: Added
    standing: Standing
    welcome: Welcome = welcome.PLAIN
    detail: ContactDetail | None = None

    def wants_look_up(self, now: datetime) -> bool:
        """Whether asking WeCom who this is can make the words better, and there is time for it."""
        dies_at = self.event.created_at + welcome_sends.CODE_LIFE
        if not self.event.welcome_code or dies_at - now <= _TIME_TO_LOOK_UP:
            return False
        text, known = self.welcome.text, self.standing
        by_name = placeholders.uses_name(text) and known.name is None
        return by_name or (placeholders.uses_own_facts(text) and not known.is_read)


def send_welcome(bot: Bot, event: Added) -> None:
    """Queue the welcome of this add on the fast lane, or write down why there is none.

    Once per add, however often and in whatever form the add is reported; a later report with a
    fresh code only helps a welcome that has certainly not gone out.
    """
    send_welcomes(bot, [event])


def send_welcomes(bot: Bot, events: Sequence[Added]) -> None:
    """The same for many adds: their look-ups run side by side, their rows are written together."""
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        adds = _adds(session, events)
        asked = [(one.standing.guide_id, one.standing.channel_code_id) for one in adds]
        for one, chosen in zip(adds, welcome.choose(session, asked, now), strict=True):
            one.welcome = welcome.fillable(chosen)
    _look_up(bot, [one for one in adds if one.wants_look_up(now)])
    # What was learned may join two rows of the book that are one person, with facts of her own.
    if any(
        one.detail is not None and placeholders.uses_own_facts(one.welcome.text) for one in adds
    ):
        _keep(bot, adds)
    with transaction(bot.sessions) as session:
        _queue_or_skip(session, bot, adds)
    _keep(bot, adds)


def note_overtaken(bot: Bot, event: ContactRemoved | GuideRemoved) -> None:
    """An end that is told after the next beginning shows that this one was taken for the last one.

    Its welcome was then held back as a second one, and its code is gone: the guide is asked to
    greet the customer herself.
    """
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        pair = standing.pair(event.userid, event.external_userid)
        stands = standing.read(session, [pair]).get(pair)
        if stands is None or stands.is_ended or stands.followed_at <= event.created_at:
            return
        asked = [(stands.guide_id, stands.channel_code_id)]
        chosen = welcome.fillable(welcome.choose(session, asked, now)[0])
        facts = placeholders.contact_facts(
            session, stands.contact_id, stands.guide_id, business_day(now)
        )
        welcome_sends.skip(
            session,
            _greeting(stands, chosen, facts, stands.followed_at, now),
            "overtaken",
            contact_id=stands.contact_id,
            guide_id=stands.guide_id,
            agent_id=bot.settings.wecom.agent_id,
        )


def _adds(session: Session, events: Sequence[Added]) -> list[_Add]:
    """The events whose pair is together, with how it stands.

    The relation is usually begun by the function before this one; if that failed, it is begun
    here. A report that is older than the end of the relation does not begin it again.
    """
    pairs = {standing.pair(event.userid, event.external_userid): event for event in events}
    found = standing.read(session, pairs)
    missing = [
        event
        for pair, event in pairs.items()
        if not isinstance(event, ConsentGiven) and (pair not in found or found[pair].is_ended)
    ]
    if missing:
        roster.tell(session, [roster.added(event) for event in missing])
        found = standing.read(session, pairs)
    adds = []
    for event in events:
        stands = found.get(standing.pair(event.userid, event.external_userid))
        if stands is not None and not stands.is_ended:
            adds.append(_Add(event, stands))
    return adds


def _look_up(bot: Bot, adds: Sequence[_Add]) -> None:
    """Learn the customers' names, as far as WeCom tells them within 1.5 seconds.

    The calls run in threads of their own because a socket timeout bounds each read, not the whole:
    a token refresh or a slow trickle of bytes would otherwise eat the life of the code.
    """
    answers: SimpleQueue[tuple[int, ContactDetail | None]] = SimpleQueue()

    def ask(place: int, external_userid: str) -> None:
        try:
            answers.put((place, bot.gateway.contact(external_userid, timeout=(0.5, 1.0))))
        except DaogouError as error:
            log.warning("welcome look-up failed reason=%s", type(error).__name__)
            answers.put((place, None))

    last = time.monotonic() + LOOK_UP_SECONDS
    for place, one in enumerate(adds):
        threading.Thread(
            target=ask,
            args=(place, one.event.external_userid),
            name="welcome-look-up",
            daemon=True,
        ).start()
    for _ in adds:
        try:
            place, detail = answers.get(timeout=max(0.0, last - time.monotonic()))
        except Empty:
            log.warning("welcome look-up slow seconds=%s", LOOK_UP_SECONDS)
            return
        adds[place].detail = detail


def _keep(bot: Bot, adds: Sequence[_Add]) -> None:
    """Write what was learned into the customer book; the welcome does not depend on it."""
    details = [one.detail for one in adds if one.detail is not None]
    if not details:
        return
    try:
        with transaction(bot.sessions) as session:
            contact_details.apply_details(
                session,
                details,
                bot.clock.now(),
                secret_key=bot.settings.secret_key,
                is_whole=True,
            )
    except (DaogouError, SQLAlchemyError):
        log.exception("welcome look-up not kept")


def _queue_or_skip(session: Session, bot: Bot, adds: Sequence[_Add]) -> None:
    greetings = _greetings(session, bot, adds)
    agent_id = bot.settings.wecom.agent_id
    coded = [
        (greeting, one.event.welcome_code)
        for one, greeting in zip(adds, greetings, strict=True)
        if one.event.welcome_code
    ]
    queued = welcome_sends.queue(session, coded, agent_id=agent_id, clock_ahead=bot.clock.offset())
    if queued < len(coded):
        log.info("welcomes already on their way count=%d", len(coded) - queued)
    for one, greeting in zip(adds, greetings, strict=True):
        if not one.event.welcome_code:
            is_wecom_user = one.standing.contact_kind == _WECOM_USER
            welcome_sends.skip(
                session,
                greeting,
                "wecom_user" if is_wecom_user else "no_code",
                contact_id=one.standing.contact_id,
                guide_id=one.standing.guide_id,
                agent_id=agent_id,
            )


def _greetings(session: Session, bot: Bot, adds: Sequence[_Add]) -> list[Greeting]:
    now = bot.clock.now()
    pairs = [standing.pair(one.event.userid, one.event.external_userid) for one in adds]
    # Read again: a detail that was kept may have moved a relation to the other row of one person.
    found = standing.read(session, pairs)
    for one, pair in zip(adds, pairs, strict=True):
        one.standing = found.get(pair, one.standing)
    known = placeholders.load_facts(
        session,
        [(one.standing.contact_id, one.standing.guide_id) for one in adds],
        business_day(now),
    )
    greetings = []
    for one in adds:
        facts = known[one.standing.contact_id, one.standing.guide_id]
        if one.detail is not None:
            facts = facts.named(one.detail.name, one.detail.gender)
        greetings.append(_greeting(one.standing, one.welcome, facts, one.event.created_at, now))
    return greetings


def _greeting(
    stands: Standing, chosen: Welcome, facts: PlaceholderFacts, event_at: datetime, now: datetime
) -> Greeting:
    attachments, left_out = materials.ready_messages(chosen.materials, now)
    if left_out:
        log.warning("welcome relation=%d left_out=%d", stands.relation_id, len(left_out))
    return Greeting(
        relation_id=stands.relation_id,
        relation_no=stands.relation_no,
        welcome_message_id=chosen.welcome_message_id,
        words=placeholders.fill(chosen.text, facts),
        attachments=attachments,
        left_out=left_out,
        event_at=event_at,
    )
