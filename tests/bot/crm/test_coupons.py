"""Coupons: every order of what was told gives the same coupon; our own numbers are known."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from itertools import permutations

import pytest
from sqlalchemy import select

from bot.crm import coupons
from bot.crm.models import Coupon, SourceEvent, TimelineEntry
from tests.bot.crm.events import NOW, START, accept, error_of, event, purchase, rows, the
from tests.factories import Make
from tests.locks import wait_for_a_lock


def coupon(id, state, at=0, who=None, **given):
    filled = {"coupon_no": "K1"} | ({"template": "生日礼券"} if state == "issued" else {})
    return event("coupon", id, who, at=at, state=state, **(filled | given))


def issue(session, contact, number, days=30):
    last = date(2026, 11, 21) + timedelta(days=days)
    return coupons.issue(session, [coupons.Issue(contact.id, "礼券", 5_000, last, number)], NOW)


def test_every_order_gives_one_redeemed_coupon_with_its_first_dates(session):
    told = [
        coupon("k1", "issued", 1, value_fen=100, expires_on="2026-12-01"),
        coupon("k2", "issued", 2, value_fen=200, who={"member_no": "M2"}),
        coupon("k3", "redeemed", 3, order_no="O1", who={"member_no": "M3"}),
        coupon("k4", "expired", 4),
    ]
    seen = set()
    for order in permutations(told):
        before = session.begin_nested()
        for one in order:
            accept(session, one)
        found = the(session, Coupon)
        assert (found.state, found.value_fen, found.order_no) == ("redeemed", 200, "O1")
        assert (found.issued_at - START, found.redeemed_at - START) == (
            timedelta(minutes=1),
            timedelta(minutes=3),
        )
        assert found.expires_on == date(2026, 12, 1)
        assert found.contact_id != found.redeemed_contact_id
        seen.add((found.issuer, found.order_source, found.template))
        before.rollback()
    assert seen == {("pos", "pos", "生日礼券")}


def test_a_coupon_nobody_issued_belongs_to_who_showed_it_first(session):
    accept(session, coupon("k2", "redeemed", 2, who={"member_no": "M2"}))
    accept(session, coupon("k1", "expired", 1))
    found = the(session, Coupon)
    first, second = session.scalars(select(SourceEvent).order_by(SourceEvent.occurred_at))
    assert (found.contact_id, found.redeemed_contact_id) == (first.contact_id, second.contact_id)


def test_our_numbers_are_known_as_ours_and_others_are_not():
    numbers = {coupons.new_number() for _ in range(500)}
    assert len(numbers) == 500
    assert all(coupons.is_ours(number) for number in numbers)
    assert not any(coupons.is_ours(one) for one in ("DG0", "DGILOU000000", "XX0123456789", ""))


def test_issuing_twice_changes_nothing_and_gives_the_same_ids(session):
    contact = Make(session).contact()
    first = issue(session, contact, "DG0000000001")
    assert issue(session, contact, "DG0000000001", days=99) == first
    found = the(session, Coupon)
    assert (found.issuer, found.state, found.expires_on) == ("daogou", "issued", date(2026, 12, 21))


def test_an_order_that_names_our_coupon_redeems_it_whichever_comes_first(session):
    contact = Make(session).contact()
    session.flush()
    who = {"external_userid": contact.external_userid}
    for number, is_issued_first in (("DG0000000001", True), ("DG0000000002", False)):
        told = purchase(number, number, who=who, coupon=number.lower())
        if is_issued_first:
            issue(session, contact, number)
        accept(session, told)
        if not is_issued_first:
            issue(session, contact, number)
    for found in rows(session, Coupon):
        assert (found.state, found.issuer, found.order_no) == (
            "redeemed",
            "daogou",
            found.coupon_no,
        )
        assert (found.contact_id, found.redeemed_contact_id) == (contact.id, contact.id)
        assert found.template == "礼券"


def test_a_coupon_of_ours_expires_the_day_after_its_last_and_a_late_redemption_still_counts(
    session,
):
    contact = Make(session).contact()
    issue(session, contact, "DG0000000001", days=1)
    accept(session, coupon("k1", "issued", expires_on="2026-10-30"))
    assert coupons.expire(session, date(2026, 11, 22)) == 0
    assert coupons.expire(session, date(2026, 11, 23)) == 1
    ours = next(one for one in rows(session, Coupon) if one.issuer == "daogou")
    assert ours.state == "expired"
    assert ours.expired_at == datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
    accept(session, coupon("k2", "redeemed", coupon_no="DG0000000001", order_no="O9"))
    assert next(one for one in rows(session, Coupon) if one.issuer == "daogou").state == "redeemed"


def test_a_coupon_that_ends_while_the_till_tells_of_it_ends(session, sessions):
    """Whoever writes a whole row must have read it when nobody could change it."""
    owner = Make(session).contact()
    issue(session, owner, "DG0000000001")
    session.commit()
    told = coupon("k1", "issued", 2, coupon_no="DG0000000001", template="新名字")

    def tell():
        with sessions() as other:
            accept(other, told)
            other.commit()

    coupons.expire(session, date(2027, 1, 1))
    telling = threading.Thread(target=tell)
    telling.start()
    try:
        wait_for_a_lock(sessions)
    finally:
        session.commit()
        telling.join(timeout=10)

    session.expire_all()
    found = the(session, Coupon)
    assert (found.state, found.expired_at is None) == ("expired", False)


def test_a_coupon_nobody_was_told_of_is_taken_back(session):
    contact = Make(session).contact()
    ids = issue(session, contact, "DG0000000001")
    assert coupons.void(session, ids.values(), NOW) == 1
    assert coupons.void(session, ids.values(), NOW) == 0
    assert the(session, Coupon).state == "expired"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"template": None}, "发券时 template 不能为空。"),
        ({"state": "used"}, "state 要是 issued、redeemed、expired 之一。"),
        ({"coupon_no": None}, "coupon_no 不能为空。"),
        ({"value_fen": -1}, "value_fen 要在 0 到"),
        ({"expires_on": "soon"}, "expires_on 要是日期"),
    ],
)
def test_a_malformed_coupon_is_refused_with_one_sentence(session, wrong, sentence):
    assert error_of(session, coupon("k1", "issued") | wrong).startswith(sentence)
    assert rows(session, Coupon) == []


def test_the_story_tells_of_the_coupon(session):
    accept(session, coupon("k1", "issued", value_fen=5_000))
    assert the(session, TimelineEntry).text == "收到优惠券「生日礼券」，面额 ¥50"
