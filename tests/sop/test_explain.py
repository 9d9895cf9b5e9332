"""Why a customer has a task, and for every other SOP why she has none."""

from __future__ import annotations

from datetime import date, time, timedelta

import pytest

from bot.clock import at
from bot.crm.models import Brand
from bot.errors import UserError
from sop import enrollment, versions, why
from sop.explain import explain
from sop.models import Touch
from tests.fixtures_db import counting
from tests.sop import facts
from tests.sop.plans import TODAY, days_ago, night, publish, sop_id, spec, step, tasks

FOLLOWED = {"kind": "followed"}


def reasons(session, contact, day=TODAY):
    return {one.sop_name: one.reasons for one in explain(session, contact.id, day).absences}


def test_a_task_says_rule_fact_rank_and_readings(session, make):
    contact = make.contact(make.guide(name="张三"), followed_on=TODAY, name="王")
    audience = {"all": [{"field": "purchase_count", "op": "=", "value": 0}]}
    publish(session, spec("新客", FOLLOWED, step("问候", priority=80), audience=audience))
    night(session)
    found = explain(session, contact.id, TODAY)
    (task,) = found.tasks
    assert (task.sop_name, task.title, task.guide_name, task.number) == ("新客", "问候", "张三", 1)
    assert task.why_line == "11月21日 加为好友 · 新客 v1"
    assert task.ranking == "优先级 80 · 客户价值 0/5"
    assert [one.holds for one in task.readings] == [True]
    assert found.absences == []


def test_a_waiting_task_says_which_cap_holds_it(session, make):
    session.get_one(Brand, 1).settings = {"touch_gap_days": 3}
    contact = make.contact(make.guide(), followed_on=TODAY)
    publish(session, spec("重要", FOLLOWED, step("要紧", priority=90)))
    publish(session, spec("普通", FOLLOWED, step("一般")))
    night(session)
    by_sop = {task.sop_name: task for task in explain(session, contact.id, TODAY).tasks}
    assert by_sop["普通"].reason == "3 天内只联系一次，先做「要紧」（重要）"
    assert by_sop["普通"].deferrals == [(TODAY, "3 天内只联系一次，先做「要紧」（重要）")]
    assert by_sop["重要"].reason is None


def test_each_absence_has_its_reason(session, make):
    contact = make.contact(make.guide(), followed_on=days_ago(2))
    make.score(contact, purchase_count=0)
    publish(session, spec("售后", {"kind": "purchased"}))
    rich = {"all": [{"field": "total_spend_fen", "op": ">=", "value": 5_000_000}]}
    publish(session, spec("高值", FOLLOWED, audience=rich))
    publish(session, spec("长线", FOLLOWED, step("早安", 7, at="07:00")))
    publish(session, spec("以后", FOLLOWED), on=TODAY + timedelta(days=9))
    publish(session, spec("停用", FOLLOWED))
    publish(session, spec("暂停", FOLLOWED, step("回访", 5)))
    night(session, days_ago(2))
    versions.retire(session, sop_id(session, "停用"), at(TODAY, 1))
    versions.pause(session, sop_id(session, "暂停"), True)
    found = reasons(session, contact)
    assert found["售后"] == ["近一年没有发生：消费"]
    assert found["高值"] == ["条件不满足：累计消费不少于 5 万元，现在是 0 元"]
    assert found["长线"] == [
        "11月19日 加为好友，已入组，下一步「早安」在 11月26日（07:00 在免打扰时段，顺延到09:00）"
    ]
    assert found["以后"] == ["11月30日 起才生效"]
    assert "停用" not in found
    assert found["暂停"] == [
        "SOP「暂停」已暂停",
        "11月19日 加为好友，已入组，下一步「回访」在 11月24日",
    ]


def test_a_contact_nobody_follows_is_told_so(session, make):
    contact = make.contact()
    publish(session, spec("新客", FOLLOWED))
    assert reasons(session, contact) == {"新客": ["没有导购跟进这位客户"]}


def test_a_withdrawn_customer_is_told_when_and_why(session, make):
    contact = make.contact(make.guide())
    make.score(contact, stage="dormant", stage_since_on=days_ago(9))
    plan = spec("唤醒", {"kind": "stage_entered", "stage": "dormant"}, step("问候", 9))
    publish(session, plan)
    night(session, days_ago(9))
    make.score(contact, stage="active", stage_since_on=days_ago(1))
    night(session)
    assert reasons(session, contact)["唤醒"] == [
        "11月12日 入组，已退出：不再符合触发条件：进入沉睡阶段",
        "近一年没有发生：进入沉睡阶段",
    ]


def test_an_unknown_contact_is_one_sentence(session, make):
    with pytest.raises(UserError, match="没有找到这位客户"):
        explain(session, 1, TODAY)


