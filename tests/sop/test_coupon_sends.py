"""A task that gives a coupon gives one, and what the coupon brought is counted once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.clock import at, business_day
from bot.crm.models import Coupon
from sop import coupon_sends, results
from sop import tasks as actions
from sop.models import Appointment, CouponIssue, SopVersion, Touch
from tests.fixtures_db import counting
from tests.sop.plans import TODAY, night, publish, spec, step, tasks
from tests.sop.work import coupon_template, step_of, task_of

NOW = at(TODAY, 3)


@pytest.fixture(name="step")
def step_with_coupon(session, make):
    template = coupon_template(session, name="生日礼券")
    return step_of(session, sop="生日", title="送券", coupon_template_id=template.id)


def coupons_of(session):
    query = select(Coupon).order_by(Coupon.id).execution_options(populate_existing=True)
    return list(session.scalars(query))


def sop_of(session, step):
    return session.get_one(SopVersion, step.version_id).sop_id


def test_an_open_task_gets_one_coupon_however_often_it_is_planned(session, make, step):
    guide = make.guide()
    contact = make.contact(guide)
    task = task_of(session, step, contact, guide)
    plain = task_of(session, step_of(session), make.contact(guide), guide)

    assert coupon_sends.issue_for_open(session, TODAY, NOW) == 1
    assert coupon_sends.issue_for_open(session, TODAY, NOW) == 0

    [coupon] = coupons_of(session)
    assert (coupon.issuer, coupon.template, coupon.value_fen) == ("daogou", "生日礼券", 20_000)
    assert (coupon.contact_id, coupon.state) == (contact.id, "issued")
    assert (coupon.issued_on, coupon.expires_on) == (TODAY, TODAY + timedelta(days=30))
    assert len(coupon.coupon_no) == 12
    assert session.get(CouponIssue, task.id).coupon_id == coupon.id
    assert session.get(CouponIssue, plain.id) is None


@pytest.mark.parametrize("days", [-1, 0, 1, 7])
def test_a_coupon_carries_the_day_of_its_task_whenever_it_is_issued(session, make, step, days):
    guide = make.guide()
    day = TODAY + timedelta(days=days)
    task_of(session, step, make.contact(guide), guide, on=day)

    assert coupon_sends.issue_for_open(session, day, NOW) == 1

    [coupon] = coupons_of(session)
    assert (coupon.issued_on, coupon.expires_on) == (day, day + timedelta(days=30))
    assert business_day(coupon.issued_at) == day
    assert results.of_sop(session, sop_of(session, step), day, day)[0].issued == 1


def test_only_the_customers_asked_for_are_served(session, make, step):
    guide = make.guide()
    one, other = make.contact(guide), make.contact(guide)
    for contact in (one, other):
        task_of(session, step, contact, guide)
    assert coupon_sends.issue_for_open(session, TODAY, NOW, [other.id]) == 1
    assert [coupon.contact_id for coupon in coupons_of(session)] == [other.id]


@pytest.mark.parametrize("is_done", [True, False])
def test_a_task_left_out_takes_its_coupon_back_and_a_done_one_keeps_it(
    session, make, step, is_done
):
    guide = make.guide()
    task = task_of(session, step, make.contact(guide), guide)
    coupon_sends.issue_for_open(session, TODAY, NOW)
    act = actions.complete if is_done else actions.skip
    act(session, task.id, guide.id, at(TODAY, 12))

    coupon_sends.issue_for_open(session, TODAY + timedelta(days=1), NOW)

    assert coupons_of(session)[0].state == ("issued" if is_done else "expired")


@pytest.mark.parametrize("how", ["opened", "may have been sent", "nobody knew"])
def test_a_coupon_the_customer_may_know_of_stays_when_its_task_expires(session, make, step, how):
    guide = make.guide()
    task = task_of(session, step, make.contact(guide), guide)
    coupon_sends.issue_for_open(session, TODAY, NOW)
    if how == "opened":
        actions.mark_opened(session, task.id, guide.id, at(TODAY, 12))
    elif how == "may have been sent":
        session.add(
            Touch(contact_id=task.contact_id, touched_on=TODAY, channel="sms", task_id=task.id)
        )
    task.state = "expired"
    session.flush()

    coupon_sends.void(session, at(TODAY, 23))

    assert coupons_of(session)[0].state == ("expired" if how == "nobody knew" else "issued")


def test_a_coupon_that_was_redeemed_counts_although_its_task_expired(session, make, step):
    guide = make.guide()
    contact = make.contact(guide)
    task = task_of(session, step, contact, guide)
    task_of(session, step, make.contact(guide), guide).state = "expired"
    coupon_sends.issue_for_open(session, TODAY, NOW)
    task.state = "expired"
    redeemed(session, coupons_of(session)[0], make.purchase(contact, amount_fen=500_000))

    [row] = results.of_sop(session, sop_of(session, step), TODAY, TODAY)

    assert (row.issued, row.redeemed, row.money_fen) == (1, 1, 500_000)


def redeemed(session, coupon, purchase, *, on=TODAY):
    coupon.state, coupon.redeemed_at, coupon.redeemed_on = "redeemed", at(on, 15), on
    coupon.order_source, coupon.order_no = purchase.source, purchase.order_no
    session.flush()


def test_the_money_of_an_order_is_counted_once_and_falls_with_a_refund(session, make, step):
    guide = make.guide()
    people = [make.contact(guide) for _ in range(3)]
    for contact in people:
        task = task_of(session, step, contact, guide)
        coupon_sends.issue_for_open(session, TODAY, NOW)
        actions.complete(session, task.id, guide.id, at(TODAY, 12))
    order = make.purchase(people[0], amount_fen=500_000)
    first, second, _ = coupons_of(session)
    # Two coupons in one order: the money is there once.
    redeemed(session, first, order)
    redeemed(session, second, order)

    [row] = results.of_sop(session, sop_of(session, step), TODAY, TODAY)
    assert (row.sop, row.title, row.issued_on) == ("生日", "送券", TODAY)
    assert (row.issued, row.redeemed, row.money_fen) == (3, 2, 500_000)

    order.refunded_fen = 200_000
    session.flush()
    [row] = results.of_all(session, TODAY, TODAY)
    assert (row.issued_on, row.money_fen) == (None, 300_000)


def test_a_redemption_whose_order_is_not_there_yet_brings_nothing_until_it_comes(
    session, make, step
):
    guide = make.guide()
    contact = make.contact(guide)
    task_of(session, step, contact, guide)
    coupon_sends.issue_for_open(session, TODAY, NOW)
    [coupon] = coupons_of(session)
    coupon.state, coupon.redeemed_at, coupon.redeemed_on = "redeemed", at(TODAY, 15), TODAY
    coupon.order_source, coupon.order_no = "pos", "late"
    session.flush()
    assert results.of_all(session, TODAY, TODAY)[0].money_fen == 0
    make.purchase(contact, amount_fen=77, source="pos", order_no="late")
    assert results.of_all(session, TODAY, TODAY)[0].money_fen == 77


def test_the_till_gets_the_numbers_since_a_day(session, make, step):
    guide = make.guide()
    contact = make.contact(guide)
    make.member(contact, member_no="M1")
    task_of(session, step, contact, guide)
    coupon_sends.issue_for_open(session, TODAY, NOW)
    [number] = results.numbers(session, TODAY)
    assert (number.member_no, number.state, number.value_fen) == ("M1", "issued", 20_000)
    assert number.least_spend_fen == 0
    assert results.numbers(session, TODAY + timedelta(days=1)) == []


def test_many_tasks_take_as_many_statements_as_one(session, make, step, engine):
    guide = make.guide()

    def counted(people):
        for _ in range(people):
            task_of(session, step, make.contact(guide), guide)
        session.commit()
        with counting(engine) as seen:
            coupon_sends.issue_for_open(session, TODAY, NOW)
        return seen.count

    assert counted(1) == counted(50)


def test_the_night_issues_the_coupon_and_its_number_stands_in_the_words(session, make):
    guide = make.guide()
    make.contact(guide, followed_on=TODAY, name="王女士")
    coupon_template(session, name="新客礼券", value_fen=20_000, valid_days=30)
    make.talking_point("送您{优惠券面额}礼券 {优惠券码}，{优惠券到期日}前可用", name="送券")
    given = {"kind": "chat", "talking_point": "送券", "coupon": "新客礼券"}
    publish(session, spec("新客", {"kind": "followed"}, step("送券", **given)))

    night(session)
    night(session)

    [coupon] = coupons_of(session)
    [task] = tasks(session)
    assert task.words == f"送您200 元礼券 {coupon.coupon_no}，12月21日前可用"


def test_an_invitation_step_makes_the_appointment_with_its_gift(session, make):
    guide = make.guide()
    contact = make.contact(guide, followed_on=TODAY)
    make.talking_point("来店里坐坐", name="邀约")
    given = {"kind": "invite", "talking_point": "邀约", "gift": "小样一份"}
    publish(session, spec("沙龙", {"kind": "followed"}, step("邀约", **given)))

    night(session)
    night(session)

    [row] = session.scalars(select(Appointment)).all()
    assert (row.contact_id, row.state, row.gift) == (contact.id, "invited", "小样一份")
