"""What a guide can do with a task, once and never with another's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.clock import at
from bot.crm.models import TimelineEntry
from bot.errors import UserError
from sop import tasks as actions
from sop.models import TRANSITIONS, TaskState, Touch
from tests.fixtures_db import counting
from tests.sop.plans import TODAY, night, publish, spec, step, tasks

TEN = at(TODAY, 10)


@pytest.fixture
def listed(session, make):
    """A guide with three numbered tasks of today."""
    guide = make.guide()
    for name in ("甲", "乙", "丙"):
        make.contact(guide, followed_on=TODAY, name=name)
    publish(session, spec("新客", {"kind": "followed"}, step("问候", at="10:00")))
    night(session)
    return guide


def test_the_list_of_today_is_numbered_and_says_why(session, listed):
    views = actions.today(session, listed.id, TODAY, TEN)
    assert [(v.number, v.contact_name, v.title, v.state) for v in views] == [
        (1, "甲", "问候", "open"),
        (2, "乙", "问候", "open"),
        (3, "丙", "问候", "open"),
    ]
    assert views[0].why_line == "11月21日 加为好友 · 新客 v1"
    assert views[0].due_at == TEN
    assert not views[0].is_last_day


def test_the_list_takes_one_statement(session, listed, engine):
    with counting(engine) as seen:
        actions.today(session, listed.id, TODAY, TEN)
    assert seen.count == 1


def test_completing_twice_is_completing_once(session, listed):
    task_id = actions.numbered(session, listed.id, TODAY, 2)
    first = actions.complete(session, task_id, listed.id, TEN, "  约了周六  ")
    second = actions.complete(session, task_id, listed.id, at(TODAY, 11), "再一次")
    assert first == second
    assert (first.state, first.outcome) == ("done", "约了周六")
    (entry,) = session.scalars(select(TimelineEntry))
    assert entry.text == "导购完成了「问候」：约了周六"


def test_two_taps_at_once_write_one_line(session, sessions, listed):
    task_id = actions.numbered(session, listed.id, TODAY, 1)
    session.commit()

    def tap(_):
        with sessions() as own, own.begin():
            return actions.complete(own, task_id, listed.id, TEN).state

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(tap, range(4))) == {"done"}
    assert len(session.scalars(select(TimelineEntry)).all()) == 1


def test_a_skipped_task_keeps_the_reason_and_frees_the_customer(session, listed):
    task_id = actions.numbered(session, listed.id, TODAY, 1)
    view = actions.skip(session, task_id, listed.id, TEN, "客户出国了")
    actions.skip(session, task_id, listed.id, TEN, "客户出国了")
    assert (view.state, view.outcome) == ("skipped", "客户出国了")
    assert task_id not in session.scalars(select(Touch.task_id)).all()
    assert [e.text for e in session.scalars(select(TimelineEntry))] == [
        "导购跳过了「问候」：客户出国了"
    ]


def test_a_moved_task_comes_back_on_its_day_at_its_hour(session, listed):
    task_id = actions.numbered(session, listed.id, TODAY, 1)
    friday = TODAY + timedelta(days=6)
    view = actions.move(session, task_id, listed.id, TEN, friday)
    assert actions.move(session, task_id, listed.id, TEN, friday) == view
    assert (view.state, view.number) == ("deferred", None)
    session.commit()
    night(session, friday - timedelta(days=1))
    assert [t.id for t in tasks(session, "deferred")] == [task_id]
    night(session, friday)
    (task,) = [t for t in tasks(session, "open") if t.id == task_id]
    assert (task.planned_on, task.due_at) == (friday, at(friday, 10))
    assert len(session.scalars(select(TimelineEntry)).all()) == 1


@pytest.mark.parametrize("days", [0, -1, 400])
def test_a_task_is_moved_to_a_later_day_within_reach(session, listed, days):
    task_id = actions.numbered(session, listed.id, TODAY, 1)
    with pytest.raises(UserError):
        actions.move(session, task_id, listed.id, TEN, TODAY + timedelta(days=days))
    assert actions.today(session, listed.id, TODAY, TEN)[0].state == "open"


def test_the_task_of_another_guide_cannot_be_found(session, listed, make):
    task_id, stranger = actions.numbered(session, listed.id, TODAY, 1), make.guide()
    for action in (
        lambda: actions.complete(session, task_id, stranger.id, TEN),
        lambda: actions.skip(session, task_id, stranger.id, TEN),
        lambda: actions.move(session, task_id, stranger.id, TEN, TODAY + timedelta(days=1)),
        lambda: actions.mark_opened(session, task_id, stranger.id, TEN),
        lambda: actions.complete(session, 999_999, listed.id, TEN),
    ):
        with pytest.raises(UserError, match="没有找到这项任务"):
            action()
    with pytest.raises(UserError, match="没有第 1 项"):
        actions.numbered(session, stranger.id, TODAY, 1)
    assert [v.state for v in actions.today(session, listed.id, TODAY, TEN)] == ["open"] * 3


def test_an_ended_task_says_how_it_ended(session, listed):
    task_id = actions.numbered(session, listed.id, TODAY, 1)
    actions.skip(session, task_id, listed.id, TEN)
    with pytest.raises(UserError, match="已经跳过了"):
        actions.complete(session, task_id, listed.id, TEN)


def test_ends_are_final():
    for state in (TaskState.DONE, TaskState.SKIPPED, TaskState.EXPIRED, TaskState.WITHDRAWN):
        assert TRANSITIONS[state] == frozenset()
    assert set(TRANSITIONS) == set(TaskState)


def test_shown_and_opened_keep_the_first_time(session, listed):
    assert actions.mark_shown(session, listed.id, TODAY, TEN) == 3
    assert actions.mark_shown(session, listed.id, TODAY, at(TODAY, 11)) == 0
    task_id = actions.numbered(session, listed.id, TODAY, 1)
    actions.mark_opened(session, task_id, listed.id, TEN)
    actions.mark_opened(session, task_id, listed.id, at(TODAY, 11))
    session.commit()
    first = tasks(session)[0]
    assert (first.shown_at, first.opened_at) == (TEN, TEN)


def test_progress_counts_by_store_within_the_readers_scope(session, listed, make, engine):
    other = make.guide()
    make.contact(other, followed_on=TODAY)
    night(session)
    actions.complete(session, actions.numbered(session, listed.id, TODAY, 1), listed.id, TEN)
    actions.skip(session, actions.numbered(session, listed.id, TODAY, 2), listed.id, TEN)
    with counting(engine) as seen:
        found = {p.store_id: p for p in actions.store_progress(session, TODAY)}
    assert seen.count == 1
    mine = found[listed.store_id]
    assert (mine.planned, mine.done, mine.skipped, mine.open) == (3, 1, 1, 1)
    assert found[other.store_id].planned == 1
    scoped = actions.store_progress(session, TODAY, [other.store_id])
    assert [p.store_id for p in scoped] == [other.store_id]
    assert actions.store_progress(session, TODAY, []) == []
