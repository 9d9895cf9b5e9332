"""The list and the page of an SOP: what is said of each, holding it, going back."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from bot.crm.models import AuditEntry
from sop import versions
from sop.models import Sop, SopVersion, VersionState
from tests.factories import TODAY
from tests.fixtures_db import counting
from tests.sop.plans import night, publish, sop_id, spec, step

FOLLOWED = {"kind": "followed"}
AUDIENCE = {"all": [{"field": "total_spend_fen", "op": ">=", "value": 5000000}]}


@pytest.fixture
def plans(session, make):
    publish(session, spec("新客首月", FOLLOWED, audience=AUDIENCE))
    versions.save_draft(session, "生日关怀", spec("生日关怀", {"kind": "birthday"}), None)
    session.commit()


def test_the_list_says_trigger_audience_and_state_in_words(editor, plans):
    page = editor.page("/console/sops/")
    assert "客户加导购为好友" in page
    assert "累计消费不少于 5 万元" in page
    assert "已发布 v1" in page
    assert ">草稿<" in page


def test_the_list_counts_customers_and_tasks(bot, editor, session, make):
    day = bot.clock.now().date()
    for _ in range(3):
        make.contact(make.guide(), followed_on=day)
    publish(session, spec("新客", FOLLOWED))
    night(session, day)
    page = editor.page("/console/sops/")
    assert page.count('data-label="在组客户">3<') == 1


def test_the_search_finds_by_name_and_stays_in_its_box(editor, plans):
    page = editor.page("/console/sops/?q=生日")
    assert "生日关怀" in page
    assert "新客首月" not in page
    assert 'value="生日"' in page
    assert "没有叫「%」的 SOP" in editor.page("/console/sops/?q=%25")
    assert editor.get("/console/sops/?q=%00").status_code == 200


def test_an_empty_list_invites_to_make_the_first_one(editor, make, session):
    session.commit()
    assert "新建第一个 SOP" in editor.page("/console/sops/")


def test_the_list_takes_as_many_statements_for_thirty_as_for_two(
    app, editor, session, plans, engine
):
    def statements():
        app.extensions.pop("console.numbers", None)
        with counting(engine) as seen:
            editor.page("/console/sops/")
        return seen.count

    few = statements()
    for n in range(28):
        versions.save_draft(session, f"计划{n}", spec(f"计划{n}", FOLLOWED), f"operator:{n}")
    session.commit()
    assert statements() == few < 15


def test_holding_and_letting_go_are_written_down(editor, session, plans):
    number = sop_id(session, "新客首月")
    editor.post(f"/console/sops/{number}/pause")
    assert "已暂停" in editor.page("/console/sops/")
    assert session.get_one(Sop, number).is_paused
    editor.post(f"/console/sops/{number}/resume")
    session.expire_all()
    assert not session.get_one(Sop, number).is_paused
    actions = session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()
    assert actions == ["sop.pause", "sop.resume"]


def test_the_history_says_in_words_what_each_version_changed(editor, session, make):
    publish(session, spec("新客", FOLLOWED, step("问候"), step("回访", 7)))
    publish(session, spec("新客", FOLLOWED, step("问候"), step("回访", 9), audience=AUDIENCE))
    publish(session, spec("新客", FOLLOWED, step("问候"), audience=AUDIENCE))
    page = editor.page(f"/console/sops/{sop_id(session, '新客')}")
    assert "去掉了「回访」（第 9 天）" in page
    assert "累计消费不少于 5 万元" in page
    assert "原为「所有客户」" in page


def test_going_back_makes_a_draft_and_touches_nobody(editor, session, make):
    first = publish(session, spec("新客", FOLLOWED, step("原来的")))
    second = publish(session, spec("新客", FOLLOWED, step("后来的")))
    answer = editor.post(f"/console/sops/{first.sop_id}/versions/{first.id}/restore")
    assert answer.location.endswith(f"/console/sops/{first.sop_id}/edit")
    states = dict(session.execute(select(SopVersion.id, SopVersion.state)).all())
    assert states[second.id] == VersionState.PUBLISHED
    draft = session.scalars(select(SopVersion).where(SopVersion.state == "draft")).one()
    assert versions.spec_of(session, draft.id)["steps"][0]["title"] == "原来的"


def test_a_version_of_another_sop_cannot_be_brought_here(editor, session, make):
    mine = publish(session, spec("甲", FOLLOWED))
    other = publish(session, spec("乙", FOLLOWED))
    answer = editor.post(f"/console/sops/{mine.sop_id}/versions/{other.id}/restore")
    assert answer.status_code == 404


def test_the_page_shows_the_steps_with_their_words(editor, session, make):
    point = make.talking_point("{客户称呼}，今天认识您很高兴", name="问候语")
    chat = {"day": 0, "at": "+2h", "kind": "chat", "title": "问候", "talking_point": point.name}
    publish(session, spec("新客", FOLLOWED, chat), on=TODAY)
    page = editor.page(f"/console/sops/{sop_id(session, '新客')}")
    assert "当天 2 小时后" in page
    assert "{客户称呼}，今天认识您很高兴" in page
