"""Guides come into the app's sight and leave it (导购入职与离开)."""

from __future__ import annotations

import logging

from bot import jobs
from bot.bot import Bot
from bot.crm import changes, directory, roster
from bot.db import transaction
from bot.errors import WeComError
from bot.wecom.events import GuideSubscribed, GuideUnsubscribed

log = logging.getLogger(__name__)


def guide_came(bot: Bot, event: GuideSubscribed) -> None:
    """A member may use the app now: write down the guide, with name and store if WeCom tells."""
    members = []
    try:
        members.append(bot.gateway.user(event.userid))
    except WeComError as error:
        # The next sync reads the name; the guide can work without it.
        log.warning("guide userid=%s not read reason=%s", event.userid, type(error).__name__)
    with transaction(bot.sessions) as session:
        roster.guide_ids(session, {event.userid})
        directory.keep(session, [], members)
    _set_active(bot, event.userid, is_active=True)


def guide_left(bot: Bot, event: GuideUnsubscribed) -> None:
    """A member left the app's sight: customers she shares are somebody else's now, and codes of
    hers are pushed again without her (the clock does that within a minute)."""
    _set_active(bot, event.userid, is_active=False)


def _set_active(bot: Bot, userid: str, *, is_active: bool) -> None:
    with transaction(bot.sessions) as session:
        contacts = directory.set_active(session, userid, is_active)
        roster.choose_primary(session, contacts)
        changes.mark(session, contacts)
        jobs.ring(session, "events")
