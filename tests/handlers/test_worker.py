"""A worker hears the bell, looks by itself, gives each piece its turn, and ends what it holds."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import select, text

from bot import errors, inbox, jobs, leases, outbox, runs
from bot.bells import Bells
from bot.bot import Bot
from bot.db import create_sessions
from bot.inbox import Inbox, MessageState
from bot.outbox import CallState, Outbox
from bot.presence import Presence
from bot.wecom.events import ContactRemoved, GuideRemoved
from handlers import events, lanes, timetable, worker
from handlers.deliveries import DELIVERIES
from handlers.lanes import LANES, work_messages, work_run
from handlers.verdicts import Kind, RetryClass
from handlers.worker import Crew, settle
from tests import letters
from tests.installation import until

NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
DAY = date(2026, 11, 21)


@pytest.fixture
def handled(monkeypatch) -> list[str]:
    """The only thing the bot does here: note who left."""
    seen: list[str] = []

    def note(bot: Bot, event: GuideRemoved) -> None:
        seen.append(event.external_userid)

    monkeypatch.setattr(events, "HANDLERS", {GuideRemoved: (note,)})
    return seen


@contextmanager
def working(bot: Bot, *names: str) -> Iterator[Crew]:
    crew = Crew(bot, names)
    crew.start()
    try:
        yield crew
    finally:
        assert crew.stop()


def receive(bot: Bot, plaintext: bytes) -> bool:
    return inbox.receive(bot.sessions, letters.key(plaintext), plaintext, {}, NOW)


def claim(bot: Bot, lane: str = "events") -> list[inbox.Message]:
    with bot.sessions.begin() as session:
        return inbox.claim(session, lane, most=10)


def states(bot: Bot) -> list[str]:
    with bot.sessions() as session:
        return list(session.scalars(select(Inbox.state).order_by(Inbox.id)))


def handlers(monkeypatch, *functions: Callable[..., None]) -> None:
    monkeypatch.setattr(events, "HANDLERS", {GuideRemoved: functions})


def test_every_lane_is_worked_on_by_exactly_one_process_kind():
    assert set(LANES) == set(jobs.LANES)


def test_settle_handles_what_came_and_leaves_nothing_due(bot, handled):
    for number in range(3):
        receive(bot, letters.removed(f"wm{number}"))

    assert settle(bot) == 3
    assert handled == ["wm0", "wm1", "wm2"]
    assert settle(bot) == 0


def test_a_kind_that_nobody_handles_is_kept_as_ignored(bot, handled):
    receive(bot, letters.contact_event("transfer_fail", "wm1", FailReason="customer_refused"))
    settle(bot)

    assert states(bot) == [MessageState.IGNORED]


def test_one_failing_function_does_not_stop_the_others_and_all_run_again(bot, monkeypatch):
    ran: list[str] = []

    def fail_once(bot: Bot, event: ContactRemoved) -> None:
        ran.append("first")
        if ran.count("first") == 1:
            raise KeyError("a customer's own words")

    handlers(monkeypatch, fail_once, lambda bot, event: ran.append("second"))
    receive(bot, letters.removed())
    (held,) = claim(bot)
    work_messages(bot, [held])
    assert ran == ["first", "second"]
    with bot.sessions.begin() as session:
        assert session.scalar(select(Inbox.last_error)) == "KeyError"
        session.execute(text("UPDATE inbox SET next_at = now()"))
    settle(bot)

    assert ran == ["first", "second", "first", "second"]
    assert states(bot) == [MessageState.DONE]


def test_poison_is_dead_after_five_tries_and_others_flow_on(bot, monkeypatch):
    good: list[str] = []

    def pick(bot: Bot, event: GuideRemoved) -> None:
        if event.external_userid == "wm-poison":
            raise ValueError
        good.append(event.external_userid)

    handlers(monkeypatch, pick)
    receive(bot, letters.removed("wm-poison"))
    receive(bot, letters.removed("wm-good"))
    for _ in range(6):
        settle(bot)
        with bot.sessions.begin() as session:
            session.execute(text("UPDATE inbox SET next_at = now()"))

    assert good == ["wm-good"]
    assert states(bot) == [MessageState.DEAD, MessageState.DONE]


def test_a_rate_limit_inside_a_handler_does_not_count_against_the_message(bot, monkeypatch):
    def limited(bot: Bot, event: GuideRemoved) -> None:
        raise errors.RateLimited("externalcontact/get", 45009, "freq", retry_after=60)

    handlers(monkeypatch, limited)
    receive(bot, letters.removed())
    (held,) = claim(bot)
    work_messages(bot, [held])

    with bot.sessions() as session:
        row = session.scalars(select(Inbox)).one()
    assert (row.state, row.attempts) == (MessageState.DUE, 0)


def test_a_worker_without_redis_finds_work_by_looking(bot, handled):
    with working(bot, "events"):
        receive(bot, letters.removed())
        until(lambda: handled == ["wm1"], 5)


def test_a_bell_over_redis_is_quicker_than_looking(bot, handled, redis_url, monkeypatch, engine):
    monkeypatch.setitem(LANES, "events", replace(LANES["events"], look_seconds=30.0))
    inside, outside = Bells(redis_url), Bells(redis_url)
    here = replace(bot, bells=inside, sessions=create_sessions(engine, bells=inside))
    there = replace(bot, bells=outside, sessions=create_sessions(engine, bells=outside))
    with working(here, "events"):
        time.sleep(1.0)
        receive(there, letters.removed())
        until(lambda: handled == ["wm1"], 5)
    inside.close()
    outside.close()


def test_a_slow_piece_does_not_hold_up_the_next(bot, monkeypatch):
    go, seen = threading.Event(), []

    def slow_for_one(bot: Bot, event: GuideRemoved) -> None:
        if event.external_userid == "wm-slow":
            go.wait(10)
        seen.append(event.external_userid)

    handlers(monkeypatch, slow_for_one)
    with working(bot, "events"):
        receive(bot, letters.removed("wm-slow"))
        receive(bot, letters.removed("wm-quick"))
        until(lambda: seen == ["wm-quick"], 5)
        go.set()
        until(lambda: seen == ["wm-quick", "wm-slow"], 5)


def test_stopping_finishes_what_is_in_hand(bot, monkeypatch):
    begun = threading.Event()

    def slow(bot: Bot, event: GuideRemoved) -> None:
        begun.set()
        time.sleep(0.5)

    handlers(monkeypatch, slow)
    with working(bot, "events"):
        receive(bot, letters.removed())
        assert begun.wait(5)

    assert states(bot) == [MessageState.DONE]


def test_a_burst_of_calls_leaves_on_many_connections_and_each_once(bot, platform, monkeypatch):
    monkeypatch.setitem(DELIVERIES, "test", Kind(RetryClass.IDEMPOTENT))
    platform.answers["test/call"] = lambda handler: (time.sleep(0.02), handler.answer_json())
    with bot.sessions.begin() as session:
        drafts = [
            outbox.Draft(kind="test", api="test/call", body=b"%d" % n, dedupe_key=f"k{n}")
            for n in range(300)
        ]
        outbox.add_many(session, drafts)

    def done() -> bool:
        with bot.sessions() as session:
            return not session.scalar(select(Outbox.id).where(Outbox.state != CallState.DONE))

    with working(bot, "send"):
        until(done, 20)
    bodies = [asked.body for asked in platform.asked if asked.api == "test/call"]
    assert len(bodies) == len(set(bodies)) == 300


def test_a_timed_job_runs_once_however_many_workers_there_are(bot, monkeypatch):
    ran: list[date] = []
    monkeypatch.setitem(timetable.JOBS, "test", lambda bot, day: ran.append(day) or 7)
    for _ in range(2):
        with bot.sessions.begin() as session:
            runs.request(session, "test", DAY)
    with working(bot, "slow"), working(bot, "slow"):
        until(lambda: ran == [DAY], 8)
    settle(bot)

    assert ran == [DAY]
    with bot.sessions() as session:
        assert [(run.state, run.rows) for run in runs.recent(session)] == [("done", 7)]


def test_a_timed_job_that_raises_is_due_again_with_its_reason(bot, monkeypatch):
    def fail(bot: Bot, day: date) -> int:
        raise KeyError("x")

    monkeypatch.setitem(timetable.JOBS, "test", fail)
    with bot.sessions.begin() as session:
        runs.request(session, "test", DAY)
        (held,) = runs.claim(session)
    work_run(bot, held)

    with bot.sessions() as session:
        assert [(r.state, r.last_error) for r in runs.recent(session)] == [("due", "KeyError")]


def test_the_worker_process_ends_on_sigterm(bot):
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    timer.start()
    try:
        worker.run_lanes(bot, ("events", "send"))
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
        timer.join()


def test_the_fast_lane_takes_up_a_dead_workers_welcome_while_its_code_lives():
    # Message and call may both have been in the dead worker's hand: one after the other.
    assert inbox._LEASE_SECONDS["fast"] + leases._LEASE_SECONDS["fast"] < 20
    assert lanes.LANES["fast"].look_seconds <= 0.2


def test_a_message_of_the_fast_lane_does_not_wait_until_its_own_worker_has_started(bot, handled):
    receive(bot, letters.removed("wm1"))
    with bot.sessions.begin() as session:
        session.execute(text("UPDATE inbox SET lane = 'fast'"))

    crew = Crew(bot, ["slow"], stands_in_for=["fast"])
    crew.start()
    try:
        until(lambda: handled == ["wm1"], 5)
    finally:
        assert crew.stop()


def test_whoever_stands_in_leaves_the_fast_lane_to_its_own_worker(bot, handled):
    own = Presence(bot.engine, ["fast"])
    own.start(bot.sessions)
    until(lambda: own.owner() is not None, 5)
    receive(bot, letters.removed("wm1"))
    with bot.sessions.begin() as session:
        session.execute(text("UPDATE inbox SET lane = 'fast'"))

    crew = Crew(bot, ["slow"], stands_in_for=["fast"])
    crew.start()
    try:
        time.sleep(1.0)
        assert handled == []
        own.stop()
        until(lambda: handled == ["wm1"], 5)
    finally:
        own.stop()
        assert crew.stop()
