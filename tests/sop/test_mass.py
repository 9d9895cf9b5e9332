"""Mass messages: gathered by step and guide, sent when due, told of by WeCom, ended."""

from __future__ import annotations

import json
import threading
from datetime import date, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from bot.clock import at
from bot.crm.models import OptOut
from bot.outbox import CallState, Outbox
from sop import mass, mass_sends
from sop.models import (
    Task,
)
from tests.factories import TODAY, Make
from tests.fixtures_db import counting
from tests.locks import wait_for_a_lock
from tests.sop.mass_plan import (
    LATE,
    NIGHT,
    TEN,
    Plan,
    body_of,
    create,
    ended,
    people_of,
    plan,
    queue,
    sends_of,
    states_of,
    touched,
)

__all__ = ["plan"]


def test_tasks_of_one_step_and_guide_are_one_message_with_her_words(
    session: Session, make: Make, plan: Plan
) -> None:
    store = make.store(name="南京路店")
    wang, liu = make.guide(store, name="王芳"), make.guide(store, name="刘洋")
    for guide in (wang, wang, liu):
        plan.task(guide)
    assert mass.gather(session, TODAY, NIGHT) == 3
    sends = {one.guide_id: one for one in sends_of(session)}
    assert {guide: one.contact_count for guide, one in sends.items()} == {wang.id: 2, liu.id: 1}
    assert sends[wang.id].words == "新品到了，王芳在南京路店等您"
    assert sends[wang.id].due_at == TEN
    assert sends[liu.id].words == "新品到了，刘洋在南京路店等您"


def test_gathering_twice_adds_nothing_and_later_tasks_join_what_has_not_left(
    session: Session, make: Make, plan: Plan
) -> None:
    guide = make.guide()
    plan.task(guide)
    mass.gather(session, TODAY, NIGHT)
    assert mass.gather(session, TODAY, NIGHT) == 0
    plan.task(guide, due_at=at(TODAY, 15))
    assert mass.gather(session, TODAY, at(TODAY, 9, 30)) == 1
    [send] = sends_of(session)
    assert (send.contact_count, send.due_at) == (2, at(TODAY, 15))


def test_who_comes_after_it_has_left_gets_a_part_of_her_own(
    session: Session, make: Make, plan: Plan
) -> None:
    guide = make.guide()
    queue(session, plan, guide)
    plan.task(guide)
    mass.gather(session, TODAY, at(TODAY, 11))
    first, second = sends_of(session)
    assert (first.part, second.part) == (0, 1)
    assert (second.contact_count, second.due_at) == (1, at(TODAY, 11))


def test_who_joins_in_the_moment_it_leaves_gets_the_next_part(
    session: Session, sessions: sessionmaker[Session], make: Make, plan: Plan
) -> None:
    guide = make.guide()
    plan.task(guide)
    mass.gather(session, TODAY, NIGHT)
    late = plan.task(guide)
    session.commit()
    joined: list[int] = []

    def join() -> None:
        with sessions() as other:
            joined.append(mass.gather(other, TODAY, TEN, [late.contact_id]))
            other.commit()

    mass_sends.queue_due(session, TEN)
    joining = threading.Thread(target=join)
    joining.start()
    try:
        wait_for_a_lock(sessions)
    finally:
        session.commit()
        joining.join(timeout=10)

    assert joined == [1]
    first, second = sends_of(session)
    assert (first.state, first.contact_count) == ("queued", 1)
    assert (second.state, second.part, second.contact_count) == ("waiting", 1, 1)
    session.refresh(late)
    assert late.mass_send_id == second.id


def test_a_message_is_for_at_most_ten_thousand_customers(
    session: Session, make: Make, plan: Plan
) -> None:
    guide = make.guide()
    for _ in range(5):
        plan.task(guide)
    mass.gather(session, TODAY, NIGHT, most=2)
    assert [(one.part, one.contact_count) for one in sends_of(session)] == [(0, 2), (1, 2), (2, 1)]
    plan.task(guide)
    mass.gather(session, TODAY, NIGHT, most=2)
    assert [one.contact_count for one in sends_of(session)] == [2, 2, 2]


def test_other_tasks_and_other_days_stay_alone(session: Session, make: Make, plan: Plan) -> None:
    guide = make.guide()
    plan.task(guide, carrier="guide", kind="chat")
    plan.task(guide, state="deferred", planned_on=None)
    plan.task(guide, planned_on=TODAY + timedelta(days=1))
    assert mass.gather(session, TODAY, NIGHT) == 0
    mine = plan.task(guide)
    plan.task(guide)
    assert mass.gather(session, TODAY, NIGHT, [mine.contact_id]) == 1


def test_the_number_of_statements_does_not_grow_with_customers(
    session: Session, make: Make, plan: Plan
) -> None:
    def gather(day: date) -> int:
        with counting(session.get_bind()) as statements:
            mass.gather(session, day, NIGHT)
        return statements.count

    guide = make.guide()
    plan.task(guide)
    few = gather(TODAY)
    tomorrow = TODAY + timedelta(days=1)
    for _ in range(60):
        plan.task(guide, planned_on=tomorrow)
    assert gather(tomorrow) == few


