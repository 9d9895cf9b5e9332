"""leads, lost, funnel and coupons in the terminal."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from bot.clock import Clock, at, business_day
from sop import appointments, coupon_sends, leads
from sop import tasks as actions
from tests.factories import Make
from tests.handlers.commands.conftest import Run
from tests.sop.work import coupon_template, step_of, task_of

NOW = Clock().now()
DAY = business_day(NOW)


@pytest.fixture
def make(session: Session) -> Make:
    make = Make(session)
    make.brand()
    return make


def test_leads_are_listed_with_their_state(daogou: Run, session: Session, make: Make) -> None:
    contact = make.contact(make.guide(name="王芳"), name="韩梅")
    lead = leads.raise_intent(session, contact.id, "定制", "想订做", NOW, dedupe_key="1")
    session.commit()

    assert daogou("leads").out == f"{lead}. 韩梅（王芳）60 分 待联系  问到定制：「想订做」\n"
    assert daogou("leads", "--state", "won").out == "没有这样的线索。\n"
    [row] = json.loads(daogou("leads", "--json", "--since", str(DAY)).out)
    assert (row["id"], row["state"], row["is_hot"]) == (lead, "assigned", True)
    daogou("leads", "--state", "warm").refused("warm")


def test_the_lost_are_listed_to_the_last(daogou: Run, session: Session, make: Make) -> None:
    guide = make.guide(name="王芳")
    for n in range(3):
        contact = make.contact(None, name=f"客{n}")
        relation = make.follow(guide, contact, followed_on=DAY - timedelta(days=10))
        relation.state, relation.ended_on = "ended", DAY
        relation.ended_by = "guide" if n else "customer"
    session.commit()

    assert "共 3 位" in daogou("lost").out
    said = daogou("lost", "--direction", "customer").out
    assert "客0  客户删除了导购  王芳" in said
    assert "共 1 位" in said
    assert len(json.loads(daogou("lost", "--json").out)) == 3


def test_the_funnel_is_said_in_two_lines(daogou: Run, session: Session, make: Make) -> None:
    guide = make.guide(make.store(code="S1"))
    contact = make.contact(guide)
    row = appointments.by_hand(session, contact.id, guide.id, guide.store_id, NOW)
    appointments.arrive(session, row.id, at=NOW, by="guide:x")
    make.purchase(contact, on=DAY, amount_fen=1_280_000)
    session.commit()

    said = daogou("funnel", "--store", "S1").out
    assert "邀约 1 → 约好 0 → 到店 1 → 有意向 0 → 成交 1" in said
    assert "首次购买 1 位，成交金额 ¥12,800" in said
    assert json.loads(daogou("funnel", "--json").out)["bought"] == 1
    daogou("funnel", "--store", "nowhere").refused("没有这家门店")
    daogou("funnel", "--sop", "nothing").refused("没有这个 SOP")
    tomorrow = str(DAY + timedelta(days=1))
    daogou("funnel", "--since", tomorrow).refused("不能早于")


def test_coupons_go_to_the_till_as_a_table(daogou: Run, session: Session, make: Make) -> None:
    guide = make.guide()
    contact = make.contact(guide)
    make.member(contact, member_no="M1")
    step = step_of(session, sop="生日", coupon_template_id=coupon_template(session).id)
    task = task_of(session, step, contact, guide, on=DAY)
    coupon_sends.issue_for_open(session, DAY, at(DAY, 3))
    actions.complete(session, task.id, guide.id, at(DAY, 12))
    session.commit()

    written = daogou("coupons", "--csv").out
    [row] = csv.DictReader(io.StringIO(written.removeprefix("\ufeff")))
    assert row["coupon_no"].startswith("DG")
    assert (row["member_no"], row["value_fen"], row["state"]) == ("M1", "20000", "issued")
    assert "生日 · 邀约到店：发 1 张，核销 0 张，带来 ¥0" in daogou("coupons", "--results").out
    assert "未用" in daogou("coupons").out
    later = str(DAY + timedelta(days=1))
    assert daogou("coupons", "--issued-since", later).out == f"{later} 起没有发过券。\n"
    daogou("coupons", "--csv", "--results").refused()


def test_what_people_wrote_is_no_formula_in_the_tills_table(
    daogou: Run, session: Session, make: Make
) -> None:
    guide = make.guide()
    contact = make.contact(guide)
    make.member(contact, member_no="@SUM(A1)")
    template = coupon_template(session, name="=1+1")
    step = step_of(session, sop="生日", coupon_template_id=template.id)
    task_of(session, step, contact, guide, on=DAY)
    coupon_sends.issue_for_open(session, DAY, at(DAY, 3))
    session.commit()

    written = daogou("coupons", "--csv").out
    [row] = csv.DictReader(io.StringIO(written.removeprefix("\ufeff")))
    assert (row["template"], row["member_no"]) == ("'=1+1", "'@SUM(A1)")
