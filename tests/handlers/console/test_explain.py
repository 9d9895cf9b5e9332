"""Why a customer has, or has not, something to hear of on a day, as HQ reads it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.clock import business_day
from bot.crm.models import AuditEntry
from tests.sop.plans import night, publish, spec


@pytest.fixture
def today(bot):
    return business_day(bot.clock.now())


@pytest.fixture
def wang(session, make, today):
    guide = make.guide(name="张三")
    contact = make.contact(guide, name="王小雨", followed_on=today)
    audience = {"field": "purchase_count", "op": ">=", "value": 3}
    publish(session, spec("新客首月", {"kind": "followed"}))
    publish(session, spec("老客回访", {"kind": "followed"}, audience=audience))
    night(session, today)
    session.commit()
    return contact


def test_a_task_says_why_and_another_plan_says_why_not(viewer, wang):
    page = viewer.page(f"/console/contacts/{wang.id}/explain")
    for words in ("王小雨", "张三", "新客首月一步", "加为好友", "老客回访", "没有任务的 SOP"):
        assert words in page
    assert page.index("新客首月") < page.index("老客回访")


def test_each_day_has_its_own_page(viewer, wang, today):
    other = today - timedelta(days=3)
    page = viewer.page(f"/console/contacts/{wang.id}/explain?day={other}")
    assert "这一天没有任务" in page
    assert f"day={other - timedelta(days=1)}" in page
    assert f"day={other + timedelta(days=1)}" in page


@pytest.mark.parametrize("day", ["x", "2026-02-30", "9999-12-31", "0000-00-00", "' OR 1=1"])
def test_nonsense_for_a_day_is_today(viewer, wang, day):
    answer = viewer.client.get(f"/console/contacts/{wang.id}/explain", query_string={"day": day})
    assert answer.status_code == 200
    assert "新客首月一步" in answer.text


def test_every_look_is_written_down_and_nobody_unknown_is_explained(viewer, session, make, wang):
    gone = make.contact(merged_into_id=wang.id)
    session.commit()
    viewer.page(f"/console/contacts/{wang.id}/explain")
    for contact_id in (gone.id, 999_999_999):
        assert viewer.get(f"/console/contacts/{contact_id}/explain").status_code == 404
    rows = session.execute(select(AuditEntry.actor, AuditEntry.action, AuditEntry.object)).all()
    assert ("operator:demo-viewer", "contact.explain", f"contact:{wang.id}") in rows
    assert len([row for row in rows if row[1] == "contact.explain"]) == 1


def test_what_people_wrote_is_shown_as_letters(viewer, session, make, wang):
    wang.name = "<script>alert(1)</script>"
    session.commit()
    page = viewer.page(f"/console/contacts/{wang.id}/explain")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
