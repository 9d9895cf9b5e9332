"""Door: the clock (时刻表). What happens at which hour, and the steps of the night.

The clock only asks for runs; the row (job, day) makes each happen once, however many clocks there
are. `look` asks for whatever is due by now, so a missed hour is caught up as soon as a clock runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot import retention, runs
from bot.bot import Bot
from bot.clock import SHANGHAI, at, business_day
from bot.crm import brand, calendar, coupons, sync, workdays
from bot.db import transaction
from content_library import materials
from handlers import contact_ways, lead_alerts, posting, posting_results
from sop import (
    appointments,
    digests,
    enrollment,
    leads,
    planning,
    postings,
    sends,
)
from tagging import corp_tags, marks, rules, scores

log = logging.getLogger(__name__)

#: (session, day) -> rows. Pure SQL, one transaction each, safe to repeat for any day.
NIGHTLY: tuple[tuple[str, Callable[[Session, date], int]], ...] = (
    ("calendar.extend", calendar.extend),
    ("workdays.extend", workdays.extend),
    ("coupons.expire", coupons.expire),
    ("scores.refresh", scores.refresh),
    ("rules.apply", rules.apply),
    ("appointments.settle", appointments.settle),
    ("enrollment.enroll_due", enrollment.enroll_due),
)


# What a missed night still does for its own day; the rest would write the past over the present.
_OF_THE_PAST = frozenset({"enrollment.enroll_due"})
# What would end before its time if a day were planned that has not begun.
_NEVER_AHEAD = frozenset({"coupons.expire", "appointments.settle"})


def nightly(bot: Bot, day: date) -> int:
    """Scores, stages, tags, enrollments and the plan of one day; returns tasks opened.

    A past day is a missed night: whom it should have enrolled is enrolled, and everything else is
    done as of today, for what is past can be caught up and not be done over. Older than the
    brand's catch-up days: 0, nothing is done. A future day is planned ahead (`planning.plan`).
    """
    now = bot.clock.now()
    stands_on = max(day, business_day(now))
    if day < stands_on and _is_too_old(bot, day, stands_on):
        log.info("nightly day=%s is too old to be caught up", day)
        return 0
    is_ahead = stands_on > business_day(now)
    for name, step in NIGHTLY:
        if is_ahead and name in _NEVER_AHEAD:
            continue
        if name == "enrollment.enroll_due" and not is_ahead:
            # A lead that came up by itself is what an SOP may wait for.
            raised = partial(leads.raise_due, now=now)
            _step(bot, "leads.raise_due", stands_on, raised)
        _step(bot, name, day if name in _OF_THE_PAST else stands_on, step)
    opened = _step(
        bot,
        "planning.plan",
        stands_on,
        lambda session, day: planning.plan(session, day, now).opened,
    )
    if not is_ahead:
        _step(bot, "postings.plan", stands_on, partial(postings.plan, now=now))
    while _step(bot, "marks.push_pending", day, lambda session, _: marks.push_pending(session)):
        pass
    return opened


def _is_too_old(bot: Bot, day: date, today: date) -> bool:
    with bot.sessions() as session:
        return day < today - timedelta(days=brand.settings(session).catch_up_days)


def _step(bot: Bot, name: str, day: date, step: Callable[[Session, date], int]) -> int:
    began = time.monotonic()
    with transaction(bot.sessions) as session:
        rows = step(session, day)
    took = round((time.monotonic() - began) * 1000)
    log.info("nightly step=%s day=%s rows=%s ms=%s", name, day, rows, took)
    return rows


def morning(bot: Bot, day: date) -> int:
    """The digest cards of the day; returns how many guides get one.

    Only today has a morning: the guides' day is over, or its tasks are not decided yet.
    """
    if day != business_day(bot.clock.now()):
        log.info("morning day=%s is not today, nothing is prepared", day)
        return 0
    with transaction(bot.sessions) as session:
        return digests.prepare(session, day, bot.clock.now(), bot.settings)


def roster(bot: Bot, day: date) -> int:
    """Compare our relations with WeCom's and repair what no callback told; returns repairs."""
    return sync.reconcile_relations(
        bot.gateway, bot.sessions, bot.clock, secret_key=bot.settings.secret_key
    )


def media(bot: Bot, day: date) -> int:
    """Upload again what WeCom will soon forget; returns uploads."""
    return materials.renew_media(bot.gateway, bot.sessions, bot.clock)


def forget(bot: Bot, day: date) -> int:
    """Let go of letters and records whose time is over; returns rows."""
    return retention.purge(bot.sessions)


# From the first hour in which a mass message may be confirmed to the last.
_ASKING_HOURS = range(9, 23)

