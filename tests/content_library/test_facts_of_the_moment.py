"""Placeholders that hold for some days: coupons, points about to lapse, carts, appointments."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.clock import at
from bot.crm.models import Cart, Coupon, FestivalDay, Guide, PointsChange, SourceEvent
from bot.crm.prices import write
from content_library import placeholders
from content_library.models import CouponTemplate
from sop.models import Appointment, CouponIssue
from tests.factories import TODAY, Make
from tests.sop.work import step_of, task_of

SAID = (
    "{优惠券码}|{优惠券面额}|{优惠券门槛}|{优惠券到期日}"
    "|{到期积分}|{积分到期日}|{购物车商品}|{预约时间}"
)


@pytest.fixture
def make(session):
    make = Make(session)
    make.brand(survey_url="https://example.com/bye")
    return make


@pytest.fixture
def contact(make):
    return make.contact(make.guide())


def coupon(session, contact, number, *, days, **given):
    session.add(
        Coupon(
            **{
                "issuer": "mall",
                "coupon_no": number,
                "contact_id": contact.id,
                "state": "issued",
                "value_fen": 20_000,
                "expires_on": TODAY + timedelta(days=days),
            }
            | given
        )
    )


def points(session, contact, remaining, *, days):
    event = SourceEvent(
        source="erp", event_id=f"p{remaining}", kind="points", occurred_at=at(TODAY, 1), body={}
    )
    session.add(event)
    session.flush()
    session.add(
        PointsChange(
            source_event_id=event.id,
            source="erp",
            contact_id=contact.id,
            delta=remaining or 5,
            remaining=remaining,
            expires_on=TODAY + timedelta(days=days),
            changed_at=at(TODAY, 1),
            changed_on=TODAY,
            event_id=event.event_id,
        )
    )


def cart(session, contact, *, opened_at):
    session.add(
        Cart(
            source="mall",
            cart_id="c1",
            contact_id=contact.id,
            state="added",
            opened_at=opened_at,
            opened_on=TODAY,
            changed_at=opened_at,
            event_id="e1",
            lines=[],
            amount_fen=100,
            categories=[],
            first_item="星芒对戒",
        )
    )


def said(session, contact, words=SAID):
    session.flush()
    pair = (contact.id, contact.guide_id)
    facts = placeholders.load_facts(session, [pair], TODAY)
    filled = placeholders.fill(words, facts[pair])
    asked = placeholders.load_facts(session, [pair], TODAY, placeholders.names(words))
    # What is not asked for is not looked for, and what is asked for says the same.
    assert placeholders.fill(words, asked[pair]) == filled
    return filled


def test_what_is_due_first_is_spoken_of(session, contact):
    coupon(session, contact, "LATER", days=20)
    coupon(session, contact, "SOON", days=9, value_fen=50)
    coupon(session, contact, "OVER", days=-1)
    coupon(session, contact, "USED", days=3, state="redeemed")
    points(session, contact, 1200, days=40)
    points(session, contact, 0, days=2)
    cart(session, contact, opened_at=at(TODAY, 10))
    session.add(
        Appointment(
            contact_id=contact.id,
            guide_id=contact.guide_id,
            state="booked",
            slot_at=at(TODAY + timedelta(days=7), 15),
            slot_on=TODAY + timedelta(days=7),
        )
    )
    assert said(session, contact) == (
        "SOON|0.50 元|使用规则以券面为准|11月30日|1,200|12月31日|星芒对戒|11月28日（周六）15:00"
    )


def test_each_placeholder_is_known_without_the_others(session, make, contact):
    coupon(session, contact, "SOON", days=9, value_fen=50)
    points(session, contact, 1200, days=40)
    make.purchase(contact, on=TODAY - timedelta(days=3), name="素圈对戒")
    cart(session, contact, opened_at=at(TODAY, 10))
    for name in placeholders.PLACEHOLDERS:
        said(session, contact, f"{{{name}}}")
    assert said(session, contact, "{上次购买品名}{距上次购买天数}") == "素圈对戒3"


def test_the_coupon_of_todays_task_goes_before_one_that_ends_sooner(session, contact):
    coupon(session, contact, "SOON", days=1)
    coupon(session, contact, "DGTODAY", days=30, issuer="daogou", issued_on=TODAY)
    coupon(session, contact, "DGOLD", days=2, issuer="daogou", issued_on=TODAY - timedelta(days=9))
    assert said(session, contact, "{优惠券码}") == "DGTODAY"


@pytest.mark.parametrize(("least", "rule"), [(200_000, "满 2,000 元可用"), (0, "不限消费金额")])
def test_a_coupon_says_from_how_much_on_it_is_good(session, contact, least, rule):
    given = {"title": "生日礼券", "value_fen": 20_000, "valid_days": 30}
    session.add(CouponTemplate(name="生日礼券", least_spend_fen=least, **given))
    coupon(session, contact, "DG1", days=30, issuer="daogou", template="生日礼券")
    assert said(session, contact, "{优惠券面额}礼券，{优惠券门槛}") == f"200 元礼券，{rule}"


def test_a_coupon_of_the_mall_makes_no_rule_of_ours(session, contact):
    given = {"title": "生日礼券", "value_fen": 20_000, "valid_days": 30}
    session.add(CouponTemplate(name="生日礼券", least_spend_fen=200_000, **given))
    coupon(session, contact, "MALL1", days=30, template="生日礼券")
    assert said(session, contact, "{优惠券门槛}") == "使用规则以券面为准"


def test_a_task_that_was_carried_over_names_its_own_coupon(session, contact):
    guide, early = session.get_one(Guide, contact.guide_id), TODAY - timedelta(days=2)
    for number, state, on in (("DGTODAY", "done", TODAY), ("DGCARRIED", "open", early)):
        coupon(session, contact, number, days=30, issuer="daogou", issued_on=on)
        session.flush()
        task = task_of(session, step_of(session), contact, guide, state=state)
        own = session.scalar(select(Coupon.id).where(Coupon.coupon_no == number))
        session.add(CouponIssue(task_id=task.id, coupon_id=own))
    assert said(session, contact, "{优惠券码}") == "DGCARRIED"


def test_a_cart_that_was_bought_is_not_spoken_of(session, make, contact):
    cart(session, contact, opened_at=at(TODAY, 10))
    make.purchase(contact, on=TODAY)
    assert said(session, contact, "{购物车商品}") == "看中的款式"


def test_without_any_of_it_the_sentence_stays_one(session, contact):
    assert said(session, contact, "送您一张{优惠券面额}礼券，{优惠券到期日}前可用") == (
        "送您一张专属礼券，券面日期前可用"
    )


def test_only_the_price_of_this_very_day_is_said(session, contact):
    write(session, "金价", TODAY - timedelta(days=1), 60_000, at(TODAY, 1))
    assert said(session, contact, "{今日金价}") == "今日金价请以门店公示为准"
    write(session, "金价", TODAY, 62_850, at(TODAY, 1))
    assert said(session, contact, "{今日金价}") == "今日金价 628.50 元/克"


def test_the_questionnaire_and_the_next_festival_are_the_brands(session, contact):
    for name, days in (("圣诞节", 34), ("感恩节", 5), ("双十一", -10)):
        session.add(FestivalDay(name=name, held_on=TODAY + timedelta(days=days)))
    assert said(session, contact, "{问卷链接} {下一个节日}") == "https://example.com/bye 感恩节"


def test_words_with_a_coupon_are_the_customers_own():
    for name in ("优惠券码", "到期积分", "购物车商品", "预约时间"):
        assert placeholders.uses_own_facts(f"{{{name}}}")
    for name in ("今日金价", "问卷链接", "下一个节日"):
        assert not placeholders.uses_own_facts(f"{{{name}}}")
