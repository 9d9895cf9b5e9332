"""Door: what follows a changed customer (客户变动后重算): scores, tags, plans, within seconds.

The nightly run does the same for everybody; here it is the few whose facts just changed.
"""

from __future__ import annotations

import logging

from bot.bot import Bot
from bot.clock import business_day
from bot.crm import changes
from bot.db import transaction
from sop import appointments, enrollment, leads, planning, turn
from tagging import beginnings, rules, scores, tags

log = logging.getLogger(__name__)

BATCH = 500


def refresh_changed(bot: Bot, *, most: int = BATCH) -> int:
    """Refresh up to `most` changed contacts in one transaction; returns how many.

    A failure gives them all back, so nothing is forgotten.
    """
    now = bot.clock.now()
    day = business_day(now)
    with transaction(bot.sessions) as session:
        # Before any row is locked: a preview holds the turn while it locks scores.
        turn.take(session)
        ids = changes.take(session, most)
        if not ids:
            return 0
        # Of an add whose callback was lost nobody else thinks.
        beginnings.give_code_tags(session, ids)
        beginnings.mark_for_new_guides(session, ids)
        scores.refresh(session, day, ids)
        rules.apply(session, day, ids)
        appointments.arrive_by_visits(session, day, ids)
        leads.raise_due(session, day, now, ids)
        enrollment.enroll_due(session, day, ids)
        planning.plan(session, day, now, ids)
        tags.push_pending(session)
    log.info("refresh day=%s contacts=%d", day, len(ids))
    return len(ids)