JOBS: dict[str, Callable[[Bot, date], int]] = {
    "roster": roster,
    "nightly": nightly,
    "morning": morning,
    "media": media,
    "retention": forget,
    # Nobody calls back: WeCom is asked every hour in which guides confirm and publish.
    **{f"posting_results_{hour}": posting_results.poll for hour in _ASKING_HOURS},
}


@dataclass(frozen=True)
class Daily:
    """A job asked for once a day from `hour:minute` (Shanghai) on; `until_hour` ends the wish."""

    job: str
    hour: int
    minute: int
    until_hour: int = 24


def timetable(session: Session) -> tuple[Daily, ...]:
    """Today's timetable; the brand decides the hour of the morning."""
    settings = brand.settings(session)
    return (
        # Not on the hour and not in the first minutes of a day, where dates are easily mistaken.
        Daily("media", 1, 20),
        Daily("roster", 1, 40),
        Daily("nightly", 2, 10),
        Daily("retention", 4, 20),
        Daily("morning", settings.morning.hour, settings.morning.minute, until_hour=20),
        *(Daily(f"posting_results_{hour}", hour, 5, until_hour=hour + 1) for hour in _ASKING_HOURS),
    )


def look(bot: Bot) -> list[str]:
    """Ask for every daily job that is due by now; returns those newly asked for."""
    now = bot.clock.now()
    day = business_day(now)
    asked = []
    with transaction(bot.sessions) as session:
        for entry in timetable(session):
            is_wanted = _is_due(entry, now) and _may_start(session, entry, day)
            again = is_wanted and _was_early(session, bot, entry.job, day)
            if is_wanted and runs.request(session, entry.job, day, again=again):
                asked.append(entry.job)
    return asked


def _is_due(entry: Daily, now: datetime) -> bool:
    local = now.astimezone(SHANGHAI)
    begins = local.replace(hour=entry.hour, minute=entry.minute, second=0, microsecond=0)
    return begins <= local and local.hour < entry.until_hour


def _may_start(session: Session, entry: Daily, day: date) -> bool:
    # A digest of tasks that are not planned yet would be an empty one.
    return entry.job != "morning" or runs.has_ended(session, "nightly", day)


def _is_morning_coming(session: Session, now: datetime, day: date) -> bool:
    """Whether the digest is due and not written yet: it will tell what a reminder would tell."""
    (entry,) = (one for one in timetable(session) if one.job == "morning")
    return _is_due(entry, now) and not runs.has_ended(session, "morning", day)


def _was_early(session: Session, bot: Bot, job: str, day: date) -> bool:
    """Whether the job of `day` was over before the day began, and so has still to be done."""
    run = runs.JobRun
    # Ends are written by the database, whose clock a sandbox's may have left behind.
    begins = at(day, 0) - bot.clock.offset()
    early = select(run.job).where(run.job == job, run.day == day, run.done_at < begins)
    return session.scalar(early) is not None


def tick(bot: Bot) -> None:
    """Every minute: what HQ changed goes out, and tasks that came due today are told."""
    now = bot.clock.now()
    day = business_day(now)
    with transaction(bot.sessions) as session:
        corp_tags.push_new_tags(session)
        contact_ways.push_changed(session)
        marks.push_pending(session)
    with transaction(bot.sessions) as session:
        if not _is_morning_coming(session, now, day):
            digests.remind_due(session, now, bot.settings)
    with transaction(bot.sessions) as session:
        lead_alerts.tell_due(session, bot.settings, now)
    _send_due(bot)
    with transaction(bot.sessions) as session:
        if materials.due_media(session, now):
            runs.request(session, "media", day, again=True)


def _send_due(bot: Bot) -> None:
    """What machines send and guides confirm leaves at its hour."""
    more = True
    while more:
        with transaction(bot.sessions) as session:
            more = bool(sends.queue_due(session, bot.clock.now()))
    posting.send_due(bot)


def run_now(bot: Bot, job: str, day: date) -> int:
    """Do a job here and now, for a person who asks; the run is written down like any other.

    A day that has not begun is not written down: its own run is still to come.
    """
    began = bot.clock.now()
    rows = JOBS[job](bot, day)
    if day > business_day(began):
        return rows
    done = {
        "state": runs.RunState.DONE,
        "rows": rows,
        "started_at": began,
        "done_at": func.now(),
        "lease_until": None,
        "last_error": None,
    }
    with transaction(bot.sessions) as session:
        record = insert(runs.JobRun).values(job=job, day=day, **done)
        session.execute(record.on_conflict_do_update(index_elements=["job", "day"], set_=done))
    return rows


#: How often a clock looks; a sandbox whose time was moved is seen as quickly.
LOOK_EVERY = timedelta(seconds=15)
TICK_EVERY = timedelta(seconds=60)
