"""Which kind a step is for whom: by tier, by store tier, the first that reaches; refusals."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.clock import at
from bot.crm import opt_outs
from bot.errors import UserError
from sop import enrollment, planning, versions
from sop import tasks as actions
from sop.explain import explain
from sop.models import Touch
from tests.fixtures_db import counting
from tests.sop import facts
from tests.sop.plans import TODAY, days_ago, enrollments, night, publish, spec, step, tasks

FOLLOWED = {"kind": "followed"}
BY_TIER = {"by": "tier", "S": "chat", "B": "none", "else": ["template_message", "sms"]}


@pytest.fixture
def words(session, make):
    """A talking point and a template of each channel."""
    facts.template(session, "短信一", "sms")
    facts.template(session, "公众号一", "template_message")
    return make.talking_point("您好").name


def by_tier(words, **given):
    templates = {"sms": "短信一", "template_message": "公众号一"}
    return step("问候", kind=BY_TIER, talking_point=words, template=templates, **given)


def reached_by(session, make, *kinds, tier=None, **given):
    contact = make.contact(make.guide(), followed_on=TODAY)
    make.score(contact, tier=tier)
    make.member(contact, mobile_sealed=b"sealed" if "sms" in kinds else None)
    if "template_message" in kinds:
        make.identity(contact, "openid", f"o{contact.id}")
    return contact


def test_the_tier_decides_and_a_chain_takes_the_first_that_reaches(session, make, words):
    best = reached_by(session, make, tier="S")
    none = reached_by(session, make, "sms", tier="B")
    follower = reached_by(session, make, "sms", "template_message", tier="A")
    phone = reached_by(session, make, "sms")
    publish(session, spec("新客", FOLLOWED, by_tier(words)))
    night(session)
    made = {t.contact_id: t for t in tasks(session)}
    assert none.id not in made
    assert {who: (t.kind, t.carrier) for who, t in made.items()} == {
        best.id: ("chat", "guide"),
        follower.id: ("template_message", "machine"),
        phone.id: ("sms", "machine"),
    }
    assert made[best.id].why["channel"] == "客户等级 S，由导购一对一联系"
    assert made[phone.id].why["channel"] == "客户等级 未评，发短信"


def test_whom_nothing_reaches_is_told_so_and_holds_no_claim(session, make, words):
    reached_by(session, make)
    publish(session, spec("新客", FOLLOWED, by_tier(words)))
    night(session)
    (task,) = tasks(session)
    assert (task.state, task.state_reason) == (
        "expired",
        "没有可用的联系方式：没有关注公众号、没有手机号",
    )
    assert session.scalars(select(Touch)).all() == []
    night(session)
    assert len(tasks(session)) == 1


def test_a_refused_kind_is_passed_over_in_a_chain(session, make, words):
    contact = reached_by(session, make, "sms", "template_message")
    facts.opt_out(session, contact, "template_message", TODAY)
    publish(session, spec("新客", FOLLOWED, by_tier(words)))
    night(session)
    assert [t.kind for t in tasks(session, "open")] == ["sms"]


@pytest.mark.parametrize(
    ("kinds", "channel", "said"),
    [
        (("sms", "template_message"), "all", "公众号消息已退订、短信已退订"),
        (("sms", "template_message"), None, None),
        (("sms",), "sms", "没有关注公众号、短信已退订"),
        (("template_message",), "template_message", "公众号消息已退订、没有手机号"),
    ],
)
def test_whom_nothing_reaches_is_told_whether_she_refused_or_has_no_address(
    session, make, words, kinds, channel, said
):
    contact = reached_by(session, make, *kinds)
    if channel is not None:
        opt_outs.refuse(session, contact.id, channel, source="event", at=at(TODAY, 1))
    publish(session, spec("新客", FOLLOWED, by_tier(words)))
    night(session)
    (task,) = tasks(session)
    assert task.state_reason == (said and f"没有可用的联系方式：{said}")
    (told,) = explain(session, contact.id, TODAY).tasks
    assert (told.reason or None) == task.state_reason


def test_who_refused_everything_is_told_so_for_every_way(session, make, words):
    contact = reached_by(session, make, "sms", tier="S")
    opt_outs.refuse(session, contact.id, "all", source="event", at=at(TODAY, 1))
    kind = {"by": "tier", "S": ["sms", "mass_message"], "else": "sms"}
    plan = step("问候", kind=kind, talking_point=words, template={"sms": "短信一"})
    publish(session, spec("新客", FOLLOWED, plan))
    night(session)
    assert [one.state_reason for one in tasks(session)] == [
        "没有可用的联系方式：短信已退订、群发已退订"
    ]


def test_a_store_tier_decides_too(session, make, words):
    flagship, small = make.store(tier="A"), make.store(tier="C")
    for store in (flagship, small):
        make.contact(make.guide(store), followed_on=TODAY)
    kind = {"by": "store_tier", "A": "chat", "else": "mass_message"}
    publish(session, spec("新客", FOLLOWED, step("问候", kind=kind, talking_point=words)))
    night(session)
    found = {t.store_id: (t.kind, t.carrier) for t in tasks(session, "open")}
    assert found == {flagship.id: ("chat", "guide"), small.id: ("mass_message", "mass")}


def test_machines_and_mass_messages_take_no_seat_and_no_number_but_the_touch(session, make, words):
    guide = make.guide()
    contacts = [make.contact(guide, followed_on=TODAY) for _ in range(3)]
    for contact in contacts:
        make.member(contact, mobile_sealed=b"sealed")
    text = step("短信", kind="sms", template="短信一")
    publish(session, spec("短信", FOLLOWED, text))
    publish(session, spec("群发", FOLLOWED, step("群发", kind="mass_message", talking_point=words)))
    publish(session, spec("电话", FOLLOWED, step("电话")))
    night(session)
    opened = tasks(session, "open")
    assert sorted(t.number for t in opened if t.carrier == "guide") == [1, 2, 3]
    assert {t.number for t in opened if t.carrier != "guide"} == {None}
    assert {touch.channel for touch in session.scalars(select(Touch))} == {
        "sms",
        "mass_message",
        "call",
    }
    listed = actions.today(session, guide.id, TODAY, at(TODAY, 12))
    assert [view.kind for view in listed] == ["call"] * 3
    by_machine = next(t for t in opened if t.carrier == "machine")
    with pytest.raises(UserError, match="由系统发送"):
        actions.complete(session, by_machine.id, guide.id, at(TODAY, 12))


def test_what_names_no_hour_goes_at_ten(session, make, words):
    contact = make.contact(make.guide(), followed_on=TODAY)
    make.member(contact, mobile_sealed=b"sealed")
    publish(session, spec("短信", FOLLOWED, step("短信", kind="sms", template="短信一")))
    night(session)
    assert [t.due_at for t in tasks(session, "open")] == [at(TODAY, 10)]


def test_a_refusal_ends_open_and_waiting_tasks_of_that_kind_at_once(session, make, words):
    contact = make.contact(make.guide(), followed_on=TODAY)
    make.member(contact, mobile_sealed=b"sealed")
    text = step("短信", kind="sms", template="短信一")
    publish(session, spec("新客", FOLLOWED, text, step("电话")))
    night(session)
    facts.opt_out(session, contact, "sms", TODAY)
    session.commit()
    night(session, TODAY, [contact])
    by_kind = {t.kind: t for t in tasks(session)}
    assert (by_kind["sms"].state, by_kind["sms"].state_reason) == ("withdrawn", "客户已退订短信")
    assert by_kind["call"].state == "open"
    assert len(session.scalars(select(Touch)).all()) == 1
    assert [e.state for e in enrollments(session)] == ["active"]
    facts.opt_out(session, contact, "all", TODAY)
    session.commit()
    night(session, TODAY, [contact])
    assert {t.state for t in tasks(session)} == {"withdrawn"}


def test_who_is_lost_is_written_to_by_machine_only(session, make, words):
    contact = make.contact()
    left = {"state": "ended", "ended_on": TODAY, "ended_at": facts.moment(TODAY)}
    make.follow(make.guide(), contact, followed_on=days_ago(9), ended_by="customer", **left)
    contact.guide_id = None
    make.member(contact, mobile_sealed=b"sealed")
    farewell = step("告别", 1, kind=["template_message", "sms"])
    farewell["template"] = {"sms": "短信一", "template_message": "公众号一"}
    with pytest.raises(UserError, match="已经没有导购能联系她"):
        publish(session, spec("错", {"kind": "lost"}, step("电话")))
    publish(session, spec("告别", {"kind": "lost"}, farewell))
    night(session)
    assert [e.state for e in enrollments(session)] == ["active"]
    night(session, TODAY + timedelta(days=1))
    (task,) = tasks(session, "open")
    assert (task.kind, task.guide_id) == ("sms", None)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("fax", "没有「fax」这种方式"),
        ([], "不能是空的"),
        (["chat", "sms"], "由导购来做"),
        (["sms", "sms"], "写了两次"),
        ({"by": "mood", "else": "chat"}, "by: tier 或 store_tier"),
        ({"by": "tier", "S": "chat"}, "要写 else"),
        ({"by": "tier", "X": "chat", "else": "chat"}, "没有「X」这个客户等级"),
        ({"by": "tier", "else": "chat"}, "1 到 20 个等级"),
        ({"by": "tier", "S": "none", "else": "none"}, "没有联系任何人"),
        ({"by": "tier", "S": "moment", "else": "chat"}, "不能和别的方式放在一起"),
        (7, "要是文字、列表"),
        ("moment", "只能按日历来发"),
        ("sms", "要选一个模板"),
    ],
)
def test_a_kind_that_would_not_work_is_refused(session, make, words, kind, said):
    one = step("问候", kind=kind, talking_point=words)
    with pytest.raises(UserError) as error:
        versions.save_draft(session, "新客", spec("新客", FOLLOWED, one), "hq")
    assert said in error.value.message_zh
    assert error.value.field in ("steps.0.kind", "steps.0.template")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "sms", "template": "公众号一"}, "是公众号消息的"),
        ({"kind": "sms", "template": "短信二"}, "模板「短信二」不存在，是不是「短信一」"),
        ({"kind": "call", "template": "短信一"}, "不用写模板"),
        ({"kind": ["sms", "template_message"], "template": "短信一"}, "模板要分开写"),
        ({"kind": "call", "coupon": "没有的券"}, "优惠券「没有的券」不存在"),
        ({"kind": "call", "gift": "手链"}, "不是邀约"),
        ({"kind": "mass_message"}, "要选一条话术"),
    ],
)
def test_templates_coupons_and_gifts_must_fit(session, make, words, given, said):
    plan = spec("新客", FOLLOWED, {"day": 0, "title": "问候", **given})
    with pytest.raises(UserError) as error:
        versions.save_draft(session, "新客", plan, "hq")
    assert said in error.value.message_zh


def test_a_mass_message_says_nothing_of_one_customer(session, make, words):
    own = make.talking_point("您有 {积分余额} 分").name
    plan = spec("新客", FOLLOWED, step("群发", kind="mass_message", talking_point=own))
    with pytest.raises(UserError, match="每位客户不同的内容"):
        versions.save_draft(session, "新客", plan, "hq")


def test_the_written_form_of_kinds_is_kept(session, make, words):
    facts.coupon_template(session, "生日礼券")
    steps = (
        by_tier(words),
        {"day": 1, "kind": "sms", "title": "短信", "template": "短信一", "coupon": "生日礼券"},
        {"day": 2, "kind": "invite", "title": "邀约", "gift": "手链"},
    )
    plan = spec("新客", FOLLOWED, *steps)
    draft = versions.save_draft(session, "新客", plan, "hq")
    assert versions.spec_of(session, draft.id) == plan
    assert versions.republish(session, draft.id, "hq") is not None


def test_a_plan_of_many_ways_takes_as_many_statements_for_many_as_for_few(
    session, make, words, engine
):
    moving = by_tier(words, if_missed="move", workdays=True)
    publish(session, spec("新客", FOLLOWED, moving, step("电话", 1)))
    guide, counts = make.guide(), []
    for many in (4, 40):
        for number in range(many):
            contact = make.contact(guide, followed_on=TODAY)
            make.score(contact, tier=["S", "A", "B", None][number % 4])
            make.member(contact, mobile_sealed=b"sealed")
        session.commit()
        enrollment.enroll_due(session, TODAY)
        with counting(engine) as seen:
            planning.plan(session, TODAY, at(TODAY, 2))
        session.commit()
        counts.append(seen.count)
    assert counts[0] == counts[1]
