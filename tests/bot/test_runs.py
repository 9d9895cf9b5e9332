"""A timed job runs once per day, whoever asks, and a dead one is taken up again."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import text

from bot import runs

DAY = date(2026, 11, 21)


def request(sessions, **more):
    with sessions.begin() as session:
        return runs.request(session, "nightly", DAY, **more)


def claim(sessions):
    with sessions.begin() as session:
        return runs.claim(session)


def test_two_clocks_ask_and_one_run_comes_of_it(sessions):
    assert request(sessions)
    assert not request(sessions)

    assert [(run.job, run.day) for run in claim(sessions)] == [("nightly", DAY)]
    assert claim(sessions) == []


def test_a_done_run_stays_done_unless_a_person_asks_again(sessions):
    request(sessions)
    (held,) = claim(sessions)
    assert not request(sessions, again=True), "it is running"
    with sessions.begin() as session:
        assert runs.finish(session, held, 7, {})
        assert runs.is_done(session, "nightly", DAY)

    assert not request(sessions)
    assert request(sessions, again=True)
    assert len(claim(sessions)) == 1


def test_a_run_whose_worker_died_is_taken_up_and_the_dead_one_cannot_finish_it(sessions):
    request(sessions)
    (dead,) = claim(sessions)
    with sessions.begin() as session:
        assert runs.renew(session, dead)
        session.execute(text("UPDATE job_run SET lease_until = now() - interval '1 second'"))
    (heir,) = claim(sessions)

    with sessions.begin() as session:
        assert not runs.renew(session, dead)
        assert not runs.finish(session, dead, 1, {})
        assert runs.finish(session, heir, 2, {})


def test_a_run_that_fails_five_times_stops_and_says_why(sessions):
    request(sessions)
    for _ in range(5):
        (held,) = claim(sessions)
        with sessions.begin() as session:
            runs.fail(session, held, "KeyError", wait=timedelta(0))

    assert claim(sessions) == []
    with sessions() as session:
        (failed,) = runs.recent(session)
    assert (failed.state, failed.last_error) == (runs.RunState.FAILED, "KeyError")
