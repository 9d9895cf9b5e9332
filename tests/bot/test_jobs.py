"""Bells ring after commit, once, and their silence costs nothing but time."""

from __future__ import annotations

import time

import pytest
from redis import Redis
from sqlalchemy.orm import Session

from bot import bells as bells_module
from bot import jobs
from bot.bells import Bells
from bot.db import create_sessions


class Heard(Bells):
    """Bells that remember in this process what was rung."""

    def __init__(self) -> None:
        super().__init__(None)
        self.rung: list[str] = []

    def ring(self, lane: str) -> None:
        self.rung.append(lane)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def session(engine, heard):
    with create_sessions(engine, bells=heard)() as session:
        yield session


def write(session: Session) -> None:
    session.connection()


def test_a_bell_rings_after_the_commit_and_once(session, heard):
    write(session)
    jobs.ring(session, "send")
    jobs.ring(session, "send")
    assert heard.rung == []

    session.commit()
    assert heard.rung == ["send"]
    write(session)
    session.commit()
    assert heard.rung == ["send"]


def test_a_rollback_forgets_the_bell(session, heard):
    write(session)
    jobs.ring(session, "send")
    session.rollback()
    write(session)
    session.commit()

    assert heard.rung == []


def test_releasing_a_savepoint_does_not_ring_yet(session, heard):
    write(session)
    with session.begin_nested():
        jobs.ring(session, "send")
        write(session)
    assert heard.rung == []

    session.commit()
    assert heard.rung == ["send"]


def test_rolling_back_a_savepoint_keeps_the_bells_of_the_rest(session, heard):
    write(session)
    jobs.ring(session, "send")
    savepoint = session.begin_nested()
    savepoint.rollback()
    session.commit()

    assert heard.rung == ["send"]


def test_a_session_without_bells_may_still_ask_for_one(sessions):
    with sessions.begin() as session:
        jobs.ring(session, "fast")


def test_an_unknown_lane_is_a_mistake(session):
    with pytest.raises(ValueError, match="fast"):
        jobs.ring(session, "quick")


def test_a_bell_of_another_process_wakes_the_lane_over_redis(redis_url):
    inside, outside = Bells(redis_url), Bells(redis_url)
    keeper = jobs.Doorkeeper(redis_url, ["fast"], inside)
    keeper.start()
    try:
        for _ in range(2):
            outside.ring("fast")
            assert inside.alarm("fast").wait(5), "the bell was not heard"
            inside.alarm("fast").clear()
            # A bell of the same second that is still being answered counts for both.
            time.sleep(1.1)
    finally:
        keeper.stop()
        outside.close()
        inside.close()


def test_ringing_without_redis_returns_at_once_and_raises_nothing():
    silent = Bells("redis://127.0.0.1:1/0")
    begun = time.monotonic()
    for _ in range(100):
        silent.ring("fast")
    assert time.monotonic() - begun < 0.5
    silent.close()


def test_bells_that_nobody_answers_do_not_pile_up(redis_url, monkeypatch):
    monkeypatch.setattr(bells_module, "_MOST_WAITING", 2)
    bells = Bells(redis_url)
    with Redis.from_url(redis_url) as redis:
        for _ in range(4):
            bells.ring("slow")
            # Bells of one second are one bell.
            time.sleep(1.05)
        assert redis.llen("rq:queue:slow") == 2
    bells.close()
