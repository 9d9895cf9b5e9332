"""Customers come and go (添加与流失): the book, the code's tags, the plans, the alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import jobs
from bot.bot import Bot
from bot.crm import changes, roster
from bot.crm.models import Contact, FollowRelation, FollowState, Guide
from bot.crm.relation_story import Report
from bot.db import transaction
from bot.wecom.events import ContactAdded, ContactHalfAdded, ContactRemoved, GuideRemoved
from handlers import alerts
from tagging import tags
from tagging.models import ChannelTag, TagSource

Added = ContactAdded | ContactHalfAdded
Removed = ContactRemoved | GuideRemoved

_BY_TRANSFER = "DELETE_BY_TRANSFER"
# How long a guide's client may take to confirm before she is told of a nameless customer.
_CONFIRMING = timedelta(seconds=4)


def start_follow(bot: Bot, event: Added) -> None:
    """Write the add into the book; it is marked, so scores, tags and plans follow in seconds."""
    with transaction(bot.sessions) as session:
        roster.start_follow(
            session,
            userid=event.userid,
            external_userid=event.external_userid,
            state_text=event.state,
            half=isinstance(event, ContactHalfAdded),
            at=event.created_at,
        )
        jobs.ring(session, "events")


def end_follow(bot: Bot, event: Removed) -> None:
    """Write the end into the book; open tasks are withdrawn when the change is looked at."""
    if isinstance(event, GuideRemoved):
        by = Report.CUSTOMER
    else:
        by = Report.TRANSFER if event.source == _BY_TRANSFER else Report.GUIDE
    with transaction(bot.sessions) as session:
        roster.end_follow(
            session,
            userid=event.userid,
            external_userid=event.external_userid,
            by=by,
            at=event.created_at,
        )
        jobs.ring(session, "events")


def tag_by_channel(bot: Bot, event: Added) -> None:
    """Give the customer the tags of the code that was scanned."""
    with transaction(bot.sessions) as session:
        relation = _relation(session, event)
        if relation is None or relation.state == FollowState.ENDED:
            return
        if relation.followed_at < event.created_at:
            # A confirmation of an add that has its tags: one taken away since stays away.
            return
        tag_ids = _tags_of(session, relation.channel_code_id)
        if tag_ids:
            tags.assign(
                session, [relation.contact_id], tag_ids, TagSource.CHANNEL, event.created_at
            )
            changes.mark(session, [relation.contact_id])
            jobs.ring(session, "events")


def enroll(bot: Bot, event: Added) -> None:
    """Ask for the new customer's plans.

    Enrolling and planning take turns with the nightly run, so the events lane does them
    (`handlers.refresh`): this function runs where the next customer waits for a welcome.
    """
    with transaction(bot.sessions) as session:
        relation = _relation(session, event)
        if relation is not None:
            changes.mark(session, [relation.contact_id])
            jobs.ring(session, "events")


def alert_new_friend(bot: Bot, event: Added) -> None:
    """Tell the guide who came, and from where; once per beginning.

    A customer whose name is not known yet is told of when the details have been read, a moment
    later (`roster_refresh`). A half-added one cannot be read until the guide's client confirms,
    which it mostly does within seconds; when it does not, she is told without the details.
    """
    with transaction(bot.sessions) as session:
        relation = _relation(session, event)
        if relation is None:
            return
        contact = session.get_one(Contact, relation.contact_id)
        if contact.name:
            alerts.announce(session, bot.settings, [contact.id], bot.clock.now())
        elif relation.state == FollowState.HALF:
            roster.nudge(session, {contact.id: event.created_at + _CONFIRMING})
            jobs.ring(session, "events")


def alert_lost(bot: Bot, event: Removed) -> None:
    """Tell the guide that a customer deleted her; who deletes a customer herself knows it."""
    with transaction(bot.sessions) as session:
        relation = _relation(session, event)
        if relation is None:
            return
        if relation.state != FollowState.ENDED:
            # The end came late: the two are together again, and that may not have been told.
            alerts.announce(session, bot.settings, [relation.contact_id], bot.clock.now())
        elif relation.ended_by == Report.CUSTOMER and relation.ended_at == event.created_at:
            alerts.lost(session, bot.settings, relation.id, bot.clock.now())


def _relation(session: Session, event: Added | Removed) -> FollowRelation | None:
    return session.scalar(
        select(FollowRelation)
        .join(Guide, Guide.id == FollowRelation.guide_id)
        .join(Contact, Contact.id == FollowRelation.contact_id)
        .where(roster.same_guide(event.userid), Contact.external_userid == event.external_userid)
    )


def _tags_of(session: Session, channel_code_id: int | None) -> Sequence[int]:
    wanted = select(ChannelTag.tag_id).where(ChannelTag.channel_code_id == channel_code_id)
    return session.scalars(wanted).all() if channel_code_id is not None else []
