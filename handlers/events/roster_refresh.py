"""Reading customers again (刷新客户详情): after an add, an edit, or contradicting events.

A callback only asks; the events lane reads, a few at a time, so that a thousand edits in a minute
are a thousand polite calls and no welcome waits for one of them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from bot import jobs
from bot.bot import Bot
from bot.crm import contact_details, roster
from bot.crm.models import FollowRelation, FollowState, Guide
from bot.db import transaction
from bot.errors import FollowEnded, NotConfigured, RateLimited, UnknownPerson, WeComError
from bot.wecom.details import ContactDetail
from bot.wecom.events import ContactEdited
from handlers import alerts
from tagging import adoption

log = logging.getLogger(__name__)

_LEASE = timedelta(seconds=30)
_LATER = timedelta(minutes=1)
_MUCH_LATER = timedelta(minutes=15)
# A customer who came in without verification cannot be read until the guide's client confirms,
# mostly a matter of seconds; so long the news of her waits for her name.
_CONFIRMED_WITHIN = timedelta(seconds=15)
_LOOK_AGAIN = timedelta(seconds=3)

_CLAIM = text(
    """
    UPDATE contact SET refresh_leased_until = :until
    WHERE id IN (
        SELECT id FROM contact
        WHERE refresh_after <= :now AND external_userid IS NOT NULL
          AND (refresh_leased_until IS NULL OR refresh_leased_until <= :now)
        ORDER BY refresh_after LIMIT :most FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id, external_userid
    """
)
_RELEASE = text(
    """
    UPDATE contact SET refresh_leased_until = NULL,
        refresh_after = CASE WHEN CAST(:again AS timestamptz) IS NULL THEN refresh_after
                             ELSE GREATEST(refresh_after, :again) END
    WHERE id = :id
    """
)


@dataclass(frozen=True)
class Held:
    """A contact somebody has in hand to read."""

    contact_id: int
    external_userid: str


def ask_again(bot: Bot, event: ContactEdited) -> None:
    """A guide edited remark, mobile or tags: the details are read again, two seconds later."""
    with transaction(bot.sessions) as session:
        contacts = roster.lock_contacts(session, [event.external_userid])
        roster.nudge(session, dict.fromkeys(contacts.values(), event.created_at))
        jobs.ring(session, "events")


def claim(bot: Bot, most: int) -> Sequence[Held]:
    """Take up to `most` contacts whose details are wanted; another worker passes over them."""
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        given = {"now": now, "until": now + _LEASE, "most": most}
        return [Held(*row) for row in session.execute(_CLAIM, given)]


def read(bot: Bot, held: Held) -> None:
    """Read one contact from WeCom and fold the reading in; what cannot be read waits its time."""
    at = bot.clock.now()
    with bot.sessions() as session:
        read_at = adoption.database_now(session)
    wait: timedelta | None = None
    detail: ContactDetail | None = None
    is_gone = False
    try:
        detail = bot.gateway.contact(held.external_userid)
    except FollowEnded:
        is_gone = True
    except UnknownPerson:
        log.info("details contact=%d unknown to WeCom", held.contact_id)
        is_gone = True
    except RateLimited as error:
        wait = max(timedelta(seconds=error.retry_after), _LATER)
    except WeComError as error:
        wait = _MUCH_LATER if isinstance(error, NotConfigured) else _LATER
        log.warning("details contact=%d not read reason=%s", held.contact_id, type(error).__name__)
    with transaction(bot.sessions) as session:
        if detail is not None:
            contact_details.apply_detail(session, detail, at, secret_key=bot.settings.secret_key)
            _adopt_tags(session, held, detail, at, read_at)
        elif is_gone and _is_being_confirmed(session, held, at):
            wait = _LOOK_AGAIN
        elif is_gone:
            contact_details.nobody_follows(session, held.external_userid, at)
        if wait != _LOOK_AGAIN:
            alerts.announce(session, bot.settings, [held.contact_id], at)
        again = at + wait if wait else None
        session.execute(_RELEASE, {"id": held.contact_id, "again": again})
        jobs.ring(session, "events")


def _is_being_confirmed(session: Session, held: Held, at: datetime) -> bool:
    young = select(FollowRelation.id).where(
        FollowRelation.contact_id == held.contact_id,
        FollowRelation.state == FollowState.HALF,
        FollowRelation.followed_at > at - _CONFIRMED_WITHIN,
    )
    return session.scalar(young.limit(1)) is not None


def refresh_details(bot: Bot, *, most: int = 50) -> int:
    """Read what is wanted now, one after the other; returns how many."""
    held = claim(bot, most)
    for one in held:
        read(bot, one)
    return len(held)


def _adopt_tags(
    session: Session, held: Held, detail: ContactDetail, at: datetime, read_at: datetime
) -> None:
    """What guides changed in the tags by hand becomes ours, as of `at` by the bot's clock.

    `read_at` is the same moment by the database's clock; a sandbox's bot may run ahead of it.
    """
    relations = session.execute(
        select(func.lower(Guide.userid), FollowRelation.id)
        .join(FollowRelation, FollowRelation.guide_id == Guide.id)
        .where(
            FollowRelation.contact_id == held.contact_id,
            FollowRelation.state == FollowState.ACTIVE,
        )
    )
    tags_of = {follow.userid.lower(): follow.tag_ids for follow in detail.follows}
    readings = {relation: tags_of[userid] for userid, relation in relations if userid in tags_of}
    if readings:
        adoption.adopt(session, readings, at, read_at=read_at)
