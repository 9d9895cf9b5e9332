"""Timed jobs asked for at odd moments: a past day, a moment after the window, at night's end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from bot import runs
from bot.clock import Clock, at, business_day
from bot.db import transaction
from bot.outbox import Outbox
from bot.runs import JobRun
from handlers import timetable, worker
from sop.models import Digest, Task
from tests.factories import Make
from tests.sop.plans import publish, spec


@pytest.fixture
def with_tasks(bot):
    """A guide with an open task today and yesterday."""
    today = business_day(bot.clock.now())
    with transaction(bot.sessions) as session:
        make = Make(session)
        make.brand()
        contact = make.contact(make.guide(), followed_on=today - timedelta(days=1), name="韩梅")
        assert contact.id
        publish(session, spec("新客", {"kind": "followed"}))
    for day in (today - timedelta(days=1), today):
        timetable.run_now(bot, "nightly", day)
    with bot.sessions() as session:
        assert session.scalars(select(Task)).all()
    return today


@pytest.mark.parametrize("days", [1, 2, 400])
def test_the_morning_of_a_past_day_is_answered_with_no_digests(bot, with_tasks, days):
    day = with_tasks - timedelta(days=days)

    assert timetable.run_now(bot, "morning", day) == 0

    with bot.sessions() as session:
        assert session.get_one(JobRun, ("morning", day)).state == "done"
        assert session.scalars(select(Digest)).all() == []
        assert session.scalars(select(Outbox).where(Outbox.kind == "digest")).all() == []


def test_a_morning_that_a_worker_finds_the_day_after_ends_as_done_with_none(bot, with_tasks):
    day = with_tasks - timedelta(days=1)
    with transaction(bot.sessions) as session:
        runs.request(session, "morning", day)

    worker.settle(bot)

    with bot.sessions() as session:
        run = session.get_one(JobRun, ("morning", day))
    assert (run.state, run.rows, run.last_error) == ("done", 0, None)


def test_the_morning_after_its_window_is_answered_with_no_digests(bot, with_tasks, tmp_path):
    clock = Clock(tmp_path / "ahead")
    late = at(with_tasks, 21, 30)
    if late > clock.now():
        clock.advance(late - clock.now())

    assert timetable.run_now(replace(bot, clock=clock), "morning", with_tasks) == 0


def test_what_is_old_is_let_go_every_night(bot):
    with bot.sessions() as session:
        entries = {one.job for one in timetable.timetable(session)}
    assert "retention" in entries
    assert timetable.run_now(bot, "retention", business_day(bot.clock.now())) == 0


def test_every_job_of_the_timetable_can_be_done(bot):
    with bot.sessions() as session:
        assert {one.job for one in timetable.timetable(session)} == set(timetable.JOBS)
