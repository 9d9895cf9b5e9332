"""Versions: an edit reaches exactly whom it should, and can be taken back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.clock import at
from bot.errors import UserError
from content_library.models import Material
from sop import versions
from sop.models import Reach, SopStep, SopVersion, Touch
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
from tests.sop.work import coupon_template

FOLLOWED = {"kind": "followed"}
NOON = at(TODAY, 12)


def chat(make, text, title="问候", day=0, **given):
    point = make.talking_point(text)
    return {"day": day, "kind": "chat", "title": title, "talking_point": point.name, **given}


def keys(session, version):
    rows = session.execute(
        select(SopStep.title, SopStep.key).where(SopStep.version_id == version.id)
    )
    return {row.title: row.key for row in rows}


def test_a_draft_changes_nobody(session, make):
    make.contact(make.guide(), followed_on=TODAY)
    versions.save_draft(session, "新客", spec("新客", FOLLOWED), "hq")
    assert night(session).created == 0
    assert enrollments(session) == []


def test_saving_a_draft_again_replaces_it(session, make):
    first = versions.save_draft(session, "新客", spec("新客", FOLLOWED), "hq")
    again = versions.save_draft(session, "新客", spec("新客", FOLLOWED, step("改过")), "hq")
    assert (first.sop_id, again.number) == (again.sop_id, 1)
    assert [v.id for v in session.scalars(select(SopVersion))] == [again.id]


def test_what_was_saved_reads_back_as_written(session, make):
    audience = {"all": [{"field": "purchase_count", "op": "=", "value": 0}]}
    plan = spec(
        "新客",
        FOLLOWED,
        chat(make, "您好", at="+2h", priority=80),
        step("回访", 7, at="10:00"),
        audience=audience,
    )
    draft = versions.save_draft(session, "新客", plan, "hq")
    assert versions.spec_of(session, draft.id) == plan == versions.normal(plan)


def test_step_keys_stay_with_their_steps_and_are_never_used_again(session, make):
    first = publish(session, spec("新客", FOLLOWED, step("甲"), step("乙", 3), step("丙", 7)))
    before = keys(session, first)
    second = publish(session, spec("新客", FOLLOWED, step("丙", 7), step("丁", 3), step("甲")))
    after = keys(session, second)
    assert (after["甲"], after["丙"]) == (before["甲"], before["丙"])
    assert after["丁"] not in before.values()
    renamed = spec("新客", FOLLOWED, step("甲改名", key=before["甲"]))
    assert keys(session, publish(session, renamed)) == {"甲改名": before["甲"]}


def test_new_only_leaves_those_enrolled_on_their_version(session, make):
    guide = make.guide()
    old = make.contact(guide, followed_on=days_ago(1))
    publish(session, spec("新客", FOLLOWED, step("旧问候"), step("旧回访", 2)))
    night(session, days_ago(1))
    draft = versions.save_draft(session, "新客", spec("新客", FOLLOWED, step("新问候")), "hq")
    impact = versions.publish(session, draft.sop_id, Reach.NEW_ONLY, "hq", NOON)
    assert (impact.migrated, impact.stayed, impact.tasks_withdrawn) == (0, 1, 0)
    new = make.contact(guide, followed_on=TODAY)
    session.commit()
    night(session, TODAY)
    night(session, TODAY + timedelta(days=1))
    steps = {(t.contact_id, t.why["step"]) for t in tasks(session)}
    assert steps == {(old.id, "旧问候"), (old.id, "旧回访"), (new.id, "新问候")}


def test_everyone_goes_on_with_the_new_version_and_done_stays_done(session, make):
    guide = make.guide()
    contacts = [make.contact(guide, followed_on=days_ago(1)) for _ in range(2)]
    publish(session, spec("新客", FOLLOWED, chat(make, "旧话"), step("去掉", 0), step("回访", 1)))
    night(session, days_ago(1))
    first, *_ = [t for t in tasks(session, "open") if t.why["step"] == "问候"]
    first.state = "done"
    session.commit()
    plan = spec("新客", FOLLOWED, chat(make, "新话"), step("回访", 1), step("加上", 2))
    draft = versions.save_draft(session, "新客", plan, "hq")
    foreseen = versions.impact(session, draft.sop_id, Reach.EVERYONE, NOON)
    done = versions.publish(session, draft.sop_id, Reach.EVERYONE, "hq", NOON)
    session.commit()
    assert foreseen == done
    assert (done.migrated, done.stayed) == (2, 0)
    assert done.tasks_withdrawn == 2
    assert {e.version_id for e in enrollments(session)} == {draft.id}
    night(session, TODAY)
    night(session, TODAY + timedelta(days=1))
    by_step = {}
    for task in tasks(session):
        by_step.setdefault(task.why["step"], []).append((task.state, task.words))
    assert sorted(by_step["问候"]) == [("done", "旧话"), ("open", "新话")]
    assert [state for state, _ in by_step["去掉"]] == ["withdrawn"] * 2
    assert len(by_step["回访"]) == len(by_step["加上"]) == len(contacts)


def test_impact_writes_nothing(session, make):
    make.contact(make.guide(), followed_on=TODAY)
    draft = versions.save_draft(session, "新客", spec("新客", FOLLOWED), "hq")
    session.commit()
    foreseen = versions.impact(session, draft.sop_id, Reach.NEW_ONLY, NOON)
    assert foreseen.enrolled_now == 1
    assert enrollments(session) == []
    assert session.get_one(SopVersion, draft.id, populate_existing=True).state == "draft"
    assert versions.publish(session, draft.sop_id, Reach.NEW_ONLY, "hq", NOON) == foreseen


def test_publishing_after_a_missed_night_loses_nobody_of_the_version_before(session, make):
    missed = make.contact(make.guide(), followed_on=days_ago(2))
    publish(session, spec("新客", FOLLOWED, step("旧问候")))
    draft = versions.save_draft(session, "新客", spec("新客", FOLLOWED, step("新问候")), "hq")
    impact = versions.publish(session, draft.sop_id, Reach.NEW_ONLY, "hq", NOON)
    assert (impact.caught_up, impact.enrolled_now) == (1, 0)
    night(session)
    assert [(t.contact_id, t.why["step"]) for t in tasks(session)] == [(missed.id, "旧问候")]


def test_a_changed_trigger_cannot_reach_those_enrolled(session, make):
    publish(session, spec("新客", FOLLOWED))
    draft = versions.save_draft(session, "新客", spec("新客", {"kind": "purchased"}), "hq")
    with pytest.raises(UserError, match="触发条件变了"):
        versions.publish(session, draft.sop_id, Reach.EVERYONE, "hq", NOON)
    versions.publish(session, draft.sop_id, Reach.NEW_ONLY, "hq", NOON)


def test_going_back_gives_the_former_tasks(session, make):
    guide = make.guide()
    for _ in range(3):
        make.contact(guide, followed_on=TODAY)
    first = publish(session, spec("新客", FOLLOWED, step("问候"), step("甲")))
    night(session)
    former = {(t.contact_id, t.why["step"]) for t in tasks(session, "open")}
    publish(session, spec("新客", FOLLOWED, step("问候")), on=TODAY, reach=Reach.EVERYONE)
    assert {t.why["step"] for t in tasks(session, "open")} == {"问候"}
    assert len(session.scalars(select(Touch)).all()) == 3
    back = versions.republish(session, first.id, "hq")
    versions.publish(session, back.sop_id, Reach.EVERYONE, "hq", NOON)
    session.commit()
    night(session)
    assert {(t.contact_id, t.why["step"]) for t in tasks(session, "open")} == former
    assert versions.spec_of(session, back.id) == versions.spec_of(session, first.id)


def test_publishing_twice_needs_a_draft(session, make):
    publish(session, spec("新客", FOLLOWED))
    with pytest.raises(UserError, match="没有可以发布的草稿"):
        versions.publish(session, sop_id(session, "新客"), Reach.NEW_ONLY, "hq", NOON)


def test_a_published_version_stays_as_it_was_when_the_next_is_drafted(session, make):
    first = publish(session, spec("新客", FOLLOWED, step("甲")))
    before = versions.spec_of(session, first.id)
    versions.save_draft(session, "新客", spec("新客", FOLLOWED, step("乙")), "hq")
    assert versions.spec_of(session, first.id) == before


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"audience": {}}, "audience", ""),
        ({"audience": {"all": []}}, "audience", ""),
        ({"audience": {"all": [{"field": "spend", "op": ">", "value": 1}]}}, "audience", ""),
        ({"audience": {"all": [{"field": "has_tag", "op": "=", "value": "x/y"}]}}, "audience", ""),
        ({"trigger": {"kind": "bought"}}, "trigger", "没有「bought」这个触发条件"),
        ({"steps": []}, "steps", "至少要有一个步骤"),
        ({"steps": [step("甲", kind="moment")]}, "steps.0.kind", "「朋友圈」只能按日历来发"),
        ({"steps": [step("甲", kind="mass_message")]}, "steps.0.talking_point", "要选一条话术"),
        ({"steps": [step("甲", kind="caht")]}, "steps.0.kind", "是不是「chat」"),
        ({"steps": [step("甲", kind="chat")]}, "steps.0.talking_point", "要选一条话术"),
        ({"steps": [step("甲", talking_point="无")]}, "steps.0.talking_point", "「无」不存在"),
        ({"steps": [step("甲", materials=["无"])]}, "steps.0.materials", "素材「无」不存在"),
        ({"steps": [step("甲", at="25:00")]}, "steps.0.at", "要写成 10:00"),
        ({"steps": [step("甲", at=600)]}, "steps.0.at", "要加引号"),
        ({"steps": [step("甲", 1, at="+2h")]}, "steps.0.at", "只能用在第 0 天"),
        ({"steps": [step("甲", -1)]}, "steps.0.day", "无法提前知道"),
        ({"steps": [step("甲", "1")]}, "steps.0.day", "整数"),
        ({"steps": [step("甲", priority=101)]}, "steps.0.priority", "0 到 100"),
        ({"steps": [step("")]}, "steps.0.title", "要有标题"),
        ({"steps": [step("甲", tilte="x")]}, "steps.0", "是不是「title」"),
        ({"steps": [step("甲", key="a"), step("乙", key="a")]}, "steps", "同一个 key"),
        ({"triger": 1}, "name", "是不是「trigger」"),
    ],
)
def test_a_spec_that_would_not_work_is_refused_and_changes_nothing(
    session, make, change, field, words
):
    wrong = {**spec("新客", FOLLOWED), **change}
    with pytest.raises(UserError) as error:
        versions.save_draft(session, "新客", wrong, "hq")
    assert words in error.value.message_zh
    assert error.value.field == field
    assert session.scalars(select(SopVersion)).all() == []


def test_an_audience_that_names_its_own_sop_is_refused_once_it_has_a_name(session, make):
    publish(session, spec("新客", FOLLOWED))
    own = {"all": [{"field": "sop_active", "op": "=", "value": "新客"}]}
    with pytest.raises(UserError, match="不能写这个 SOP 自己") as error:
        versions.save_draft(session, "新客", spec("新客", FOLLOWED, audience=own), "hq")
    assert error.value.field == "audience"
    versions.save_draft(session, "回访", spec("回访", FOLLOWED, audience=own), "hq")


EVERY_DAY = {"kind": "every", "each": "day"}


@pytest.fixture
def shelf(session, make):
    """Words for everybody, a coupon, and materials of each sort."""
    make.talking_point("大家好", name="大家好")
    coupon_template(session, name="礼券")
    for name, kind, given in (
        ("链接", "link", {"url": "https://example.com/a"}),
        ("网图", "image", {"picture_url": "https://example.com/a.png"}),
        ("空视频", "video", {}),
        ("照片", "image", {"content": b"\x89PNG\r\n\x1a\n."}),
    ):
        session.add(Material(name=name, kind=kind, **given))
    session.flush()


@pytest.mark.parametrize(
    ("trigger", "change", "field", "words"),
    [
        (FOLLOWED, {"kind": "mass_message", "coupon": "礼券"}, "coupon", "有群发，"),
        (EVERY_DAY, {"kind": "moment", "coupon": "礼券"}, "coupon", "有朋友圈，"),
        (EVERY_DAY, {"kind": "group_message", "coupon": "礼券"}, "coupon", "有群消息，"),
        (
            FOLLOWED,
            {"kind": {"by": "tier", "S": "chat", "else": "mass_message"}, "coupon": "礼券"},
            "coupon",
            "发给每个人的话都一样，不能带优惠券",
        ),
        (EVERY_DAY, {"kind": "moment", "materials": ["链接"]}, "materials", "不是图片或视频"),
        (EVERY_DAY, {"kind": "moment", "materials": ["照片", "网图"]}, "materials", "先上传图片"),
        (EVERY_DAY, {"kind": "moment", "materials": ["空视频"]}, "materials", "先上传视频"),
    ],
)
def test_what_cannot_go_with_words_for_everybody_is_refused_while_saving(
    session, shelf, trigger, change, field, words
):
    plan = spec("发布计划", trigger, step("甲", talking_point="大家好", **change))
    with pytest.raises(UserError) as error:
        versions.save_draft(session, "发布计划", plan, "hq")
    assert words in error.value.message_zh
    assert error.value.field == f"steps.0.{field}"
    assert session.scalars(select(SopVersion)).all() == []


@pytest.mark.parametrize(
    ("trigger", "change"),
    [
        (FOLLOWED, {"kind": "chat", "coupon": "礼券", "materials": ["链接", "网图"]}),
        (EVERY_DAY, {"kind": "moment", "materials": ["照片"]}),
        (EVERY_DAY, {"kind": "group_message", "materials": ["链接"]}),
    ],
)
def test_what_can_go_along_is_saved(session, shelf, trigger, change):
    plan = spec("发布计划", trigger, step("甲", talking_point="大家好", **change))
    draft = versions.save_draft(session, "发布计划", plan, "hq")
    [saved] = versions.spec_of(session, draft.id)["steps"]
    assert saved.items() >= {key: value for key, value in change.items() if key != "kind"}.items()


def test_delays_need_a_trigger_with_a_moment(session, make):
    plan = spec("生日", {"kind": "birthday"}, step("祝福", at="+2h"))
    with pytest.raises(UserError, match="没有具体时刻"):
        versions.check(session, plan)


def test_a_time_in_quiet_hours_is_a_warning_that_says_where_it_goes(session, make):
    plan = spec(
        "新客", FOLLOWED, step("早", at="8:00"), step("晚", at="21:30"), step("午", at="12:00")
    )
    assert versions.check(session, plan) == [
        "第 1 步的 8:00 在免打扰时段内，会顺延到当天 09:00",
        "第 2 步的 21:30 在免打扰时段内，会顺延到第二天 09:00",
    ]


def test_the_newest_version_is_the_draft_if_there_is_one(session, make):
    published = publish(session, spec("新客", FOLLOWED))
    assert versions.newest(session, "新客") == published.id
    draft = versions.save_draft(session, "新客", spec("新客", FOLLOWED, step("乙")), "hq")
    assert versions.newest(session, "新客") == draft.id
    with pytest.raises(UserError, match="新客户"):
        versions.newest(session, "新客户")
