"""Reading customers again (刷新客户详情): after an add, an edit, or contradicting events.

A callback only asks; the events lane reads, a few at a time, so that a thousand edits in a minute
are a thousand polite calls and no welcome waits for one of them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bot import jobs
from bot.bot import Bot
from bot.crm import contact_details, roster, standing
from bot.crm.models import FollowRelation, FollowState
from bot.db import transaction
from bot.errors import FollowEnded, NotConfigured, RateLimited, UnknownPerson, WeComError
from bot.wecom.details import ContactDetail
from bot.wecom.events import ContactEdited
from handlers import alerts
from tagging import adoption

log = logging.getLogger(__name__)

# So many are read one after the other and kept together; each call takes 7 seconds at the most.
_HANDFUL = 8
_LEASE = timedelta(seconds=60)
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
        refresh_after = CASE WHEN r.again IS NULL THEN refresh_after
                             ELSE GREATEST(refresh_after, r.again) END
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id bigint, again timestamptz)
    WHERE contact.id = r.id
    """
)


@dataclass(frozen=True)
class Held:
    """A contact somebody has in hand to read."""

    contact_id: int
    external_userid: str


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """What WeCom answered at `at`: a detail, that nobody follows her, or to ask again in `wait`."""

    held: Held
    at: datetime
    detail: ContactDetail | None = None
    is_gone: bool = False
    wait: timedelta | None = None


def ask_again(bot: Bot, event: ContactEdited) -> None:
    """A guide edited remark, mobile or tags: the details are read again, two seconds later."""
    ask_all_again(bot, [event])


def ask_all_again(bot: Bot, events: Sequence[ContactEdited]) -> None:
    """The same for many edits, in a constant number of statements."""
    latest: dict[str, datetime] = {}
    for event in sorted(events, key=lambda one: one.created_at):
        latest[event.external_userid] = event.created_at
    with transaction(bot.sessions) as session:
        contacts = roster.lock_contacts(session, latest)
        roster.nudge(session, {contacts[one]: at for one, at in latest.items()})
        jobs.ring(session, "events")


def claim(bot: Bot, most: int) -> Sequence[Sequence[Held]]:
    """Take contacts whose details are wanted, in `most` handfuls; others pass over them."""
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        given = {"now": now, "until": now + _LEASE, "most": most * _HANDFUL}
        found = [Held(*row) for row in session.execute(_CLAIM, given)]
    return [found[start : start + _HANDFUL] for start in range(0, len(found), _HANDFUL)]


def read(bot: Bot, held: Sequence[Held]) -> None:
    """Read these contacts from WeCom, one after the other, and fold the readings in together.

    What cannot be read waits its time. If the readings cannot be kept together, each is kept alone.
    """
    with bot.sessions() as session:
        read_at = adoption.database_now(session)
    readings = [_ask(bot, one) for one in held]
    try:
        _fold_in(bot, readings, read_at)
    except SQLAlchemyError:
        if len(readings) == 1:
            raise
        log.exception("details of %d contacts not kept together", len(readings))
        for one in readings:
            _fold_in(bot, [one], read_at)


def _ask(bot: Bot, held: Held) -> _Reading:
    at = bot.clock.now()
    try:
        return _Reading(held=held, at=at, detail=bot.gateway.contact(held.external_userid))
    except FollowEnded:
        return _Reading(held=held, at=at, is_gone=True)
    except UnknownPerson:
        log.info("details contact=%d unknown to WeCom", held.contact_id)
        return _Reading(held=held, at=at, is_gone=True)
    except RateLimited as error:
        return _Reading(held=held, at=at, wait=max(timedelta(seconds=error.retry_after), _LATER))
    except WeComError as error:
        log.warning("details contact=%d not read reason=%s", held.contact_id, type(error).__name__)
        wait = _MUCH_LATER if isinstance(error, NotConfigured) else _LATER
        return _Reading(held=held, at=at, wait=wait)


def _fold_in(bot: Bot, readings: Sequence[_Reading], read_at: datetime) -> None:
    again = {one.held.contact_id: one.at + one.wait for one in readings if one.wait}
    told = {one.held.external_userid: one.detail for one in readings if one.detail is not None}
    with transaction(bot.sessions) as session:
        roster.lock_contacts(session, [one.held.external_userid for one in readings])
        if told:
            # As of the first of them: what is too old for a moment is only asked for again.
            at = min(one.at for one in readings if one.detail is not None)
            contact_details.apply_details(
                session, list(told.values()), at, secret_key=bot.settings.secret_key, is_whole=True
            )
            _adopt_tags(session, told, at, read_at)
        unconfirmed = set()
        for one in readings:
            if one.is_gone and _is_being_confirmed(session, one):
                unconfirmed.add(one.held.contact_id)
                again[one.held.contact_id] = one.at + _LOOK_AGAIN
            elif one.is_gone:
                contact_details.nobody_follows(session, one.held.external_userid, one.at)
        read_ids = {one.held.contact_id for one in readings}
        alerts.announce(session, bot.settings, read_ids - unconfirmed, bot.clock.now())
        rows = [
            {
                "id": contact_id,
                "again": again[contact_id].isoformat() if contact_id in again else None,
            }
            for contact_id in sorted(read_ids)
        ]
        session.execute(_RELEASE, {"rows": json.dumps(rows)})
        jobs.ring(session, "events")


def _is_being_confirmed(session: Session, reading: _Reading) -> bool:
    young = select(FollowRelation.id).where(
        FollowRelation.contact_id == reading.held.contact_id,
        FollowRelation.state == FollowState.HALF,
        FollowRelation.followed_at > reading.at - _CONFIRMED_WITHIN,
    )
    return session.scalar(young.limit(1)) is not None


def refresh_details(bot: Bot, *, most: int = 50) -> int:
    """Read what is wanted now, one after the other; returns how many."""
    handfuls = claim(bot, -(-most // _HANDFUL))
    for held in handfuls:
        read(bot, held)
    return sum(len(held) for held in handfuls)


def _adopt_tags(
    session: Session, told: Mapping[str, ContactDetail], at: datetime, read_at: datetime
) -> None:
    """What guides changed in the tags by hand becomes ours, as of `at` by the bot's clock.

    `read_at` is the same moment by the database's clock; a sandbox's bot may run ahead of it.
    """
    tags_of = {
        standing.pair(follow.userid, external_userid): follow.tag_ids
        for external_userid, detail in told.items()
        for follow in detail.follows
    }
    readings = {
        stands.relation_id: tags_of[pair]
        for pair, stands in standing.read(session, tags_of).items()
        if stands.state == FollowState.ACTIVE
    }
    if readings:
        adoption.adopt(session, readings, at, read_at=read_at)
