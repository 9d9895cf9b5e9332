"""A preview is what then happens, and writes nothing."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from bot.clock import at
from bot.crm.models import Brand
from bot.errors import UserError
from sop import enrollment, leads, planning, preview, versions
from sop.models import Enrollment, HeldBy, Reach, Sop, Task
from tagging import rules, scores
from tests.fixtures_db import counting
from tests.sop import facts
from tests.sop.plans import TODAY, days_ago, night, publish, spec, step, tasks

FOLLOWED = {"kind": "followed"}


@pytest.fixture
def town(session, make):
    """Guides with friends of the last days, purchases and birthdays, and one SOP at work."""
    session.get_one(Brand, 1).settings = {"touch_gap_days": 2, "tasks_per_guide": 3}
    for _ in range(2):
        guide = make.guide()
        for ago in range(6):
            contact = make.contact(guide, followed_on=days_ago(ago), name=f"客{ago}")
            born = TODAY + timedelta(days=ago)
            make.member(contact, birth_month=born.month, birth_day=born.day)
            make.purchase(contact, on=days_ago(ago))
    publish(session, spec("售后", {"kind": "purchased"}, step("保养", 2)))
    night(session)
    return session


def live(session, days):
    """The nights as the timetable runs them, on days on which guides do everything."""
    found = []
    for offset in range(days):
        day = TODAY + timedelta(days=offset)
        scores.refresh(session, day)
        rules.apply(session, day)
        enrollment.enroll_due(session, day)
        planning.plan(session, day, at(day, 2, 10))
        for task in tasks(session, "open"):
            task.state = "done"
        session.commit()
        found.append(len([t for t in tasks(session, "done", day=day) if t.why["sop"] == "生日"]))
    return found


def counts(session):
    return [session.scalar(select(func.count()).select_from(t)) for t in (Sop, Enrollment, Task)]


def test_a_preview_is_what_then_happens(town):
    point = spec("生日", {"kind": "birthday"}, step("预告", -2), step("祝福", 0, priority=90))
    before = counts(town)
    foreseen = preview.preview(town, point, TODAY, 6)
    assert counts(town) == before
    draft = versions.save_draft(town, "生日", point, "hq")
    impact = versions.publish(town, draft.sop_id, Reach.NEW_ONLY, "hq", at(TODAY, 2))
    assert foreseen.impact == impact
    assert [day.tasks for day in foreseen.days] == live(town, 6)
    assert foreseen.tasks > 6
    assert foreseen.difference == foreseen.tasks


def test_a_preview_names_guides_over_their_cap_and_shows_samples(town):
    plan = spec("全员", {"kind": "date", "on": TODAY.isoformat()}, step("通知", priority=100))
    foreseen = preview.preview(town, plan, TODAY, 1)
    (day,) = foreseen.days
    assert (day.guides_over_cap, day.waiting > 0) == (2, True)
    sample = foreseen.samples[0]
    assert sample.title == "通知"
    assert sample.why_line == "11月21日，就在今天 · 全员 v1"


def test_a_preview_of_a_change_is_compared_with_the_published_version(town):
    changed = spec("售后", {"kind": "purchased"}, step("保养", 2), step("回访", 4))
    foreseen = preview.preview(town, changed, TODAY, 5)
    published = sum(day.published_tasks for day in foreseen.days)
    assert published > 0
    assert foreseen.difference == foreseen.tasks - published
    unchanged = preview.preview(town, _published(town), TODAY, 5)
    assert unchanged.difference == 0
    assert unchanged.tasks == published


def test_a_preview_names_tasks_that_come_and_tasks_that_fall_away(town):
    changed = spec("售后", {"kind": "purchased"}, step("关怀", 2))
    foreseen = preview.preview(town, changed, TODAY, 5, reach=Reach.EVERYONE)
    told = foreseen.change
    assert told.added > 0
    assert told.gone > 0
    assert {one.title for one in told.added_samples} == {"关怀"}
    assert {one.title for one in told.gone_samples} == {"保养"}
    for count, samples in ((told.added, told.added_samples), (told.gone, told.gone_samples)):
        assert len(samples) == min(count, 6)
        assert [one.day for one in samples] == sorted(one.day for one in samples)
        assert all(one.contact_name.startswith("客") for one in samples)


@pytest.mark.parametrize(
    ("trigger", "audience", "touched"),
    [
        ({"kind": "birthday"}, None, set()),
        ({"kind": "coupon_received"}, None, {"coupon"}),
        ({"kind": "birthday"}, {"field": "has_coupon", "op": "=", "value": "礼券"}, {"coupon"}),
        ({"kind": "appointment"}, None, {"appointment", "lead"}),
        ({"kind": "lead_raised"}, None, {"lead", "appointment"}),
    ],
)
def test_a_preview_holds_no_coupons_leads_or_visits_that_its_sop_does_not_read(
    town, engine, trigger, audience, touched
):
    asked = {"audience": {"all": [audience]}} if audience else {}
    with counting(engine) as seen:
        preview.preview(town, spec("预演", trigger, step("祝福"), **asked), TODAY, 2)
    written = {
        name
        for name in ("coupon", "appointment", "lead")
        for statement in seen.texts
        if re.search(rf"(UPDATE|INSERT INTO) {name} .*(SET|SELECT)", statement, re.DOTALL)
        # The plan itself writes invitations.
        and "task_id, sop_id, state" not in statement
    }
    assert written == touched


def test_a_lead_that_comes_up_meanwhile_for_another_sop_takes_her_attention(session, make):
    """She is visited by nobody's plan but her own: the night after her visit she is a lead."""
    session.get_one(Brand, 1).settings = {"touch_gap_days": 3}
    contact = make.contact(make.guide(), followed_on=TODAY)
    facts.visit(session, contact, TODAY)
    publish(session, spec("线索", {"kind": "lead_raised"}, step("跟进", priority=90)))
    plan = spec("新客", FOLLOWED, step("次日", 1))
    foreseen = preview.preview(session, plan, TODAY, 2)
    assert [day.tasks for day in foreseen.days] == [0, 0]
    assert foreseen.days[1].waiting_by == {HeldBy.TOUCH_CAP: 1}
    draft = versions.save_draft(session, "新客", plan, "hq")
    versions.publish(session, draft.sop_id, Reach.NEW_ONLY, "hq", at(TODAY, 2))
    for day in (TODAY, TODAY + timedelta(days=1)):
        leads.raise_due(session, day, at(day, 2, 10))
        night(session, day)
    assert [(t.why["step"], t.state) for t in tasks(session)] == [
        ("跟进", "open"),
        ("次日", "deferred"),
    ]


def test_everything_a_task_may_wait_for_has_a_word():
    assert set(preview.WAITING) == set(HeldBy)


def test_a_wrong_spec_is_refused_and_leaves_nothing(town):
    before = counts(town)
    with pytest.raises(UserError):
        preview.preview(town, spec("错", {"kind": "nothing"}), TODAY, 3)
    with pytest.raises(UserError):
        preview.preview(town, spec("错", FOLLOWED), TODAY, 0)
    with pytest.raises(UserError):
        preview.preview(town, 424242, TODAY, 3)
    assert counts(town) == before


def _published(session):
    return session.scalar(select(Enrollment.version_id).limit(1))
