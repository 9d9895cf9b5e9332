"""Timed jobs asked for at odd moments: a past day, a moment after the window, at night's end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from bot import runs
from bot.clock import Clock, at, business_day
from bot.db import transaction
from bot.outbox import Outbox
from bot.runs import JobRun
from handlers import timetable, worker
from sop.models import Digest, Enrollment, Task
from tagging.models import ContactScore, TagAssignment
from tests.factories import Make
from tests.sop.plans import publish, spec, step


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


# --- Days that are not today ------------------------------------------------------------------


def _tasks(bot):
    with bot.sessions() as session:
        rows = session.scalars(select(Task).order_by(Task.id))
        return [(row.id, row.state, row.planned_on, row.number, row.words) for row in rows]


def _runs(bot):
    with bot.sessions() as session:
        return {(row.job, row.day): row.state for row in session.scalars(select(JobRun))}


def _digests(bot):
    with bot.sessions() as session:
        return session.scalar(select(func.count()).select_from(Digest))


def test_a_night_for_a_future_day_leaves_todays_list_and_the_days_own_night_to_come(
    bot, with_tasks
):
    before, written = _tasks(bot), _runs(bot)
    assert {(state, on) for _, state, on, _, _ in before} == {("open", with_tasks)}

    for days in (1, 7):
        timetable.run_now(bot, "nightly", with_tasks + timedelta(days=days))

    assert _tasks(bot) == before
    assert _runs(bot) == written


def test_a_morning_for_a_future_day_prepares_nothing_and_its_own_comes_later(
    bot, with_tasks, tmp_path
):
    tomorrow = with_tasks + timedelta(days=1)
    timetable.run_now(bot, "nightly", tomorrow)
    assert timetable.run_now(bot, "morning", tomorrow) == 0
    assert (_digests(bot), ("morning", tomorrow) in _runs(bot)) == (0, False)

    then = _at(bot, tmp_path, tomorrow, 9)
    timetable.run_now(then, "nightly", tomorrow)
    assert timetable.run_now(then, "morning", tomorrow) == 1


def test_a_run_that_was_over_before_its_day_began_is_asked_for_again(bot, tmp_path):
    today = business_day(bot.clock.now())
    late = _at(bot, tmp_path, today + timedelta(days=1), 3)
    tomorrow = business_day(late.clock.now())
    with transaction(bot.sessions) as session:
        Make(session).brand()
        for job in timetable.JOBS:
            begun = at(today, 0) - timedelta(days=1)
            session.add(JobRun(job=job, day=tomorrow, state="done", done_at=begun))
    assert timetable.look(late) == ["media", "roster", "nightly"]
    with transaction(bot.sessions) as session:
        session.execute(update(JobRun).values(state="done", done_at=func.now()))
    assert timetable.look(late) == []


@pytest.fixture
def long_friend(bot):
    """A customer of five years who bought once, then; a rule that was true of her in 2020."""
    with transaction(bot.sessions) as session:
        make = Make(session)
        make.brand()
        today = business_day(bot.clock.now())
        contact = make.contact(make.guide(), followed_on=today.replace(year=2019, day=1))
        make.purchase(contact, on=today.replace(year=2019, day=1))
        make.rule(make.tag("价值/新近"), {"field": "days_since_purchase", "op": "<", "value": 700})
        publish(session, spec("新客", {"kind": "followed"}, step("问候"), step("回访", 400)))
        return contact.id


def _present(bot):
    with bot.sessions() as session:
        score = session.scalars(select(ContactScore)).one()
        tags = session.scalars(select(TagAssignment.assigned_on)).all()
        enrolled = session.scalars(select(Enrollment.anchored_on)).all()
        return score.stage, score.stage_since_on, score.recency, tags, enrolled


def test_a_night_for_a_day_years_ago_does_nothing_to_the_present(bot, long_friend):
    today = business_day(bot.clock.now())
    timetable.run_now(bot, "nightly", today)
    before = _present(bot)
    assert before[0] == "churned"
    for day in (today.replace(year=2020, day=1), today - timedelta(days=4)):
        assert timetable.run_now(bot, "nightly", day) == 0
        assert _present(bot) == before
    assert _tasks(bot) == []


def test_a_night_for_yesterday_judges_people_as_of_today(bot):
    today = business_day(bot.clock.now())
    with transaction(bot.sessions) as session:
        make = Make(session)
        make.brand()
        contact = make.contact(make.guide())
        make.purchase(contact, on=today - timedelta(days=180))
        make.rule(make.tag("价值/新近"), {"field": "days_since_purchase", "op": ">=", "value": 180})
    timetable.run_now(bot, "nightly", today - timedelta(days=1))
    with bot.sessions() as session:
        assert session.scalars(select(TagAssignment.assigned_on)).all() == [today]


def test_what_a_missed_night_would_have_planned_is_planned_for_today(bot):
    today = business_day(bot.clock.now())
    with transaction(bot.sessions) as session:
        make = Make(session)
        make.brand(touch_gap_days=0)
        make.contact(make.guide(), followed_on=today - timedelta(days=2))
        publish(session, spec("新客", {"kind": "followed"}, step("问候"), step("回访", 1)))
    assert timetable.run_now(bot, "nightly", today - timedelta(days=2)) == 2
    assert {(state, on) for _, state, on, _, _ in _tasks(bot)} == {("open", today)}
    before = _tasks(bot)
    assert timetable.run_now(bot, "nightly", today) == 0
    assert _tasks(bot) == before


# --- The clock looks --------------------------------------------------------------------------


def _at(bot, folder, day, hour, minute=0):
    """The same bot at another moment (later than any before in this test)."""
    clock = Clock(folder / "moved")
    clock.advance(at(day, hour, minute) - clock.now())
    return replace(bot, clock=clock)


@pytest.fixture
def friends(bot, platform):
    """A guide and two customers since today, with a step on each of the coming days."""
    platform.on("externalcontact/get_follow_user_list", lambda h: h.answer_json(follow_user=[]))
    today = business_day(bot.clock.now())
    with transaction(bot.sessions) as session:
        make = Make(session)
        make.brand(touch_gap_days=0)
        guide = make.guide()
        for _ in range(2):
            make.contact(guide, followed_on=today)
        steps = [step(f"第{n}天", n) for n in range(1, 8)]
        publish(session, spec("新客", {"kind": "followed"}, *steps))
    return today


def test_a_missed_night_and_its_morning_are_caught_up_on_the_next_look(bot, friends, tmp_path):
    """Nobody looked on the first day; on the second the clock starts at eleven."""
    second = friends + timedelta(days=2)
    late = _at(bot, tmp_path, second, 11)
    assert timetable.look(late) == ["media", "roster", "nightly", "retention"]
    worker.settle(late)
    assert {on for _, state, on, _, _ in _tasks(bot) if state == "open"} == {second}
    assert len(_tasks(bot)) == 4
    assert timetable.look(late) == ["morning"]
    worker.settle(late)
    timetable.tick(late)
    assert _digests(bot) == 1
    assert timetable.look(late) == []


def test_two_clocks_ask_once(bot, friends, tmp_path):
    night = _at(bot, tmp_path, friends + timedelta(days=1), 2, 30)
    twin = replace(night, clock=Clock(tmp_path / "moved"))
    assert timetable.look(night) == ["media", "roster", "nightly"]
    assert timetable.look(twin) == []
    worker.settle(night)
    tasks = _tasks(bot)
    worker.settle(twin)
    timetable.tick(twin)
    assert (len(tasks), _tasks(bot)) == (2, tasks)


def test_in_the_evening_no_morning_is_asked_for(bot, friends, tmp_path):
    late = _at(bot, tmp_path, friends + timedelta(days=1), 20)
    assert "nightly" in timetable.look(late)
    worker.settle(late)
    assert timetable.look(late) == []
    assert _digests(bot) == 0
    early = _at(bot, tmp_path, friends + timedelta(days=2), 8, 46)
    assert "nightly" in timetable.look(early)
    worker.settle(early)
    assert timetable.look(early) == []
    begun = _at(bot, tmp_path, friends + timedelta(days=2), 8, 48)
    assert timetable.look(begun) == ["morning"]