def test_the_line_counts_down_to_a_day_that_cannot_move(session, make):
    contact = make.contact(make.guide())
    make.purchase(contact, on=date(2023, 11, 25))
    publish(session, spec("纪念日", {"kind": "purchase_anniversary"}, step("预告", -4)))
    night(session)
    (task,) = tasks(session, "open")
    kept = task.why
    assert why.line(kept, TODAY) == "2023年11月25日 买过对戒，4 天后购买周年 · 纪念日 v1"
    assert why.line(kept, date(2026, 11, 25)).startswith("2023年11月25日 买过对戒，今天购买周年")
    assert "购买周年已过 1 天" in why.line(kept, date(2026, 11, 26))


def test_the_nearest_day_is_named_where_the_trigger_is_not_met(session, make):
    contact = make.contact(make.guide())
    make.member(contact, birth_month=12, birth_day=3)
    make.purchase(contact, on=days_ago(20))
    publish(session, spec("生日", {"kind": "birthday"}))
    publish(session, spec("售后", {"kind": "purchased"}))
    found = reasons(session, contact)
    (birthday,), (bought,) = found["生日"], found["售后"]
    assert birthday == "12月3日 生日，还有 12 天"
    assert bought == "11月1日 买过对戒，已过 20 天，只补做 3 天以内的"


def test_a_day_that_comes_back_is_named_beside_the_day_it_began(session, make):
    contact = make.contact(make.guide())
    make.member(contact, registered_on=date(2024, 12, 1))
    publish(session, spec("周年", {"kind": "member_anniversary"}, step("道谢", -3)))
    assert reasons(session, contact)["周年"] == [
        "2024年12月1日 入会，入会周年是 12月1日，还有 10 天，提前 3 天开始"
    ]


def test_a_step_by_tier_that_would_reach_her_is_not_said_to_leave_her_out(session, make):
    contact = make.contact(make.guide(), followed_on=TODAY)
    make.score(contact, tier="A")
    kind = {"by": "tier", "S": "none", "A": "call", "else": "none"}
    publish(session, spec("新客", FOLLOWED, step("问候", kind=kind)))
    enrollment.enroll_due(session, TODAY)  # the night has not planned it yet
    assert reasons(session, contact)["新客"] == [
        "11月21日 加为好友，已入组，「问候」下一次排期时排入"
    ]


def test_the_day_that_comes_next_stands_before_later_ones(session, make):
    contact = make.contact(make.guide())
    make.member(contact, birth_month=12, birth_day=30, registered_on=date(2024, 12, 1))
    publish(session, spec("一", {"kind": "birthday"}, step("早", -7)))
    publish(session, spec("二", {"kind": "birthday"}))
    publish(session, spec("周年", {"kind": "member_anniversary"}))
    publish(session, spec("售后", {"kind": "purchased"}))
    grouped = explain(session, contact.id, TODAY).grouped_absences
    found = [(reasons, {one.sop_name for one in those}) for reasons, those in grouped]
    assert found == [
        (["2024年12月1日 入会，入会周年是 12月1日，还有 10 天"], {"周年"}),
        (["12月30日 生日，还有 39 天"], {"一", "二"}),
        (["近一年没有发生：消费"], {"售后"}),
    ]


def test_what_her_page_lacks_is_said(session, make):
    contact = make.contact(make.guide())
    publish(session, spec("生日", {"kind": "birthday"}))
    publish(session, spec("券", {"kind": "coupon_expiring"}))
    found = reasons(session, contact)
    assert (found["生日"], found["券"]) == (["资料里没有生日"], ["没有要到期的优惠券"])


def test_what_happened_before_the_programme_began_is_said_to_be_that(session, make):
    contact = make.contact(make.guide())
    make.purchase(contact, on=days_ago(2))
    publish(session, spec("售后", {"kind": "purchased"}), on=TODAY)
    (said,) = reasons(session, contact)["售后"]
    assert said == "11月19日 买过对戒，已过 2 天，这个 SOP 从 11月21日 起才生效"


def test_of_a_past_day_nothing_is_promised_for_the_next_night(session, make):
    joined = make.contact(make.guide(), followed_on=days_ago(1))
    publish(session, spec("新客", FOLLOWED), on=days_ago(3))
    day = days_ago(1)

    def said(today):
        (one,) = explain(session, joined.id, day, today=today).absences
        return one.reasons[0]

    assert said(day).endswith("下一次排期时入组")
    assert "那天没有" in said(TODAY)
    assert "下一次" not in said(TODAY)


