"""Random SOPs over a small brand: what the preview says is what the nights then do, to the word."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import func, select

from bot.clock import at
from bot.crm.models import Brand, GuideDayOff
from bot.db import Base
from handlers.timetable import NIGHTLY
from sop import leads, planning, postings, preview, versions
from sop.models import Enrollment, Posting, Reach
from tests.sop import facts
from tests.sop.plans import TODAY, publish, spec, step, tasks

NIGHTS = 5
# Chosen for their variety: every carrier, tiers of customers and stores, all three ways to miss.
SEEDS = (6, 8, 13, 14)
TRIGGERS = (
    ({"kind": "followed"}, (0, 1, 3)),
    ({"kind": "purchased"}, (0, 2, 4)),
    ({"kind": "birthday"}, (-3, -1, 0)),
    ({"kind": "cart_open"}, (0, 1)),
    ({"kind": "coupon_expiring"}, (-4, -1)),
    ({"kind": "points_received"}, (0, 2)),
    ({"kind": "every", "each": "week", "weekday": 3}, (-1, 0)),
)
KINDS = (
    "call",
    "chat",
    "mass_message",
    ["template_message", "sms"],
    {"by": "tier", "S": "chat", "B": "none", "else": ["template_message", "sms"]},
    {"by": "store_tier", "A": "invite", "else": "mass_message"},
)


@pytest.fixture
def brand(session, make):
    """Three guides (one with days off), thirty customers with facts of these days, one SOP."""
    session.get_one(Brand, 1).settings = {"touch_gap_days": 2, "tasks_per_guide": 4}
    random = Random(7)
    facts.template(session, "短信一", "sms")
    facts.template(session, "公众号一", "template_message")
    make.talking_point("{导购名}在 {门店名} 等您", "{导购名}问您好", name="问候")
    guides = [
        make.guide(make.store(tier=tier), rest_weekdays=rests)
        for tier, rests in (("A", [2]), ("C", []), (None, [6, 7]))
    ]
    session.add(GuideDayOff(guide_id=guides[1].id, day=TODAY + timedelta(days=2)))
    for number in range(30):
        _customer(session, make, random, guides[number % 3])
    publish(session, spec("售后", {"kind": "purchased"}, step("保养", 1)))
    # They take turns with the previewed one, and begin with what the nights themselves do.
    publish(session, spec("线索", {"kind": "lead_raised"}, step("跟进", priority=90)))
    publish(session, spec("礼券", {"kind": "coupon_expiring"}, step("提醒", -1, priority=70)))
    session.commit()
    return session


def _customer(session, make, random, guide):
    def soon():
        # Days to come too: what has happened before an SOP takes effect does not start it.
        return TODAY + timedelta(days=random.randrange(-1, NIGHTS))

    contact = make.contact(guide, followed_on=soon())
    born = soon()
    sealed = random.choice([None, b"sealed"])
    make.member(contact, birth_month=born.month, birth_day=born.day, mobile_sealed=sealed)
    make.score(contact, tier=random.choice(["S", "A", "B", None]))
    if random.random() < 0.4:
        make.identity(contact, "openid", f"o{contact.id}")
    if random.random() < 0.7:
        make.purchase(contact, on=soon())
    if random.random() < 0.6:
        facts.cart(session, contact, soon())
    if random.random() < 0.6:
        facts.coupon(session, contact, expires_on=soon())
    if random.random() < 0.6:
        facts.points(session, contact, soon(), 100)
    if random.random() < 0.4:
        facts.visit(session, contact, soon())
    if random.random() < 0.2:
        facts.opt_out(session, contact, random.choice(["sms", "all", "chat"]), TODAY)


def _plan(random):
    trigger, days = random.choice(TRIGGERS)
    steps = []
    for number, day in enumerate(days):
        kind = random.choice(KINDS)
        one = step(f"第{number}步", day, kind=kind, talking_point="问候")
        words = str(kind)
        templates = {
            channel: name
            for channel, name in (("sms", "短信一"), ("template_message", "公众号一"))
            if channel in words
        }
        if templates:
            one["template"] = templates
        one["if_missed"] = random.choice(["late", "drop", "move"])
        one["workdays"] = random.random() < 0.3
        if random.random() < 0.5:
            one["at"] = random.choice(["08:00", "11:30", "19:40"])
        steps.append(one)
    if trigger["kind"] == "every":
        steps.append(step("动态", 0, kind="moment", talking_point="问候"))
    return spec("预演", trigger, *steps)


def _live(session, sop_id):
    """The nights as the timetable runs them; everybody does what there is on its day."""
    found = []
    for offset in range(NIGHTS):
        day = TODAY + timedelta(days=offset)
        now = at(day, 2, 10)
        for name, work in NIGHTLY:
            if name == "enrollment.enroll_due":
                leads.raise_due(session, day, now)
            work(session, day)
        planning.plan(session, day, now)
        postings.plan(session, day, now)
        ours = {e.id for e in session.scalars(select(Enrollment).filter_by(sop_id=sop_id))}
        planned = [t for t in tasks(session, day=day) if t.enrollment_id in ours]
        found.append(
            (
                Counter(t.kind for t in planned),
                len({t.guide_id for t in planned if t.guide_id is not None}),
                session.scalar(
                    select(func.count()).where(Posting.sop_id == sop_id, Posting.due_on == day)
                ),
            )
        )
        for task in tasks(session, "open", day=day):
            task.state, task.ended_at = "done", at(day, 20)
        session.flush()
    return found


def _counts(session):
    return {
        table.name: session.scalar(select(func.count()).select_from(table))
        for table in Base.metadata.sorted_tables
    }


def _happens(session, plan):
    """What the preview says, and what then happens; nothing of it is kept."""
    before = _counts(session)
    foreseen = preview.preview(session, plan, TODAY, NIGHTS)
    assert _counts(session) == before
    savepoint = session.begin_nested()
    draft = versions.save_draft(session, plan["name"], plan, "hq")
    versions.publish(session, draft.sop_id, Reach.NEW_ONLY, "hq", at(TODAY, 2))
    lived = _live(session, draft.sop_id)
    ours = {e.id for e in session.scalars(select(Enrollment).filter_by(sop_id=draft.sop_id))}
    said = [
        (t.planned_on, t.contact_id, t.why["step"], t.words)
        for t in sorted(
            (t for t in tasks(session) if t.enrollment_id in ours and t.planned_on),
            key=lambda t: (t.planned_on, -t.rank_score, t.contact_id, t.why["step"]),
        )
    ]
    savepoint.rollback()
    session.expire_all()
    return foreseen, lived, said


@pytest.mark.parametrize("seed", SEEDS)
def test_the_nights_do_what_the_preview_said(brand, seed):
    plan = _plan(Random(seed))
    foreseen, lived, said = _happens(brand, plan)
    told = [(one.by_kind, one.guides, one.postings) for one in foreseen.days]
    assert told == [(dict(kinds), guides, asked) for kinds, guides, asked in lived]
    assert foreseen.change.added == len(said)
    assert (foreseen.change.gone, foreseen.change.same) == (0, 0)
    samples = {(s.day, s.contact_id, s.title, s.words) for s in foreseen.samples}
    assert samples <= set(said)
    assert len(samples) == min(len(said), 20)


def test_some_of_these_plans_do_something(brand):
    foreseen = [preview.preview(brand, _plan(Random(seed)), TODAY, 3) for seed in SEEDS]
    assert sum(one.tasks for one in foreseen) > 10
    assert len({kind for one in foreseen for day in one.days for kind in day.by_kind}) > 2


def test_a_change_is_told_task_by_task(brand):
    first = spec("预演", {"kind": "followed"}, step("问候"), step("回访", 3))
    publish(brand, first, on=TODAY)
    second = spec("预演", {"kind": "followed"}, step("问候"), step("换一步", 3))
    found = preview.preview(brand, second, TODAY, 4)
    unchanged = preview.preview(brand, first, TODAY, 4)
    assert unchanged.change.added == unchanged.change.gone == 0
    assert unchanged.change.same == unchanged.tasks > 0
    assert found.change.same > 0
    assert found.difference == found.change.added - found.change.gone
