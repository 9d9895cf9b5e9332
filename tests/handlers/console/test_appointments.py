"""The funnel of invitations and the list below it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.clock import at, business_day
from bot.crm.models import AuditEntry, Contact, Visit
from sop import appointments
from sop.models import Appointment, Intent
from tests.fixtures_db import counting
from tests.sop.plans import publish, spec


@pytest.fixture
def came(bot, session, make):
    """王小雨 was invited, came and bought; 李大山 is booked for tomorrow."""
    now = bot.clock.now()
    day = business_day(now)
    guide = make.guide(make.store(name="南京路店"), name="张三")
    wang, li = make.contact(guide, name="王小雨"), make.contact(guide, name="李大山")
    row = appointments.by_hand(session, wang.id, guide.id, guide.store_id, now)
    appointments.arrive(session, row.id, at=now, by="guide:x")
    appointments.say_intent(session, row.id, Intent.STRONG, now=now)
    make.purchase(wang, on=day, amount_fen=1_280_000)
    row = appointments.by_hand(session, li.id, guide.id, guide.store_id, now)
    slot = at(day + timedelta(days=1), 15)
    appointments.book(session, row.id, slot_at=slot, store_id=guide.store_id, by="x", now=now)
    session.commit()
    return day


def test_the_funnel_and_each_appointment_are_shown(viewer, came):
    page = viewer.page("/console/appointments/")
    for words in ("王小雨", "已到店", "意向强", "李大山", "已约好", "明天 15:00", "南京路店"):
        assert words in page
    for words in ("¥12,800", "50% 的邀约", "首次购买 1 位"):
        assert words in page
    # Who is still to come stands above who came.
    assert page.index("李大山") < page.index("王小雨")


def test_another_time_has_others(viewer, came):
    page = viewer.page(f"/console/appointments/?days=7&until={came - timedelta(days=1)}")
    assert "还没有邀约" in page


@pytest.mark.parametrize("query", ["days=x", "days=0", "days=100000", "until=never"])
def test_nonsense_in_the_address_shows_the_usual_days(viewer, came, query):
    assert "王小雨" in viewer.page(f"/console/appointments/?{query}")


def appointment(session, name):
    query = select(Appointment).join(Contact, Contact.id == Appointment.contact_id)
    named = query.where(Contact.name == name).execution_options(populate_existing=True)
    return session.scalars(named).one()


def audited(session):
    query = select(AuditEntry.actor, AuditEntry.action, AuditEntry.object)
    return [tuple(row) for row in session.execute(query) if row.action.startswith("appointment")]


def test_an_editor_says_who_came_and_what_came_of_it(editor, session, came):
    li = appointment(session, "李大山")
    page = editor.page("/console/appointments/")
    assert f"/console/appointments/{li.id}/arrived" in page
    for _ in range(2):
        assert editor.post(f"/console/appointments/{li.id}/arrived").status_code == 302
    said = {"outcome": "成交 <b>对戒</b>"}
    assert editor.post(f"/console/appointments/{li.id}/outcome", **said).status_code == 302

    li = appointment(session, "李大山")
    assert li.state == "arrived"
    assert "对戒" in li.outcome
    visits = select(Visit.id).where(Visit.contact_id == li.contact_id)
    assert len(session.scalars(visits).all()) == 1
    mine = ("operator:demo-editor", f"appointment:{li.id}")
    assert {(who, what) for who, _, what in audited(session)} == {mine}
    assert {action for _, action, _ in audited(session)} == {
        "appointment.arrived",
        "appointment.outcome",
    }
    page = editor.page("/console/appointments/")
    assert "对戒" in page
    assert "<b>对戒" not in page


def test_an_editor_cancels_for_a_customer_who_will_not_come(editor, session, came):
    li = appointment(session, "李大山")
    for _ in range(2):
        answer = editor.post(f"/console/appointments/{li.id}/cancelled", reason="出差")
        assert answer.status_code == 302
    li = appointment(session, "李大山")
    assert (li.state, li.outcome) == ("cancelled", "出差")
    page = editor.page("/console/appointments/")
    assert "已取消" in page
    assert f"/console/appointments/{li.id}/" not in page


@pytest.mark.parametrize("deed", ["arrived", "cancelled", "outcome"])
def test_nobody_else_may_change_an_appointment(viewer, stranger, editor, session, came, deed):
    li = appointment(session, "李大山")
    path = f"/console/appointments/{li.id}/{deed}"
    assert viewer.post(path, outcome="x").status_code == 403
    assert stranger.post(path, outcome="x").status_code in (302, 401)
    assert editor.client.post(path, data={"outcome": "x"}).status_code == 403
    assert "/arrived" not in viewer.page("/console/appointments/")
    answer = editor.post(f"/console/appointments/999999/{deed}", outcome="x")
    assert answer.status_code == 400
    assert "没有找到这个预约" in answer.text
    assert (appointment(session, "李大山").state, audited(session)) == ("booked", [])


@pytest.mark.parametrize(("deed", "said"), [("cancelled", "不能再改"), ("outcome", "请写上结果")])
def test_what_cannot_be_is_said_in_one_sentence(editor, session, came, deed, said):
    wang = appointment(session, "王小雨")
    answer = editor.post(f"/console/appointments/{wang.id}/{deed}", outcome=" ")
    assert answer.status_code == 400
    assert said in answer.text
    wang = appointment(session, "王小雨")
    assert (wang.state, wang.outcome, audited(session)) == ("arrived", None, [])


def test_store_and_sop_choose_and_stay_after_a_deed(viewer, editor, session, make, came):
    other = make.store(name="徐汇店")
    live = publish(session, spec("沙龙", {"kind": "followed"}))
    li = appointment(session, "李大山")
    li.sop_id = live.sop_id
    session.commit()
    page = viewer.page(f"/console/appointments/?sop={live.sop_id}&days=90")
    assert "李大山" in page
    assert "王小雨" not in page
    assert "¥0" in page
    assert f"sop={live.sop_id}" in page
    assert "没有符合筛选的邀约" in viewer.page(f"/console/appointments/?store={other.id}")
    path = f"/console/appointments/{li.id}/arrived?sop={live.sop_id}&days=90"
    answer = editor.post(path)
    assert answer.location.endswith(f"?days=90&sop={live.sop_id}")


def test_the_list_takes_as_many_statements_for_twenty_as_for_two(
    viewer, session, make, came, engine
):
    def statements():
        with counting(engine) as seen:
            viewer.page("/console/appointments/")
        return seen.count

    few = statements()
    guide = make.guide(make.store(name="徐汇店"))
    for n in range(18):
        contact = make.contact(guide, name=f"客户{n}")
        appointments.by_hand(session, contact.id, guide.id, guide.store_id, at(came, 12))
    session.commit()
    assert statements() == few < 12