def test_the_programmes_that_came_nearest_stand_first_and_one_reason_is_said_once(session, make):
    contact = make.contact(make.guide(), followed_on=days_ago(1))
    make.score(contact, purchase_count=0)
    for name in ("甲", "乙"):
        publish(session, spec(name, {"kind": "birthday"}))
    rich = {"all": [{"field": "total_spend_fen", "op": ">=", "value": 5_000_000}]}
    publish(session, spec("高值", FOLLOWED, audience=rich))
    grouped = explain(session, contact.id, TODAY).grouped_absences
    assert [[one.sop_name for one in those] for _, those in grouped] == [["高值"], ["乙", "甲"]]


def test_a_person_without_a_nickname_is_called_by_her_member_name(session, make):
    contact = make.contact(make.guide(), name="")
    make.member(contact, name="王敏")
    assert explain(session, contact.id, TODAY).contact_name == "王敏"


def test_what_holds_for_her_whatever_the_sop_is_said_once(session, make):
    session.get_one(Brand, 1).settings = {"touch_gap_days": 3}
    guide = make.guide(name="王芳", rest_weekdays=[TODAY.isoweekday()])
    contact = make.contact(guide)
    make.score(contact, tier="S", tier_score=82)
    facts.opt_out(session, contact, "sms", TODAY)
    facts.lead(session, contact, days_ago(1), is_hot=True, score=60)
    session.add(Touch(contact_id=contact.id, touched_on=days_ago(2), channel="chat"))
    session.flush()
    found = {gate.key: gate for gate in explain(session, contact.id, TODAY).gates}
    assert {key for key, gate in found.items() if not gate.holds} == {
        "guide_off",
        "opted_out",
        "touch_cap",
    }
    assert found["followed"].words == "由王芳跟进"
    assert found["guide_off"].words == "王芳 11月21日休息"
    assert found["opted_out"].words == "已退订：短信"
    assert found["touch_cap"].words == "3 天内只联系一次，11月19日已联系过"
    assert found["tier"].words == "客户等级 S（82 分）"
    assert found["lead"].words == "有高意向线索，11月20日 起，60 分"


def test_a_task_says_its_way_its_shifts_and_its_coupon(session, make):
    store = make.store(opens_at=time(10), closes_at=time(19))
    contact = make.contact(make.guide(store), followed_on=TODAY)
    make.score(contact, tier="S")
    facts.coupon_template(session, "生日礼券")
    kind = {"by": "tier", "S": "call", "else": "none"}
    one = step("问候", kind=kind, at="09:10", coupon="生日礼券")
    publish(session, spec("新客", FOLLOWED, one))
    night(session)
    (task,) = explain(session, contact.id, TODAY).tasks
    assert (task.kind, task.channel) == ("电话", "客户等级 S，由导购打电话")
    assert task.shifts == ["09:10 不在门店营业时间内，改到 10:00"]
    assert task.coupon.startswith("生日礼券 DG")


def test_a_moved_step_and_a_tier_without_contact_are_explained(session, make):
    moved, silent = make.contact(make.guide(), followed_on=TODAY), make.contact(make.guide())
    make.follow(make.guide(), silent, followed_on=TODAY)
    kind = {"by": "tier", "S": "none", "else": "call"}
    make.score(silent, tier="S")
    publish(
        session, spec("新客", FOLLOWED, step("回访", kind=kind, if_missed="move", workdays=True))
    )
    night(session)
    (task,) = explain(session, moved.id, TODAY).tasks
    assert task.shifts == ["原定 11月21日，当天不是工作日，改到 11月23日"]
    assert reasons(session, silent)["新客"] == [
        "11月21日 加为好友，已入组，「回访」按方式不联系（按客户等级：S 不联系，其他 电话）"
    ]


def test_more_sops_with_the_same_trigger_take_no_more_statements(session, make):
    contact = make.contact(make.guide(), followed_on=days_ago(400))

    def statements():
        with counting(session.get_bind()) as counted:
            explain(session, contact.id, TODAY)
        return len(counted.texts)

    publish(session, spec("购买周年", {"kind": "purchase_anniversary"}))
    publish(session, spec("七夕", {"kind": "date", "on": "2027-08-08"}))
    before = statements()
    for number in range(5):
        publish(session, spec(f"购买周年{number}", {"kind": "purchase_anniversary"}))
        publish(session, spec(f"七夕{number}", {"kind": "date", "on": "2027-08-08"}))
    assert statements() == before


def test_an_anniversary_later_than_anybody_can_have_is_nobodys(session, make):
    contact = make.contact(make.guide(), followed_on=days_ago(400))
    make.purchase(contact, on=TODAY.replace(year=TODAY.year - 1))
    publish(session, spec("半世纪", {"kind": "purchase_anniversary", "years": [50]}))
    (said,) = reasons(session, contact)["半世纪"]
    assert said.startswith("近一年没有发生：购买满周年")
