"""What became of mass messages, group messages and moments (群发结果): WeCom must be asked.

There is no callback for "the guide confirmed", so a timed job looks at what is not known yet.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial

from bot.bot import Bot
from bot.db import transaction
from bot.errors import NotConfigured, RateLimited, TokenRejected, WeComError, WeComUnavailable
from bot.wecom.moments import Job
from handlers import posting
from sop import mass_outcomes, posting_sends

log = logging.getLogger(__name__)

# After these the rest would fail like this one; the next run goes on.
_ENDS_THE_RUN = (NotConfigured, TokenRejected)
# One message that WeCom always breaks on must not keep all others from being looked at; so many in
# a row say that WeCom is away.
_MOST_AWAY = 3


def poll(bot: Bot, day: date) -> int:
    """Look at everything of the last days that is not known yet; returns what is newly known:
    customers who were written to, groups and moments that were published.

    Raises WeComUnavailable after having looked at the others, if some got no answer.
    """
    with bot.sessions() as session:
        messages = mass_outcomes.to_watch(session, bot.clock.now())
        moments = posting_sends.moments_to_watch(session, day)
        groups = posting_sends.groups_to_watch(session, day)
    kinds: list[list[Callable[[], int]]] = [
        [partial(_look_at_mass, bot, one) for one in messages],
        [partial(_look_at_moment, bot, one) for one in moments],
        [partial(_look_at_group, bot, one) for one in groups],
    ]
    unanswered: list[WeComUnavailable] = []
    count = sum(_look_at_all(looks, unanswered) for looks in kinds)
    if unanswered:
        # The job is not done: it comes again, and asks for the others first.
        raise unanswered[0]
    return count


def _look_at_all(looks: Sequence[Callable[[], int]], unanswered: list[WeComUnavailable]) -> int:
    count = away = 0
    for look in looks:
        try:
            count += look()
            away = 0
        except WeComUnavailable as error:
            log.warning("no answer: %s", error)
            unanswered.append(error)
            away += 1
            if away == _MOST_AWAY:
                break
    return count


def _look_at_mass(bot: Bot, watched: mass_outcomes.Watched) -> int:
    try:
        senders = bot.gateway.mass_message_tasks(watched.msgid)
        confirmed = [one.userid for one in senders if one.is_sent]
        outcomes = [
            outcome
            for userid in confirmed
            for outcome in bot.gateway.mass_message_outcomes(watched.msgid, userid)
        ]
    except _ENDS_THE_RUN:
        raise
    except WeComUnavailable:
        with transaction(bot.sessions) as session:
            mass_outcomes.note_look(session, watched.id, bot.clock.now())
        raise
    except RateLimited as error:
        log.info("mass send=%d later: %s", watched.id, error.reason)
        return 0
    except WeComError as error:
        log.warning("mass send=%d errcode=%s", watched.id, error.errcode)
        with transaction(bot.sessions) as session:
            mass_outcomes.note_error(session, watched.id, error.reason, bot.clock.now())
        return 0
    is_confirmed = bool(senders) and len(confirmed) == len(senders)
    with transaction(bot.sessions) as session:
        return mass_outcomes.apply(
            session, watched.id, outcomes, is_confirmed=is_confirmed, now=bot.clock.now()
        )


def _look_at_moment(bot: Bot, watched: posting_sends.WatchedMoment) -> int:
    try:
        moment_id = watched.moment_id or _made_by_job(bot, watched)
        if not moment_id:
            return 0
        found = bot.gateway.moment_publications(moment_id)
    except (*_ENDS_THE_RUN, WeComUnavailable):
        raise
    except WeComError as error:
        log.warning("posting=%d errcode=%s", watched.id, error.errcode)
        return 0
    userids = [one.userid for one in found if one.is_published]
    with transaction(bot.sessions) as session:
        return posting_sends.published(session, watched.id, userids, bot.clock.now())


def _made_by_job(bot: Bot, watched: posting_sends.WatchedMoment) -> str | None:
    """The moment that its job has made, once it is done."""
    if watched.jobid is None:
        return None
    try:
        job = bot.gateway.moment_job(watched.jobid)
    except (*_ENDS_THE_RUN, WeComUnavailable, RateLimited):
        raise
    except WeComError as error:
        # A job's number is good for a day only. After a longer silence the words tell the moment.
        found = posting.listed_moment(bot, watched.words, watched.due_at)
        if found is None:
            raise
        log.info("posting=%d found by its words errcode=%s", watched.id, error.errcode)
        job = Job(True, found, 0, "", ())
    if not job.is_done:
        return None
    with transaction(bot.sessions) as session:
        posting_sends.job_ended(session, watched.id, job)
    return job.moment_id if not job.errcode else None


def _look_at_group(bot: Bot, watched: posting_sends.WatchedGroup) -> int:
    try:
        senders = bot.gateway.mass_message_tasks(watched.msgid)
    except (*_ENDS_THE_RUN, WeComUnavailable):
        raise
    except WeComError as error:
        log.warning("posting=%d errcode=%s", watched.posting_id, error.errcode)
        return 0
    userids = [one.userid for one in senders if one.is_sent]
    with transaction(bot.sessions) as session:
        return posting_sends.published(session, watched.posting_id, userids, bot.clock.now())
