"""Moments and group messages by the calendar: once a step and day, for the guides it concerns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.clock import at
from bot.crm.models import CalendarDay
from bot.outbox import CallState, Delivery, Outbox, delivery
from bot.wecom.messages import Image
from bot.wecom.moments import Job
from sop import posting_sends, postings, versions
from sop.models import MassSend, Posting, PostingGuide, Reach, Sop, SopStep, Task
from tests.factories import TODAY, Make
from tests.fixtures_db import counting
from tests.sop.plans import spec

D = timedelta(days=1)
EVERY_DAY = {"kind": "every", "each": "day"}


@pytest.fixture
def make(make: Make) -> Make:
    make.talking_point("今天上新，欢迎来{品牌名}", name="上新")
    make.talking_point("我是{导购名}，周三{门店名}见", name="群话术")
    return make


def _publish(session: Session, trigger: dict[str, Any], *steps: dict[str, Any], **more: Any) -> Any:
    plan = spec("发布计划", trigger, *steps, **more)
    draft = versions.save_draft(session, plan["name"], plan, "test")
    versions.publish(session, draft.sop_id, Reach.NEW_ONLY, "test", at(date(2026, 1, 1), 12))
    session.flush()
    return draft


def _moment(day: int = 0, **more: Any) -> dict[str, Any]:
    return {"day": day, "kind": "moment", "title": "日更", "talking_point": "上新"} | more


def _group(day: int = 0, **more: Any) -> dict[str, Any]:
    return {"day": day, "kind": "group_message", "title": "周群", "talking_point": "群话术"} | more


def _plan(session: Session, day: date = TODAY) -> int:
    return postings.plan(session, day, at(day, 2, 10))


def _days(session: Session) -> list[date]:
    return list(session.scalars(select(Posting.due_on).order_by(Posting.due_on)))


def _asked(session: Session) -> list[int]:
    return list(session.scalars(select(PostingGuide.guide_id).order_by(PostingGuide.guide_id)))


def _one(session: Session) -> Posting:
    query = select(Posting).execution_options(populate_existing=True)
    return session.scalars(query).one()


def _calls(session: Session) -> list[Any]:
    return [json.loads(one) for one in session.scalars(select(Outbox.body).order_by(Outbox.id))]


def _ended(session: Session, state: CallState, result: Any = None, error: str = "") -> Delivery:
    columns = [getattr(Outbox, name) for name in Delivery.__dataclass_fields__]
    held = delivery(session.execute(select(*columns).order_by(Outbox.id)).first())
    fields = {name: getattr(held, name) for name in Delivery.__dataclass_fields__}
    return Delivery(**fields | {"state": state, "result": result, "last_error": error})


def test_a_day_has_one_moment_and_a_second_night_adds_none(session: Session, make: Make) -> None:
    guide = make.guide()
    make.guide(is_active=False)
    _publish(session, EVERY_DAY, _moment(at="10:00"))
    assert _plan(session) > 0
    assert _plan(session) == 0
    today = session.scalars(select(Posting).where(Posting.due_on == TODAY)).one()
    assert (today.kind, today.due_at, today.words) == (
        "moment",
        at(TODAY, 10),
        "今天上新，欢迎来星河珠宝",
    )
    assert _asked(session)[-1] == guide.id
    assert session.scalars(select(Task.id)).all() == []


def test_only_guides_with_such_customers_are_asked(session: Session, make: Make) -> None:
    wang, liu = make.guide(), make.guide()
    make.score(make.contact(wang), purchase_count=1)
    make.contact(liu)
    _publish(
        session,
        EVERY_DAY,
        _moment(if_missed="drop"),
        audience={"field": "purchase_count", "op": ">=", "value": 1},
    )
    _plan(session)
    assert _asked(session) == [wang.id]


@pytest.mark.parametrize(("if_missed", "days"), [("drop", []), ("late", [TODAY - 2 * D])])
def test_a_missed_day_is_dropped_or_made_up_for_as_the_step_says(
    session: Session, make: Make, if_missed: str, days: list[date]
) -> None:
    make.guide()
    once = {"kind": "date", "on": (TODAY - 2 * D).isoformat()}
    _publish(session, once, _moment(if_missed=if_missed))
    _plan(session)
    assert _days(session) == days
    assert [one.due_at for one in session.scalars(select(Posting))] == [at(TODAY, 10)] * len(days)
    assert _plan(session, TODAY + D) == 0


def test_of_several_days_that_meet_on_one_only_the_newest_goes(
    session: Session, make: Make
) -> None:
    make.guide()
    _publish(session, EVERY_DAY, _moment(if_missed="late"))
    assert _plan(session) == 1
    assert _plan(session, TODAY + 3 * D) == 1
    assert _days(session) == [TODAY, TODAY + 3 * D]


def test_a_publication_does_not_wake_the_days_before_it(session: Session, make: Make) -> None:
    make.guide()
    draft = versions.save_draft(session, "发布计划", spec("发布计划", EVERY_DAY, _moment()), "test")
    versions.publish(session, draft.sop_id, Reach.NEW_ONLY, "test", at(TODAY, 1))
    _plan(session)
    assert min(_days(session)) >= TODAY


def test_weeks_months_and_steps_before_the_day(session: Session, make: Make) -> None:
    make.guide()
    week = {"kind": "every", "each": "week", "weekday": TODAY.isoweekday()}
    _publish(session, week, _group(if_missed="drop"), _moment(-1, if_missed="drop"))
    _plan(session)
    assert [(one.kind, one.due_on) for one in session.scalars(select(Posting))] == [
        ("group_message", TODAY)
    ]
    _plan(session, TODAY + 6 * D)
    assert _days(session) == [TODAY, TODAY + 6 * D]


def test_a_step_for_workdays_is_moved_or_dropped_on_a_holiday(session: Session, make: Make) -> None:
    make.guide()
    monday = date(2027, 3, 8)
    session.add(CalendarDay(day=monday, is_workday=False, name="放假"))
    once = {"kind": "date", "on": monday.isoformat()}
    _publish(session, once, _moment(workdays=True, if_missed="move"))
    assert _plan(session, monday) == 0
    assert _plan(session, monday + D) == 1
    assert _one(session).due_on == monday
    assert _one(session).due_at == at(monday + D, 10)
    assert _plan(session, monday + 2 * D) == 0
    session.query(PostingGuide).delete()
    session.query(Posting).delete()
    session.query(SopStep).update({"if_missed": "drop"})
    assert [_plan(session, monday + n * D) for n in range(3)] == [0, 0, 0]


def test_quiet_hours_move_it_and_the_morning_tells_of_it_on_its_day(
    session: Session, make: Make
) -> None:
    guide = make.guide()
    _publish(session, EVERY_DAY, _moment(at="22:00", if_missed="drop"))
    _plan(session)
    assert _one(session).due_at == at(TODAY + D, 9)
    assert postings.lines_for(session, guide.id, TODAY) == []
    assert postings.lines_for(session, guide.id, TODAY + D) == ["朋友圈 1 条待发表"]


def test_paused_and_unpublished_sops_say_nothing(session: Session, make: Make) -> None:
    make.guide()
    _publish(session, EVERY_DAY, _moment())
    session.query(Sop).update({"is_paused": True})
    assert _plan(session) == 0


def test_the_number_of_statements_does_not_grow_with_guides(session: Session, make: Make) -> None:
    def plan(day: date) -> int:
        with counting(session.get_bind()) as statements:
            _plan(session, day)
        return statements.count

    make.guide()
    _publish(session, EVERY_DAY, _moment(if_missed="drop"), _group(if_missed="drop"))
    few = plan(TODAY)
    for _ in range(30):
        make.guide()
    assert plan(TODAY + D) == few


def test_a_moment_is_one_call_for_all_guides(session: Session, make: Make) -> None:
    make.guide(userid="a")
    make.guide(userid="b")
    _publish(session, EVERY_DAY, _moment(if_missed="drop"))
    _plan(session)
    assert posting_sends.due(session, at(TODAY, 9, 59)) == []
    [due] = posting_sends.due(session, at(TODAY, 10))
    pictures = [Image(media_id="W1")]
    assert posting_sends.queue(session, due.id, at(TODAY, 10), pictures) == 1
    assert posting_sends.queue(session, due.id, at(TODAY, 10), pictures) == 0
    [call] = _calls(session)
    assert call["visible_range"]["sender_list"]["user_list"] == ["a", "b"]
    assert call["attachments"][0]["image"]["media_id"] == "W1"
    assert posting_sends.due(session, at(TODAY, 10)) == []


def test_a_group_message_is_a_call_for_each_guide_with_her_name(
    session: Session, make: Make
) -> None:
    store = make.store(name="南京路店")
    make.guide(store, name="王芳", userid="a")
    make.guide(store, name="刘洋", userid="b")
    _publish(session, EVERY_DAY, _group(if_missed="drop"))
    _plan(session)
    [due] = posting_sends.due(session, at(TODAY, 10))
    assert posting_sends.queue(session, due.id, at(TODAY, 10)) == 2
    calls = _calls(session)
    assert [(one["sender"], one["text"]["content"]) for one in calls] == [
        ("a", "我是王芳，周三南京路店见"),
        ("b", "我是刘洋，周三南京路店见"),
    ]
    result = {"msgid": "msg1", "fail_list": []}
    posting_sends.group_created(session, _ended(session, CallState.DONE, result))
    [watched] = posting_sends.groups_to_watch(session, TODAY)
    assert watched.msgid == "msg1"


@pytest.mark.parametrize("hour", [3, 22])
def test_nothing_is_asked_for_at_night(session: Session, make: Make, hour: int) -> None:
    make.guide()
    _publish(session, EVERY_DAY, _moment(if_missed="drop"))
    _plan(session, TODAY - D)
    assert posting_sends.due(session, at(TODAY, hour)) == []


def test_without_guides_it_fails_and_says_so(session: Session, make: Make) -> None:
    _publish(session, EVERY_DAY, _moment(if_missed="drop"))
    _plan(session)
    assert posting_sends.queue(session, _one(session).id, at(TODAY, 10)) == 0
    assert (_one(session).state, _one(session).error) == ("failed", "没有符合条件的导购")


def _created(session: Session, make: Make, *userids: str) -> tuple[int, Sequence[Any]]:
    guides = [make.guide(userid=userid) for userid in userids]
    _publish(session, EVERY_DAY, _moment(if_missed="drop"))
    _plan(session)
    posting_id = _one(session).id
    posting_sends.queue(session, posting_id, at(TODAY, 10))
    posting_sends.moment_created(session, _ended(session, CallState.DONE, {"jobid": "job1"}))
    return posting_id, guides


def test_a_moment_is_watched_until_all_have_published(session: Session, make: Make) -> None:
    posting_id, guides = _created(session, make, "a", "b", "ghost")
    [watched] = posting_sends.moments_to_watch(session, TODAY)
    assert (watched.jobid, watched.moment_id) == ("job1", None)
    posting_sends.job_ended(session, posting_id, Job(True, "mom1", 0, "", ("Ghost",)))
    assert posting_sends.published(session, posting_id, ["A"], at(TODAY, 11)) == 1
    assert posting_sends.published(session, posting_id, ["A"], at(TODAY, 12)) == 0
    rows = session.execute(select(PostingGuide.guide_id, PostingGuide.state))
    states = {row.guide_id: row.state for row in rows}
    assert [states[guide.id] for guide in guides] == ["published", "asked", "missed"]
    assert len(posting_sends.moments_to_watch(session, TODAY)) == 1
    posting_sends.published(session, posting_id, ["b"], at(TODAY, 12))
    assert posting_sends.moments_to_watch(session, TODAY) == []
    assert posting_sends.known_ids(session, ["mom1", "mom2"]) == {"mom1"}


def test_who_does_not_publish_has_missed_it_after_two_days(session: Session, make: Make) -> None:
    _created(session, make, "a")
    session.query(Sop).update({"is_paused": True})
    _plan(session, TODAY + 2 * D)
    assert session.scalars(select(PostingGuide.state)).all() == ["asked"]
    _plan(session, TODAY + 3 * D)
    assert session.scalars(select(PostingGuide.state)).all() == ["missed"]


def test_a_job_that_fails_and_a_call_that_fails_are_told(session: Session, make: Make) -> None:
    posting_id, _ = _created(session, make, "a")
    posting_sends.job_ended(session, posting_id, Job(True, "", 41089, "empty", ()))
    assert _one(session).error == "企业微信没有创建朋友圈（41089）"
    posting_sends.failed(session, _ended(session, CallState.DEAD, error="Refused: no"))
    assert (_one(session).state, _one(session).error) == ("failed", "Refused: no")


def test_the_morning_says_what_waits_for_a_guide(session: Session, make: Make) -> None:
    wang, liu = make.guide(), make.guide()
    _publish(session, EVERY_DAY, _moment(if_missed="drop"), _group(if_missed="drop"))
    _plan(session)
    step_id = session.scalars(select(SopStep.id).limit(1)).one()
    session.add(
        MassSend(
            step_id=step_id, guide_id=wang.id, planned_on=TODAY, words="新品", contact_count=128
        )
    )
    session.flush()
    assert postings.lines_for(session, wang.id, TODAY) == [
        "群发 1 条待确认（128 位客户）",
        "朋友圈 1 条待发表",
        "群消息 1 条待发送",
    ]
    assert postings.lines_for_many(session, [wang.id, liu.id], TODAY)[liu.id] == [
        "朋友圈 1 条待发表",
        "群消息 1 条待发送",
    ]
    assert postings.lines_for(session, wang.id, TODAY + D) == []
