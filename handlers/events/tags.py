"""Door: tags changed by people in WeCom (企业标签变更), and tags for a contact's new guide."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import select

from bot.bot import Bot
from bot.crm.models import Contact
from bot.db import transaction
from bot.wecom.events import ContactAdded, CorpTagChanged
from tagging import beginnings, corp_tags, tags

log = logging.getLogger("daogou.events")


def adopt_list(bot: Bot, event: CorpTagChanged) -> None:
    """Read WeCom's whole list again and follow it: an event names one id and may never come.

    After a deletion of a group only the group is reported, so a single look-up would not do.
    """
    groups = bot.gateway.corp_tags()
    with transaction(bot.sessions) as session:
        changed = corp_tags.adopt_corp_tags(session, groups)
    log.info("corp tags adopted change=%s rows=%s", event.change, changed)


def mark_for_guide(bot: Bot, event: ContactAdded) -> None:
    """A contact has gained a guide: her tags are marked for this guide too."""
    mark_for_guides(bot, [event])


def mark_for_guides(bot: Bot, events: Sequence[ContactAdded]) -> None:
    """The same for many adds, in a constant number of statements."""
    names = sorted({event.external_userid for event in events})
    with transaction(bot.sessions) as session:
        contacts = session.scalars(select(Contact.id).where(Contact.external_userid.in_(names)))
        beginnings.mark_for_new_guides(session, contacts.all())
        # A few only: this runs on the lane of the welcomes, the timetable pushes the rest.
        tags.push_pending(session, limit=200)