def test_it_leaves_when_due_with_everybody_who_is_still_in(
    session: Session, make: Make, plan: Plan
) -> None:
    guide = make.guide(userid="wangfang")
    tasks = [plan.task(guide) for _ in range(4)]
    mass.gather(session, TODAY, NIGHT)
    assert mass_sends.queue_due(session, TEN - timedelta(minutes=1)) == 0
    tasks[1].state = "withdrawn"
    session.add(
        OptOut(
            contact_id=tasks[2].contact_id,
            channel="mass_message",
            is_out=True,
            source="kf",
            said_at=NIGHT,
            event_key="x",
        )
    )
    session.flush()
    assert mass_sends.queue_due(session, TEN) == 1
    assert mass_sends.queue_due(session, TEN) == 0
    people = people_of(session, [tasks[0], tasks[3]])
    assert body_of(session)["external_userid"] == people
    assert body_of(session)["sender"] == "wangfang"
    assert states_of(session)[2] == ("withdrawn", "客户已退订群发")
    assert tasks[2].contact_id not in touched(session)
    [send] = sends_of(session)
    assert (send.state, send.contact_count) == ("queued", 2)


@pytest.mark.parametrize("why", ["quiet", "another day", "paused", "away"])
def test_it_does_not_leave(session: Session, make: Make, plan: Plan, why: str) -> None:
    guide = make.guide()
    plan.task(guide)
    mass.gather(session, TODAY, NIGHT)
    now = {"quiet": LATE, "another day": TEN + timedelta(days=1)}.get(why, TEN)
    plan.sop.is_paused = why == "paused"
    guide.is_active = why != "away"
    session.flush()
    assert mass_sends.queue_due(session, now) == 0
    assert session.scalars(select(Outbox.id)).all() == []


def test_without_anybody_to_write_to_it_ends(session: Session, make: Make, plan: Plan) -> None:
    guide = make.guide()
    task = plan.task(guide)
    mass.gather(session, TODAY, NIGHT)
    task.state = "withdrawn"
    session.flush()
    mass_sends.queue_due(session, TEN)
    [send] = sends_of(session)
    assert (send.state, send.error) == ("failed", "没有可以群发的客户")
    assert session.scalars(select(Outbox.id)).all() == []


def test_whom_wecom_refuses_is_skipped_and_free_again(
    session: Session, make: Make, plan: Plan
) -> None:
    guide = make.guide()
    tasks = queue(session, plan, guide, guide)
    refused = people_of(session, tasks)[1]
    result = {"msgid": "msg1", "fail_list": [refused]}
    mass_sends.created(session, ended(session, CallState.DONE, result))
    assert [state for state, _ in states_of(session)] == ["open", "skipped"]
    assert touched(session) == [tasks[0].contact_id]
    assert sends_of(session)[0].msgid == "msg1"


@pytest.mark.parametrize(
    ("state", "expected", "is_linked"),
    [
        (CallState.EXPIRED, "open", False),
        (CallState.DEAD, "expired", True),
        (CallState.CANCELLED, "skipped", True),
        (CallState.UNKNOWN, "open", True),
    ],
)
def test_what_could_not_be_made(
    session: Session,
    make: Make,
    plan: Plan,
    state: CallState,
    expected: str,
    is_linked: bool,
) -> None:
    queue(session, plan, make.guide())
    mass_sends.failed(session, ended(session, state, error="Refused: 82004"))
    [send] = sends_of(session)
    assert send.state == "failed"
    row = session.execute(select(Task.state, Task.mass_send_id)).one()
    assert (row.state, row.mass_send_id is not None) == (expected, is_linked)
    assert bool(touched(session)) == (expected == "open")


def test_what_never_left_gives_its_tasks_back(session: Session, make: Make, plan: Plan) -> None:
    task = plan.task(make.guide())
    mass.gather(session, TODAY, NIGHT)
    tomorrow = TODAY + timedelta(days=1)
    assert mass.close(session, tomorrow, NIGHT) == 1
    assert mass.close(session, tomorrow, NIGHT) == 0
    session.refresh(task)
    assert (task.state, task.mass_send_id, task.planned_on) == ("deferred", None, None)
    assert task.why["deferred"] == {TODAY.isoformat(): "群发没有发出"}
    assert touched(session) == []
    assert sends_of(session)[0].state == "failed"


def test_what_the_guide_did_not_confirm_in_time_is_cancelled(
    session: Session, make: Make, plan: Plan
) -> None:
    create(session, plan, make.guide())
    still = TODAY + timedelta(days=3)
    assert mass.close(session, still, NIGHT) == 0
    over = TODAY + timedelta(days=4)
    assert mass.close(session, over, NIGHT) == 1
    assert mass.close(session, over, NIGHT) == 0
    assert states_of(session) == [("expired", "导购没有确认群发")]
    assert touched(session) == []
    call = session.scalars(select(Outbox).where(Outbox.kind == "mass_cancel")).one()
    assert json.loads(call.body) == {"msgid": "msg1"}


def test_what_was_planned_ahead_and_taken_back_is_counted_anew(
    session: Session, make: Make, plan: Plan
) -> None:
    guide = make.guide()
    task = plan.task(guide)
    plan.task(guide)
    mass.gather(session, TODAY, NIGHT)
    task.mass_send_id = None
    session.flush()
    mass.gather(session, TODAY, NIGHT)
    assert [one.contact_count for one in sends_of(session)] == [2]
