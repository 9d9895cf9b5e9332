"""What WeCom tells of a mass message: done, skipped, touched, once."""

from __future__ import annotations

from datetime import UTC, date, datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from bot.crm.models import TimelineEntry
from bot.wecom.mass import Outcome, Sent
from sop import mass_outcomes
from sop.models import Touch
from tests.factories import Make
from tests.sop.mass_plan import (
    TEN,
    Plan,
    create,
    people_of,
    plan,
    sends_of,
    states_of,
    touched,
)

__all__ = ["plan"]


def test_outcomes_become_done_and_skipped_once(session: Session, make: Make, plan: Plan) -> None:
    guide = make.guide()
    send, tasks = create(session, plan, guide, guide, guide, guide)
    a, b, c, d = people_of(session, tasks)
    sent_at = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
    outcomes = [
        Outcome(a, guide.userid, Sent.SENT, sent_at),
        Outcome(b, guide.userid, Sent.NOT_FRIENDS, None),
        Outcome(c, guide.userid, Sent.OVER_LIMIT, None),
        Outcome(d, guide.userid, Sent.WAITING, None),
    ]
    for _ in range(2):
        mass_outcomes.apply(session, send.id, outcomes, is_confirmed=True, now=sent_at)
    assert [state for state, _ in states_of(session)] == ["done", "skipped", "skipped", "open"]
    assert states_of(session)[2][1] == "客户本月收到的群发已达上限，没有送达"
    assert set(touched(session)) == {tasks[0].contact_id, tasks[3].contact_id}
    touched_on = session.scalar(
        select(Touch.touched_on).where(Touch.contact_id == tasks[0].contact_id)
    )
    assert touched_on == date(2026, 11, 22)
    [fresh] = sends_of(session)
    assert (fresh.state, fresh.sent_count) == ("confirmed", 1)
    lines = session.scalars(select(TimelineEntry.text)).all()
    assert lines == ["导购群发了「新品」"]


def test_who_got_it_counts_as_touched_even_if_her_task_was_withdrawn(
    session: Session, make: Make, plan: Plan
) -> None:
    send, [task] = create(session, plan, make.guide())
    task.state = "withdrawn"
    session.execute(text("DELETE FROM touch_ledger"))
    session.flush()
    [person] = people_of(session, [task])
    outcome = Outcome(person, "x", Sent.SENT, TEN)
    mass_outcomes.apply(session, send.id, [outcome], is_confirmed=True, now=TEN)
    assert states_of(session)[0][0] == "withdrawn"
    assert touched(session) == [task.contact_id]
