"""What goes to many goes out when due (群发与发布计划); answers that were lost are found.

None of the calls that make them may be repeated blindly: a second one would ask the guides twice.
WeCom lists what it has, and ours is the one with our words that nobody of us has claimed yet.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import undefer

from bot.bot import Bot
from bot.db import transaction
from bot.errors import (
    NotConfigured,
    RateLimited,
    TokenRejected,
    UserError,
    WeComError,
    WeComUnavailable,
)
from bot.outbox import Delivery
from bot.wecom.messages import Image, Video
from bot.wecom.moments import API as MOMENT_API
from bot.wecom.moments import MomentAttachment
from content_library.models import Material
from sop import mass_sends, posting_sends, postings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Shown:
    """What goes with a moment, and the names of what could not."""

    pictures: list[MomentAttachment]
    left_out: list[str]


# The next minute tries again, until the day of a moment is over.
_SOON = (WeComUnavailable, RateLimited, NotConfigured, TokenRejected)
# WeCom's clock and ours may differ; looking a little further costs nothing.
_LOOK_AROUND = timedelta(hours=1)
# WeCom lists no more than a month at once; whoever tries again later finds the first try in it.
_LONGEST_SPAN = timedelta(days=29)
#: While a moment is being made it is not in WeCom's list; before this nobody can say it is not.
_MOMENT_MADE_BY = timedelta(minutes=5)


def send_due(bot: Bot) -> int:
    """Ask WeCom for everything that is due by now; returns mass messages and postings."""
    count = 0
    while True:
        with transaction(bot.sessions) as session:
            queued = mass_sends.queue_due(session, bot.clock.now())
        count += queued
        if not queued:
            break
    with bot.sessions() as session:
        due = posting_sends.due(session, bot.clock.now())
    for one in due:
        shown = _Shown([], [])
        if one.kind == postings.MOMENT:
            try:
                shown = _upload(bot, one)
            except _SOON as error:
                log.warning("posting=%d waits: %s", one.id, type(error).__name__)
                continue
        with transaction(bot.sessions) as session:
            posting_sends.queue(session, one.id, bot.clock.now(), shown.pictures, shown.left_out)
        count += 1
    return count


def _upload(bot: Bot, due: posting_sends.Due) -> _Shown:
    """Upload what a moment shows: pictures and films; WeCom keeps them for moments only."""
    with bot.sessions() as session:
        found = session.scalars(
            select(Material)
            .where(Material.id.in_(due.material_ids))
            .options(undefer(Material.content))
        )
        by_id = {material.id: material for material in found}
    shown = _Shown([], [])
    for material in (by_id[one] for one in due.material_ids if one in by_id):
        try:
            media_id = bot.gateway.upload_moment_attachment(
                material.kind, material.filename or material.name, material.content or b""
            )
        except _SOON:
            raise
        except (WeComError, UserError) as error:
            log.warning("posting=%d material=%d left out: %s", due.id, material.id, error)
            shown.left_out.append(material.name)
            continue
        is_film = material.kind == "video"
        shown.pictures.append(Video(media_id) if is_film else Image(media_id=media_id))
    return shown


def reconcile_mass(bot: Bot, delivery: Delivery) -> dict[str, Any] | None:
    """Whether a mass message of unknown effect was made: what its call would have answered."""
    return _reconcile(bot, delivery, "single")


def reconcile_group(bot: Bot, delivery: Delivery) -> dict[str, Any] | None:
    """Whether a group message of unknown effect was made."""
    return _reconcile(bot, delivery, "group")


def _reconcile(bot: Bot, delivery: Delivery, chat_type: str) -> dict[str, Any] | None:
    first, last = _around(bot, delivery.not_before)
    listed = bot.gateway.mass_messages(first, last, chat_type=chat_type)
    words = delivery.subject["words"]
    ours = [one for one in listed if not one.creator and one.text == words]
    with bot.sessions() as session:
        ids = [one.msgid for one in ours]
        known = mass_sends.known_msgids(session, ids) | posting_sends.known_ids(session, ids)
    for one in ours:
        if one.msgid in known:
            continue
        senders = {task.userid.lower() for task in bot.gateway.mass_message_tasks(one.msgid)}
        if senders == {str(delivery.subject["userid"]).lower()}:
            return {"msgid": one.msgid, "fail_list": []}
    return None


def reconcile_moment(bot: Bot, delivery: Delivery) -> dict[str, Any] | None:
    """Whether a moment of unknown effect was made; while WeCom may still be making it: wait."""
    found = listed_moment(bot, str(delivery.subject["words"]), delivery.not_before)
    if found is not None:
        return {"moment_id": found}
    tried_at = delivery.first_tried_at
    real_now = bot.clock.real_now()
    if tried_at is not None and real_now - tried_at < _MOMENT_MADE_BY:
        left = tried_at + _MOMENT_MADE_BY - real_now
        raise RateLimited(
            MOMENT_API, None, "it may still be in the making", retry_after=left.total_seconds()
        )
    return None


def listed_moment(bot: Bot, words: str, since: datetime) -> str | None:
    """The moment that WeCom lists with these clipped words and that no posting of ours has."""
    ours = [
        one.moment_id
        for one in bot.gateway.moments(*_around(bot, since))
        if not one.creator and one.text == words
    ]
    with bot.sessions() as session:
        known = posting_sends.known_ids(session, ours)
    return next((one for one in ours if one not in known), None)


def _around(bot: Bot, since: datetime) -> tuple[datetime, datetime]:
    """From before a call to now, in the time of the shop."""
    first = since - _LOOK_AROUND
    return first, min(bot.clock.now() + _LOOK_AROUND, first + _LONGEST_SPAN)
