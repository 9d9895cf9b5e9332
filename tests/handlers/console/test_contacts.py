"""Finding a customer and reading her profile: tags with their state, tasks with why."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from bot.clock import business_day
from bot.crm import mobiles, timeline
from bot.crm.models import AuditEntry
from sop import tasks
from sop.models import Task
from tests.fixtures_db import counting
from tests.sop.plans import night, publish, spec


@pytest.fixture
def wang(bot, session, make):
    guide = make.guide(make.store(name="南京路店"), name="张三")
    contact = make.contact(
        guide, name="王小雨", external_userid="wmWANG", followed_on=business_day(bot.clock.now())
    )
    key = bot.settings.secret_key
    sealed = mobiles.seal_mobile("13812345678", key)
    make.member(contact, member_no="XH0001", name="王雨晴", level="金卡", mobile_sealed=sealed)
    make.identity(contact, "mobile", mobiles.mobile_index("13812345678", key))
    session.commit()
    return contact


def search(desk, query):
    answer = desk.client.get("/console/contacts/", query_string={"q": query})
    assert answer.status_code == 200
    return answer.text


def test_a_customer_is_found_by_everything_hq_knows(editor, wang):
    mobile = ("13812345678", "+86 138-1234-5678")
    for query in ("王小", "王雨晴", "XH0001", "ＸＨ０００１", "wmWANG", *mobile):
        page = search(editor, query)
        assert "找到 1 位" in page, query
        assert "王小雨" in page


def test_what_does_not_fit_finds_nobody(editor, wang):
    for query in ("小雨", "%", "_", "1381234", "' OR 1=1 --", "王" * 500, "x\x00y"):
        assert "没有找到" in search(editor, query), query
    assert "最近添加" in search(editor, "\x00")


def test_without_a_search_the_newest_are_listed(editor, wang):
    page = editor.page("/console/contacts/")
    assert "最近添加" in page
    assert "王小雨" in page


def test_the_profile_shows_tags_with_how_far_they_are_in_wecom(editor, session, make, wang):
    make.assignment(wang, make.tag("价值/高净值"), source="rule")
    make.assignment(wang, make.tag("渠道/收银台"), source="channel", mark_state="queued")
    make.assignment(wang, make.tag("渠道/小红书"), mark_state="failed", mark_error="标签不存在")
    session.commit()
    page = editor.page(f"/console/contacts/{wang.id}")
    for words in ("高净值", "自动规则 · 已同步", "渠道活码 · 同步中", "同步失败", "标签不存在"):
        assert words in page


def test_the_profile_tells_who_why_and_what_became_of_it(bot, editor, session, make, wang):
    now = bot.clock.now()
    make.purchase(wang, on=business_day(now), amount_fen=1280000, name="星芒对戒")
    make.score(wang, total_spend_fen=1280000, purchase_count=1, stage="active")
    timeline.record(session, wang.id, "followed", "扫码添加了张三", now)
    publish(session, spec("新客首月", {"kind": "followed"}))
    night(session, business_day(now))
    task = session.scalars(select(Task)).one()
    tasks.complete(session, task.id, wang.guide_id, now, "客户周末来")
    session.commit()
    page = editor.page(f"/console/contacts/{wang.id}")
    for words in ("张三", "南京路店", "金卡", "星芒对戒", "¥12,800", "扫码添加了张三"):
        assert words in page
    for words in ("已完成", "新客首月", "客户周末来", "加为好友"):
        assert words in page


def test_the_mobile_is_masked_everywhere(editor, wang):
    page = editor.page(f"/console/contacts/{wang.id}")
    assert "138****5678" in page
    assert "12345678" not in page


def test_every_look_at_a_profile_is_written_down(editor, viewer, session, wang):
    editor.page(f"/console/contacts/{wang.id}")
    viewer.page(f"/console/contacts/{wang.id}")
    rows = session.execute(
        select(AuditEntry.actor, AuditEntry.action, AuditEntry.object).order_by(AuditEntry.id)
    ).all()
    assert rows == [
        ("operator:demo-editor", "contact.view", f"contact:{wang.id}"),
        ("operator:demo-viewer", "contact.view", f"contact:{wang.id}"),
    ]


def test_a_customer_merged_away_or_unknown_is_not_there(editor, session, make, wang):
    gone = make.contact(name="重复的人", merged_into_id=wang.id)
    session.commit()
    assert editor.get(f"/console/contacts/{gone.id}").status_code == 404
    assert editor.get("/console/contacts/999999999").status_code == 404
    assert "重复的人" not in editor.page("/console/contacts/?q=重复")


def test_the_list_takes_as_many_statements_for_many_as_for_one(editor, session, make, wang, engine):
    editor.page("/console/contacts/?q=王")
    with counting(engine) as few:
        editor.page("/console/contacts/?q=王")
    for n in range(60):
        make.contact(name=f"王{n}")
    session.commit()
    with counting(engine) as many:
        page = editor.page("/console/contacts/?q=王")
    assert few.count == many.count < 8
    assert "只列出前 50 位" in page


def test_who_has_no_name_that_can_be_seen_is_called_so_everywhere_and_can_be_opened(
    editor, bot, session, make
):
    guide = make.guide(make.store(), name="张三")
    for name in ("\u200e", "\u200b \u2060", ""):
        make.contact(guide, name=name, followed_on=business_day(bot.clock.now()))
    session.commit()
    page = editor.page("/console/contacts/")
    assert page.count('title="未命名客户">未命名客户</a>') == 3
    for path in ("/console/contacts/1", "/console/contacts/1/explain"):
        assert "未命名客户" in editor.page(path)
