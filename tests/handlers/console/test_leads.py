"""The list of leads: tabs, places, and a lead HQ knows to be touched."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from bot.clock import SHANGHAI
from bot.crm.models import AuditEntry, Brand
from bot.outbox import Outbox
from sop import leads
from sop.models import Lead
from tests.fixtures_db import counting


@pytest.fixture
def wang(bot, session, make):
    """A lead of 王小雨 with 张三."""
    contact = make.contact(make.guide(make.store(name="南京路店"), name="张三"), name="王小雨")
    now = bot.clock.now()
    lead = leads.raise_intent(session, contact.id, "定制", "想<b>订做</b>", now, dedupe_key="1")
    session.commit()
    return lead


def test_a_live_lead_says_who_why_and_whose(viewer, wang):
    page = viewer.page("/console/leads/")
    for words in (
        "王小雨",
        "「想＜b＞订做＜/b＞」",
        "张三",
        "原有好友",
        "待联系 · 急",
    ):
        assert words in page
    assert "<b>订做" not in page
    assert "已联系</button>" not in page
    assert "还没有成交的线索" in viewer.page("/console/leads/?tab=won")


def test_an_editor_says_that_it_was_touched_and_it_is_written_down(editor, session, wang):
    assert "已联系</button>" in editor.page("/console/leads/")
    for _ in range(2):
        assert editor.post(f"/console/leads/{wang}/touched").status_code == 302
    lead = session.get_one(Lead, wang, populate_existing=True)
    assert lead.state == "touched"
    actions = session.scalars(select(AuditEntry.action)).all()
    assert "lead.touched" in actions


def test_nobody_else_may_and_an_unknown_lead_is_said_so(viewer, stranger, editor, session, wang):
    assert viewer.post(f"/console/leads/{wang}/touched").status_code == 403
    assert stranger.post(f"/console/leads/{wang}/touched").status_code in (302, 401)
    answer = editor.post("/console/leads/999999/touched")
    assert answer.status_code == 400
    assert "没有找到这条线索" in answer.text
    assert session.get_one(Lead, wang, populate_existing=True).state == "assigned"


def test_an_ended_lead_shows_its_outcome(bot, editor, session, wang):
    leads.lose(session, wang, "在别处买了", bot.clock.now())
    session.commit()
    page = editor.page("/console/leads/?tab=lost")
    assert "没有成" in page
    assert "在别处买了" in page


@pytest.mark.parametrize("query", ["tab=x", "before=x", "before=-1", "before=99999999999999999999"])
def test_nonsense_in_the_address_shows_the_list(viewer, wang, query):
    assert "王小雨" in viewer.page(f"/console/leads/?{query}")


def test_the_list_is_paged_and_takes_the_same_statements(bot, editor, session, make, engine, wang):
    with counting(engine) as few:
        editor.page("/console/leads/")
    guide = make.guide()
    for n in range(60):
        contact = make.contact(guide, name=f"客{n:02}号")
        leads.raise_intent(session, contact.id, "定制", "x", bot.clock.now(), dedupe_key=f"p{n}")
    session.commit()
    with counting(engine) as many:
        page = editor.page("/console/leads/")
    assert few.count == many.count
    assert "客59号" in page
    assert "王小雨" not in page
    next_id = session.scalars(select(Lead.id).order_by(Lead.id.desc()).offset(49).limit(1)).one()
    assert f"before={next_id}" in page
    assert "王小雨" in editor.page(f"/console/leads/?before={next_id}")


@pytest.fixture
def li(session, make, wang):
    """李四 of another store, who has no lead yet."""
    guide = make.guide(make.store(name="徐汇店"), name="李四", userid="lisi")
    session.commit()
    return guide


@pytest.mark.parametrize("said", ["李四", "lisi", " LISI "])
def test_an_editor_gives_it_to_another_guide_who_hears_of_it(bot, editor, session, wang, li, said):
    now = bot.clock.now()
    # Whatever hour this runs at, it is no quiet one.
    hour = (now.astimezone(SHANGHAI).hour + 12) % 24
    session.get_one(Brand, 1).settings = {"quiet_hours": f"{hour:02}:00-{hour:02}:01"}
    leads.touch(session, wang, now)
    session.commit()
    page = editor.page("/console/leads/")
    assert '<option value="lisi">李四 · 徐汇店</option>' in page
    for _ in range(2):
        assert editor.post(f"/console/leads/{wang}/given", guide=said).status_code == 302

    lead = session.get_one(Lead, wang, populate_existing=True)
    assert (lead.guide_id, lead.store_id) == (li.id, li.store_id)
    assert (lead.state, lead.assigned_by) == ("assigned", "person")
    [alert] = session.scalars(select(Outbox).where(Outbox.kind == "alert")).all()
    assert json.loads(alert.body)["touser"] == "lisi"
    assert "总部指定" in editor.page("/console/leads/")
    notes = select(AuditEntry.object, AuditEntry.detail).where(AuditEntry.action == "lead.given")
    assert session.execute(notes).first() == (f"lead:{wang}", {"guide": "lisi"})


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("", "请写导购的姓名或账号"),
        ("<b>无名氏", "没有叫「＜b＞无名氏」的在职导购"),
        ("走了的", "没有叫「走了的」"),
        ("同名", "请写账号：a1、a2"),
    ],
)
def test_a_guide_who_cannot_be_meant_is_said_so(editor, session, make, wang, li, said, words):
    make.guide(name="走了的").is_active = False
    make.guide(name="同名", userid="a1")
    make.guide(name="同名", userid="a2")
    session.commit()
    before = session.get_one(Lead, wang, populate_existing=True).guide_id
    answer = editor.post(f"/console/leads/{wang}/given", guide=said)
    assert answer.status_code == 400
    assert words in answer.text
    assert session.get_one(Lead, wang, populate_existing=True).guide_id == before
    assert session.scalars(select(Outbox).where(Outbox.kind == "alert")).all() == []


def test_nobody_else_may_give_it_and_an_ended_one_stays(
    bot, viewer, stranger, editor, session, wang, li
):
    path = f"/console/leads/{wang}/given"
    assert viewer.post(path, guide="lisi").status_code == 403
    assert stranger.post(path, guide="lisi").status_code in (302, 401)
    assert editor.client.post(path, data={"guide": "lisi"}).status_code == 403
    assert "lisi" not in viewer.page("/console/leads/")
    assert "没有找到" in editor.post("/console/leads/999999/given", guide="lisi").text
    leads.lose(session, wang, "在别处买了", bot.clock.now())
    session.commit()
    assert "已经结束" in editor.post(path, guide="lisi").text
    lead = session.get_one(Lead, wang, populate_existing=True)
    assert (lead.state, lead.assigned_by) == ("lost", "relation")
