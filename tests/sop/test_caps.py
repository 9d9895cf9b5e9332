"""How many tasks fit into a day: per customer, per guide, and who goes first."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Text, cast, literal_column, select

from bot.clock import at
from bot.crm.models import Brand
from sop import tasks as actions
from sop import why
from sop.models import Task, Touch
from tests.sop.plans import TODAY, days_ago, night, publish, spec, step, tasks


@pytest.fixture
def settings(session, make):
    def change(**given):
        session.get_one(Brand, 1).settings = given
        session.commit()

    return change


def test_a_customer_is_touched_once_in_three_days_over_all_sops(session, make, settings):
    settings(touch_gap_days=3)
    make.contact(make.guide(), followed_on=TODAY)
    publish(session, spec("普通", {"kind": "followed"}, step("一般", priority=50)))
    publish(session, spec("重要", {"kind": "followed"}, step("要紧", priority=80)))
    night(session)
    (opened,), (waits,) = tasks(session, "open"), tasks(session, "deferred")
    assert opened.why["step"] == "要紧"
    assert waits.state_reason == "3 天内只联系一次，先做「要紧」（重要）"
    assert waits.held_by == "touch_cap"
    actions.complete(session, opened.id, opened.guide_id, at(TODAY, 10))
    session.commit()
    for later in (1, 2):
        night(session, TODAY + timedelta(days=later))
        (waits,) = tasks(session, "deferred")
        assert waits.state_reason == "3 天内只联系一次，11月21日已有「要紧」"
    night(session, TODAY + timedelta(days=3))
    (opened,) = tasks(session, "open")
    assert opened.why["step"] == "一般"
    assert [day for day, _ in why.deferrals(opened.why)] == [
        TODAY,
        TODAY + timedelta(days=1),
        TODAY + timedelta(days=2),
    ]


def test_a_skipped_task_gives_the_customer_free(session, make, settings):
    settings(touch_gap_days=3)
    contact = make.contact(make.guide(), followed_on=TODAY)
    publish(session, spec("普通", {"kind": "followed"}, step("一般", priority=50)))
    publish(session, spec("重要", {"kind": "followed"}, step("要紧", priority=80)))
    night(session)
    (opened,) = tasks(session, "open")
    actions.skip(session, opened.id, opened.guide_id, at(TODAY, 10), "刚聊过")
    session.commit()
    night(session, TODAY, [contact])
    assert [t.why["step"] for t in tasks(session, "open")] == ["一般"]


def test_a_touch_from_elsewhere_counts(session, make, settings):
    settings(touch_gap_days=3)
    contact = make.contact(make.guide(), followed_on=TODAY)
    session.add(Touch(contact_id=contact.id, touched_on=days_ago(2), channel="mass_message"))
    publish(session, spec("新客", {"kind": "followed"}))
    night(session)
    (waits,) = tasks(session, "deferred")
    assert waits.state_reason == "3 天内只联系一次，11月19日已联系过"


def test_a_guide_gets_no_more_than_her_cap_and_the_rest_waits_with_the_reason(
    session, make, settings
):
    settings(touch_gap_days=0, tasks_per_guide=2)
    guide, other = make.guide(), make.guide()
    for _ in range(5):
        make.contact(guide, followed_on=TODAY)
    make.contact(other, followed_on=TODAY)
    publish(session, spec("新客", {"kind": "followed"}))
    result = night(session)
    assert (result.opened, result.deferred) == (3, 3)
    assert {t.state_reason for t in tasks(session, "deferred")} == {"导购当天已排满 2 项"}
    assert sorted((t.guide_id, t.number) for t in tasks(session, "open")) == [
        (guide.id, 1),
        (guide.id, 2),
        (other.id, 1),
    ]


def test_intraday_runs_obey_the_same_guide_cap_and_go_on_counting(session, make, settings):
    settings(touch_gap_days=0, tasks_per_guide=3)
    guide = make.guide()
    for _ in range(2):
        make.contact(guide, followed_on=TODAY)
    publish(session, spec("新客", {"kind": "followed"}))
    night(session)
    done = tasks(session, "open")[0]
    actions.complete(session, done.id, guide.id, at(TODAY, 10))
    late = [make.contact(guide, followed_on=TODAY) for _ in range(2)]
    session.commit()
    for contact in late:
        night(session, TODAY, [contact])
    assert [t.number for t in tasks(session, "open", "done")] == [1, 2, 3]
    assert len(tasks(session, "deferred")) == 1


def test_priority_goes_before_value_and_value_before_urgency(session, make, settings):
    settings(touch_gap_days=0)
    guide = make.guide()
    rich = make.contact(guide, followed_on=TODAY, name="富")
    make.score(rich, monetary=5)
    poor = make.contact(guide, followed_on=TODAY, name="平")
    make.score(poor, monetary=1)
    born = make.contact(guide, name="寿")
    make.score(born, monetary=1)
    make.member(born, birth_month=TODAY.month, birth_day=TODAY.day)
    publish(session, spec("新客", {"kind": "followed"}, step("问候"), step("先做", priority=90)))
    publish(session, spec("生日", {"kind": "birthday"}, step("祝福")))
    night(session)
    names = {rich.id: "富", poor.id: "平", born.id: "寿"}
    assert [(names[t.contact_id], t.why["step"]) for t in tasks(session, "open")] == [
        ("富", "先做"),
        ("平", "先做"),
        ("富", "问候"),
        ("寿", "祝福"),
        ("平", "问候"),
    ]
    assert why.ranking(tasks(session, "open")[0].why) == "优先级 90 · 客户价值 5/5 · " + (
        "先于这位客户的另外 1 项"
    )


def test_what_waited_longer_goes_first_among_equals(session, make, settings):
    settings(touch_gap_days=0, tasks_per_guide=1)
    guide = make.guide()
    early = make.contact(guide, followed_on=days_ago(1))
    first = make.contact(guide, followed_on=days_ago(1))
    publish(session, spec("新客", {"kind": "followed"}))
    night(session, days_ago(1))
    (opened,) = tasks(session, "open")
    assert opened.contact_id == min(early.id, first.id)
    actions.complete(session, opened.id, guide.id, at(days_ago(1), 10))
    make.contact(guide, followed_on=TODAY)
    night(session)
    (opened,) = tasks(session, "open")
    assert opened.contact_id == max(early.id, first.id)
    assert opened.why["rank"]["waited"] == 1


def test_ties_are_broken_the_same_way_every_time(session, make, settings):
    settings(touch_gap_days=3)
    contact = make.contact(make.guide(), followed_on=TODAY)
    for name in ("甲", "乙", "丙"):
        publish(session, spec(name, {"kind": "followed"}, step(name)))
    night(session)
    assert [t.why["sop"] for t in tasks(session, "open")] == ["甲"]
    for _ in range(3):
        night(session, TODAY, [contact])
    assert [t.why["sop"] for t in tasks(session, "open")] == ["甲"]


def test_tasks_of_a_guide_who_left_wait_and_block_nobody(session, make, settings):
    settings(touch_gap_days=0)
    make.contact(make.guide(is_active=False), followed_on=TODAY)
    publish(session, spec("新客", {"kind": "followed"}))
    night(session)
    (waits,) = tasks(session, "deferred")
    assert (waits.state_reason, waits.held_by) == ("负责的导购已停用，等待交接", "guide_away")


def test_every_open_task_holds_exactly_one_claim(session, make, settings):
    settings(touch_gap_days=1)
    guide = make.guide()
    for _ in range(10):
        make.contact(guide, followed_on=days_ago(1))
    publish(session, spec("甲", {"kind": "followed"}, step("一"), step("二", 1)))
    night(session, days_ago(1))
    night(session)
    claims = {c.task_id: c.touched_on for c in session.scalars(select(Touch))}
    assert claims == {t.id: TODAY for t in tasks(session, "open")}
    assert len(claims) == 10


def test_who_waits_for_the_same_thing_is_not_written_again_and_every_day_is_told(
    session, make, settings
):
    settings(touch_gap_days=0, tasks_per_guide=1)
    guide = make.guide()
    for _ in range(3):
        make.contact(guide, followed_on=TODAY)
    publish(session, spec("新客", {"kind": "followed"}))
    night(session)
    places = select(Task.id, cast(literal_column("ctid"), Text)).where(Task.state == "deferred")
    (opened,) = tasks(session, "open")
    actions.complete(session, opened.id, guide.id, at(TODAY, 10))
    session.commit()
    before = dict(session.execute(places).all())
    night(session, TODAY + timedelta(days=1))
    ((waits, place),) = session.execute(places).all()
    assert before[waits] == place
    (opened,) = tasks(session, "open")
    night(session, TODAY + timedelta(days=2))
    session.expire_all()
    carried, waited = sorted(tasks(session, "open", "deferred"), key=lambda t: t.id != opened.id)
    full, undone = "导购当天已排满 1 项", "列入了清单，没有做"
    days = [TODAY + timedelta(days=n) for n in range(3)]
    # Both of them had their turn or their reason on each of the days.
    assert why.deferrals(carried.why, days[2])[:2] == [(days[0], full), (days[1], undone)]
    assert [day for day, _ in why.deferrals(waited.why, days[2])] == days[:2]
    assert {said for _, said in why.deferrals(waited.why, days[2])} == {full}
