"""One card per guide and morning, and one alert when something comes due later."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from bot import outbox
from bot.clock import at
from bot.crm.models import Brand
from bot.outbox import Outbox
from bot.settings import Settings
from sop import digests, postings
from sop.models import Digest
from tests.fixtures_db import counting
from tests.sop.plans import TODAY, days_ago, night, publish, spec, step, tasks

DAWN = at(TODAY, 2, 10)


@pytest.fixture
def settings(tmp_path):
    return Settings.from_env({"VAR_DIR": str(tmp_path), "PUBLIC_BASE_URL": "https://d.example"})


@pytest.fixture
def planned(session, make):
    """Two guides with three tasks and one, and one guide without any."""
    guides = [make.guide(), make.guide(), make.guide()]
    for guide, names in zip(guides, (("甲", "乙", "丙"), ("丁",), ()), strict=True):
        for name in names:
            make.contact(guide, followed_on=TODAY, name=name)
    publish(session, spec("新客", {"kind": "followed"}, step("问候")))
    night(session)
    return guides


def sent(session):
    rows = session.scalars(
        select(Outbox).order_by(Outbox.id).execution_options(populate_existing=True)
    )
    return [(row, json.loads(row.body)) for row in rows]


def test_each_guide_with_tasks_gets_one_card(session, planned, settings):
    assert digests.prepare(session, TODAY, DAWN, settings) == 2
    (first, body), (second, _) = sent(session)
    assert (first.kind, first.api, first.members) == ("digest", "message/send", [planned[0].userid])
    assert second.members == [planned[1].userid]
    card = body["template_card"]
    assert card["main_title"] == {"title": "今日 3 项", "desc": "11月21日 周六"}
    assert [row["keyname"] for row in card["horizontal_content_list"]] == ["甲", "乙"]
    assert card["horizontal_content_list"][0]["value"] == "打电话 · 问候 · 11月21日 加为好友"
    assert card["card_action"]["url"] == "https://d.example/h5/today?day=2026-11-21"
    assert {d.guide_id: d.task_count for d in session.scalars(select(Digest))} == {
        planned[0].id: 3,
        planned[1].id: 1,
    }


def test_the_card_says_whom_to_call_and_whom_to_invite(session, make, settings):
    guide = make.guide()
    for category, one in (
        ("对戒", step("回访", priority=90)),
        ("项链", step("邀约到店试戴", kind="invite")),
    ):
        make.purchase(make.contact(guide), category=category)
        publish(session, spec(category, {"kind": "purchased", "category": category}, one))
    night(session)
    assert digests.prepare(session, TODAY, DAWN, settings) == 1
    [(_, body)] = sent(session)
    rows = body["template_card"]["horizontal_content_list"]
    # What the title says already is not said twice.
    assert [row["value"].split(" · 11月")[0] for row in rows] == ["打电话 · 回访", "邀约到店试戴"]


def test_the_card_counts_what_ends_today(session, make, settings):
    guide = make.guide()
    make.contact(guide, followed_on=days_ago(3))
    make.contact(guide, followed_on=TODAY)
    publish(session, spec("新客", {"kind": "followed"}))
    night(session)
    digests.prepare(session, TODAY, DAWN, settings)
    ((_, body),) = sent(session)
    assert body["template_card"]["main_title"]["title"] == "今日 2 项 · 1 项今天到期"


def test_preparing_twice_sends_nothing_twice(session, planned, settings):
    digests.prepare(session, TODAY, DAWN, settings)
    assert digests.prepare(session, TODAY, at(TODAY, 9), settings) == 0
    assert len(sent(session)) == 2


def test_two_clocks_prepare_each_digest_once(session, sessions, planned, settings):
    def run(_):
        with sessions() as own, own.begin():
            return digests.prepare(own, TODAY, DAWN, settings)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, range(4))) == 2
    assert len(sent(session)) == 2


def test_digests_leave_in_the_morning_and_never_into_the_night(session, planned, settings):
    assert digests.prepare(session, TODAY, at(TODAY, 21), settings) == 0
    assert digests.prepare(session, TODAY, at(TODAY + timedelta(days=1), 8), settings) == 0
    digests.prepare(session, TODAY, DAWN, settings)
    (row, _), *_ = sent(session)
    assert (row.not_before, row.deadline) == (at(TODAY, 8, 47), at(TODAY, 21))


def test_digests_avoid_quiet_hours_in_the_middle_of_the_day(session, make, planned, settings):
    session.get_one(Brand, 1).settings = {"quiet_hours": "12:00-14:00"}
    session.commit()
    digests.prepare(session, TODAY, at(TODAY, 12, 30), settings)
    assert sent(session)[0][0].not_before == at(TODAY, 14)


def test_digests_take_as_many_statements_for_three_hundred_guides_as_for_three(
    session, make, engine, settings
):
    publish(session, spec("新客", {"kind": "followed"}))
    counts = []
    for many, day in ((3, TODAY), (300, TODAY + timedelta(days=1))):
        for _ in range(many):
            make.contact(make.guide(), followed_on=day)
        night(session, day)
        for task in tasks(session, "open"):
            if task.planned_on < day:
                task.state = "done"
        session.commit()
        with counting(engine) as seen:
            assert digests.prepare(session, day, at(day, 2), settings) >= many
        session.commit()
        counts.append(seen.count)
    assert counts[0] == counts[1]


def test_a_sent_digest_keeps_its_code_and_shows_its_tasks(session, planned, settings):
    digests.prepare(session, TODAY, DAWN, settings)
    row = session.scalars(select(Outbox).order_by(Outbox.id)).first()
    wanted = [getattr(Outbox, one.name) for one in fields(outbox.Delivery)]
    got = session.execute(select(*wanted).where(Outbox.id == row.id)).one()
    delivery = replace(outbox.delivery(got), result={"response_code": "rc-1"})
    digests.sent(session, delivery)
    session.expire_all()
    digest = session.get_one(Digest, (planned[0].id, TODAY))
    assert (digest.outbox_id, digest.response_code) == (row.id, "rc-1")
    shown = {t.guide_id: t.shown_at for t in tasks(session)}
    assert shown == {planned[0].id: at(TODAY, 8, 47), planned[1].id: None}


def test_a_task_that_comes_due_after_the_digest_is_told_once(session, make, planned, settings):
    digests.prepare(session, TODAY, DAWN, settings)
    contact = make.contact(name="新朋友")
    added_at = datetime(2026, 11, 21, 7, tzinfo=UTC)  # 15:00 in Shanghai
    make.follow(planned[0], contact, followed_on=TODAY, followed_at=added_at)
    publish(session, spec("当天", {"kind": "followed"}, step("问候", at="+2h")))
    night(session, TODAY, [contact])
    # The new friend is found by both SOPs: one task is due at once, the other in two hours.
    assert digests.remind_due(session, at(TODAY, 16), settings) == 1
    assert digests.remind_due(session, at(TODAY, 16, 1), settings) == 0
    assert digests.remind_due(session, at(TODAY, 17), settings) == 1
    assert digests.remind_due(session, at(TODAY, 18), settings) == 0
    alert, body = sent(session)[-1]
    assert (alert.kind, alert.members, alert.deadline) == (
        "alert",
        [planned[0].userid],
        at(TODAY, 21),
    )
    assert body["template_card"]["main_title"]["title"] == "1 位客户现在该联系了"
    assert "11月21日" in body["template_card"]["main_title"]["desc"]


def test_nothing_is_told_in_quiet_hours_or_before_the_digests(session, planned, settings):
    assert digests.remind_due(session, at(TODAY, 7), settings) == 0
    assert digests.remind_due(session, at(TODAY, 9), settings) == 0
    assert digests.remind_due(session, at(TODAY, 21, 30), settings) == 0
    assert digests.remind_due(session, at(TODAY, 9, 30), settings) == 2


def test_what_a_guide_confirms_or_publishes_is_one_line_of_her_card(
    session, make, planned, settings
):
    words = make.talking_point("您好").name
    many = {"day": 0, "kind": "mass_message", "title": "群发", "talking_point": words}
    publish(session, spec("群发", {"kind": "date", "on": TODAY.isoformat()}, many))
    moment = {"day": 0, "kind": "moment", "title": "动态", "talking_point": words}
    publish(session, spec("动态", {"kind": "every", "each": "day"}, moment))
    night(session)
    postings.plan(session, TODAY, DAWN)
    assert digests.prepare(session, TODAY, DAWN, settings) == 3
    session.commit()
    by_guide = {row.members[0]: body["template_card"] for row, body in sent(session)}
    busy, _, idle = (by_guide[guide.userid] for guide in planned)
    told = {line["keyname"]: line["value"] for line in busy["horizontal_content_list"]}
    assert busy["main_title"]["title"] == "今日 3 项"
    assert told["待发送"] == "群发 1 条待确认（3 位客户），朋友圈 1 条待发表"
    assert idle["main_title"]["title"] == "今天有内容等你发送"
    told = {line["keyname"]: line["value"] for line in idle["horizontal_content_list"]}
    assert told == {"待发送": "朋友圈 1 条待发表"}
    assert digests.prepare(session, TODAY, DAWN, settings) == 0
