"""The plan of a day: due steps, times, rechecks, words; repeatable and set-based."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from bot.clock import at
from sop import enrollment, planning, versions
from sop.models import Digest, Enrollment, Task, Touch
from tests.fixtures_db import counting
from tests.sop.plans import (
    TODAY,
    days_ago,
    enrollments,
    night,
    publish,
    sop_id,
    spec,
    step,
    tasks,
)


def test_each_step_gives_one_task_on_its_day(session, make):
    make.contact(make.guide(), followed_on=days_ago(7))
    publish(session, spec("新客", {"kind": "followed"}, step("问候"), step("回访", 7)))
    for offset in range(7, -1, -1):
        night(session, days_ago(offset))
        for task in tasks(session, "open"):
            task.state = "done"
        session.commit()
    assert [(t.why["step"], t.planned_on) for t in tasks(session, "done")] == [
        ("问候", days_ago(7)),
        ("回访", TODAY),
    ]


def test_planning_twice_adds_nothing(session, make):
    make.contact(make.guide(), followed_on=TODAY)
    publish(session, spec("新客", {"kind": "followed"}))
    first = night(session)
    second = night(session)
    assert (first.created, first.opened) == (1, 1)
    assert (second.created, second.opened, second.deferred, second.withdrawn) == (0, 0, 0, 0)
    assert len(tasks(session)) == 1
    assert len(session.scalars(select(Touch)).all()) == 1


def test_a_missed_night_is_caught_up_within_the_grace(session, make):
    make.contact(make.guide(), followed_on=days_ago(10))
    publish(
        session,
        spec("新客", {"kind": "followed"}, step("晚四天", 6), step("晚三天", 7), step("今天", 10)),
    )
    night(session, days_ago(10))
    night(session, TODAY)
    assert {t.why["step"] for t in tasks(session)} == {"晚三天", "今天"}


def test_a_delay_counts_from_the_moment_and_is_planned_during_the_day(session, make):
    contact = make.contact()
    make.follow(
        make.guide(), contact, followed_on=TODAY, followed_at=datetime(2026, 11, 21, 7, tzinfo=UTC)
    )
    publish(session, spec("新客", {"kind": "followed"}, step("问候", at="+2h")))
    night(session, TODAY, [contact])
    (task,) = tasks(session, "open")
    assert (task.due_on, task.due_at) == (TODAY, at(TODAY, 17))


def test_a_delay_that_ends_in_quiet_hours_waits_for_the_next_morning(session, make):
    contact = make.contact()
    late = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)  # 20:30 in Shanghai
    make.follow(make.guide(), contact, followed_on=TODAY, followed_at=late)
    publish(session, spec("新客", {"kind": "followed"}, step("问候", at="+2h")))
    assert night(session, TODAY, [contact]).created == 0
    night(session, TODAY + timedelta(days=1))
    (task,) = tasks(session, "open")
    tomorrow = TODAY + timedelta(days=1)
    assert (task.due_on, task.planned_on, task.due_at) == (tomorrow, tomorrow, at(tomorrow, 9))


def test_a_delay_after_midnight_waits_for_the_same_morning(session, make):
    contact = make.contact()
    late = datetime(2026, 11, 21, 16, 30, tzinfo=UTC)  # 00:30 on the 22nd in Shanghai
    day = TODAY + timedelta(days=1)
    make.follow(make.guide(), contact, followed_on=day, followed_at=late)
    publish(session, spec("新客", {"kind": "followed"}, step("问候", at="+30m")))
    night(session, day)
    assert [(t.due_on, t.due_at) for t in tasks(session, "open")] == [(day, at(day, 9))]


def test_wall_clock_steps_leave_quiet_hours_too(session, make):
    make.contact(make.guide(), followed_on=TODAY)
    steps = [step("早", at="08:00"), step("午", at="12:30"), step("晚", at="21:30")]
    publish(session, spec("新客", {"kind": "followed"}, *steps))
    night(session, TODAY)
    night(session, TODAY + timedelta(days=1))
    tomorrow = TODAY + timedelta(days=1)
    assert {t.why["step"]: (t.due_on, t.due_at) for t in tasks(session)} == {
        "早": (TODAY, at(TODAY, 9)),
        "午": (TODAY, at(TODAY, 12, 30)),
        "晚": (tomorrow, at(tomorrow, 9)),
    }


def test_steps_before_a_birthday_are_planned_ahead(session, make):
    contact = make.contact(make.guide())
    birthday = TODAY + timedelta(days=7)
    make.member(contact, birth_month=birthday.month, birth_day=birthday.day)
    publish(
        session,
        spec("生日", {"kind": "birthday"}, step("预告", -7), step("祝福", 0)),
    )
    night(session)
    (task,) = tasks(session, "open")
    assert (task.why["step"], task.is_fixed) == ("预告", True)


def test_a_dormant_customer_who_bought_again_is_left_alone(session, make):
    contact = make.contact(make.guide())
    make.score(contact, stage="dormant", stage_since_on=days_ago(5))
    publish(session, spec("唤醒", {"kind": "stage_entered", "stage": "dormant"}, step("问候", 5)))
    night(session, days_ago(5))
    assert enrollments(session, "active")
    make.score(contact, stage="active", stage_since_on=TODAY)
    night(session)
    (ended,) = enrollments(session)
    assert (ended.state, ended.ended_reason) == (
        "withdrawn",
        "不再符合触发条件：进入沉睡阶段",
    )
    assert tasks(session) == []


def test_an_open_task_is_taken_back_at_once_when_its_reason_is_gone(session, make):
    contact = make.contact(make.guide())
    bought = make.purchase(contact, on=TODAY)
    publish(session, spec("售后", {"kind": "purchased"}))
    night(session)
    assert tasks(session, "open")
    bought.refunded_fen = bought.amount_fen
    session.commit()
    night(session, TODAY, [contact])
    (task,) = tasks(session)
    assert (task.state, task.state_reason) == (
        "withdrawn",
        "不再符合触发条件：消费",
    )
    assert session.scalars(select(Touch)).all() == []


def test_the_audience_is_asked_again_when_a_step_is_due_and_not_before(session, make):
    contact = make.contact(make.guide(), followed_on=days_ago(7))
    audience = {"all": [{"field": "purchase_count", "op": "=", "value": 0}]}
    publish(
        session,
        spec("未购", {"kind": "followed"}, step("问候"), step("回访", 7), audience=audience),
    )
    night(session, days_ago(7))
    make.score(contact, purchase_count=1)
    session.commit()
    for task in tasks(session, "open"):
        task.state = "done"
    session.commit()
    night(session, days_ago(6))
    assert enrollments(session, "active")
    night(session, TODAY)
    (ended,) = enrollments(session)
    assert ended.state == "withdrawn"
    assert ended.ended_reason.startswith("不再符合条件：")
    assert len(tasks(session)) == 1


def test_a_customer_handed_over_meets_her_new_guide(session, make):
    old, new = make.guide(), make.guide()
    contact = make.contact(old, followed_on=days_ago(3))
    publish(session, spec("新客", {"kind": "followed"}, step("回访", 3)))
    night(session, days_ago(3))
    for relation in session.scalars(select(Enrollment)):
        assert relation.guide_id == old.id
    session.connection().exec_driver_sql("update follow_relation set state = 'ended'")
    make.follow(new, contact, followed_on=days_ago(1), add_way=202)
    contact.guide_id = new.id
    session.commit()
    night(session)
    (task,) = tasks(session, "open")
    assert (task.guide_id, task.store_id) == (new.id, new.store_id)


def test_a_paused_sop_waits_and_goes_on(session, make):
    contact = make.contact(make.guide(), followed_on=days_ago(1))
    publish(session, spec("新客", {"kind": "followed"}, step("问候"), step("回访", 1)))
    enrollment.enroll_due(session, days_ago(1))
    versions.pause(session, sop_id(session, "新客"), True)
    assert night(session, TODAY).created == 0
    make.contact(session.get(type(make.guide()), contact.guide_id), followed_on=TODAY)
    versions.pause(session, sop_id(session, "新客"), False)
    assert night(session, TODAY).opened == 3


def test_an_undone_task_returns_the_next_day_and_expires_after_the_grace(session, make):
    make.contact(make.guide(), followed_on=days_ago(4))
    publish(session, spec("新客", {"kind": "followed"}))
    for offset in (4, 3, 2, 1):
        night(session, days_ago(offset))
        (task,) = tasks(session, "open")
        assert (task.planned_on, task.number) == (days_ago(offset), 1)
    night(session, TODAY)
    (task,) = tasks(session)
    assert (task.state, task.state_reason) == ("expired", "过了期限没有做（前一天没有做）")
    assert session.scalars(select(Touch)).all() == []


def test_words_are_filled_and_spread_over_the_variants(session, make):
    guide = make.guide(name="张三")
    for _ in range(40):
        make.contact(guide, followed_on=TODAY, name="小雨 {导购名}")
    point = make.talking_point("甲：{导购名}", "乙：{客户昵称}")
    plan = spec(
        "新客",
        {"kind": "followed"},
        {"day": 0, "kind": "chat", "title": "问候", "talking_point": point.name},
    )
    publish(session, plan)
    night(session)
    opened = tasks(session, "open")
    said = {t.words for t in opened}
    assert len(opened) == 20
    assert said == {"甲：张三", "乙：小雨 {导购名}"}
    assert {t.variant for t in opened} == {0, 1}


def test_a_plan_takes_as_many_statements_for_three_hundred_contacts_as_for_three(
    session, make, engine
):
    point = make.talking_point()
    plan = {"day": 0, "kind": "chat", "title": "问候", "talking_point": point.name}
    publish(session, spec("新客", {"kind": "followed"}, plan))
    counts = []
    for many in (3, 300):
        for _ in range(many):
            make.contact(make.guide(), followed_on=TODAY)
        session.commit()
        enrollment.enroll_due(session, TODAY)
        with counting(engine) as seen:
            assert planning.plan(session, TODAY, at(TODAY, 2)).opened == many
        session.commit()
        counts.append(seen.count)
    assert counts[0] == counts[1]


def test_two_plans_at_once_open_each_seat_once(sessions, session, make):
    guide = make.guide()
    contacts = [make.contact(guide, followed_on=TODAY) for _ in range(30)]
    publish(session, spec("甲", {"kind": "followed"}))
    publish(session, spec("乙", {"kind": "followed"}))
    ids = [contact.id for contact in contacts]

    def run(part):
        with sessions() as own, own.begin():
            enrollment.enroll_due(own, TODAY, part)
            return planning.plan(own, TODAY, at(TODAY, 2), part).opened

    with ThreadPoolExecutor(6) as pool:
        opened = sum(pool.map(run, [None, ids[:10], ids[5:20], None, ids[15:], None]))
    session.expire_all()
    numbers = sorted(t.number for t in tasks(session, "open"))
    assert opened == 20
    assert numbers == list(range(1, 21))
    assert len(tasks(session)) == 60


def test_nothing_is_told_by_planning_alone(session, make):
    make.contact(make.guide(), followed_on=TODAY)
    publish(session, spec("新客", {"kind": "followed"}))
    night(session)
    assert session.scalars(select(Digest)).all() == []
    assert session.scalars(select(Task.shown_at)).all() == [None]
