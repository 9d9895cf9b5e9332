"""Customers come and go (添加与流失): the book, the code's tags, the plans, the alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

from sqlalchemy.orm import Session

from bot import jobs
from bot.bot import Bot
from bot.clock import business_day
from bot.crm import changes, roster, standing
from bot.crm.lost import Direction
from bot.crm.models import FollowState
from bot.crm.relation_story import Report
from bot.crm.standing import Standing
from bot.db import transaction
from bot.wecom.events import ContactAdded, ContactHalfAdded, ContactRemoved, GuideRemoved
from handlers import alerts
from tagging import beginnings

Added = ContactAdded | ContactHalfAdded
Removed = ContactRemoved | GuideRemoved
AnyEvent = TypeVar("AnyEvent", ContactAdded | ContactHalfAdded, ContactRemoved | GuideRemoved)

_BY_TRANSFER = "DELETE_BY_TRANSFER"
# How long a guide's client may take to confirm before she is told of a nameless customer.
_CONFIRMING = timedelta(seconds=4)


def start_follow(bot: Bot, event: Added) -> None:
    """Write the add into the book; it is marked, so scores, tags and plans follow in seconds."""
    start_follows(bot, [event])


def start_follows(bot: Bot, events: Sequence[Added]) -> None:
    """The same for many adds, in a constant number of statements."""
    with transaction(bot.sessions) as session:
        roster.tell(session, [roster.added(event) for event in events])
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
    tag_all_by_channel(bot, [event])


def tag_all_by_channel(bot: Bot, events: Sequence[Added]) -> None:
    """The same for many adds, in a constant number of statements."""
    with transaction(bot.sessions) as session:
        found = [one.contact_id for _, one in _standing(session, events)]
        # Before tags are written: the refresher takes them in the same order.
        changes.mark(session, found)
        if beginnings.give_code_tags(session, found):
            jobs.ring(session, "events")


def enroll(bot: Bot, event: Added) -> None:
    """Ask for the new customer's plans.

    Enrolling and planning take turns with the nightly run, so the events lane does them
    (`handlers.refresh`): this function runs where the next customer waits for a welcome.
    """
    enroll_all(bot, [event])


def enroll_all(bot: Bot, events: Sequence[Added]) -> None:
    """The same for many adds, in two statements."""
    with transaction(bot.sessions) as session:
        changes.mark(session, [one.contact_id for _, one in _standing(session, events)])
        jobs.ring(session, "events")


def alert_new_friend(bot: Bot, event: Added) -> None:
    """Tell the guide who came, and from where; once per beginning.

    A customer whose name is not known yet is told of when the details have been read, a moment
    later (`roster_refresh`). A half-added one cannot be read until the guide's client confirms,
    which it mostly does within seconds; when it does not, she is told without the details.
    """
    alert_new_friends(bot, [event])


def alert_new_friends(bot: Bot, events: Sequence[Added]) -> None:
    """The same for many adds, in a constant number of statements."""
    with transaction(bot.sessions) as session:
        found = _standing(session, events)
        named = [one.contact_id for _, one in found if one.has_nickname]
        if named:
            alerts.announce(session, bot.settings, named, bot.clock.now())
        halves = {
            one.contact_id: event.created_at + _CONFIRMING
            for event, one in found
            if not one.has_nickname and one.state == FollowState.HALF
        }
        if halves:
            roster.nudge(session, halves)
            jobs.ring(session, "events")


def alert_lost(bot: Bot, event: Removed) -> None:
    """Tell the guide that a customer deleted her; who deletes a customer herself knows it."""
    with transaction(bot.sessions) as session:
        for _, one in _standing(session, [event]):
            if not one.is_ended:
                # The end came late: the two are together again, and that may not have been told.
                alerts.announce(session, bot.settings, [one.contact_id], bot.clock.now())
            elif one.ended_by == Report.CUSTOMER and one.ended_at == event.created_at:
                alerts.lost(session, bot.settings, one.relation_id, bot.clock.now())


def alert_deletions(bot: Bot, event: Removed) -> None:
    """Tell the manager when a guide loses, or deletes, many customers on one day."""
    with transaction(bot.sessions) as session:
        for _, one in _standing(session, [event]):
            if one.is_ended and one.ended_at is not None and one.ended_by in set(Direction):
                day, now = business_day(one.ended_at), bot.clock.now()
                direction = Direction(one.ended_by)
                alerts.deletions(session, bot.settings, one.guide_id, day, direction, now)


def _standing(session: Session, events: Sequence[AnyEvent]) -> list[tuple[AnyEvent, Standing]]:
    """Each event whose pair is in the book, with how the pair stands."""
    pairs = [standing.pair(event.userid, event.external_userid) for event in events]
    found = standing.read(session, pairs)
    return [(event, found[one]) for event, one in zip(events, pairs, strict=True) if one in found]
