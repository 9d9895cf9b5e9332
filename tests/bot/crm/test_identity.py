"""One person by whatever number; what hangs on numbers of two shops stays apart."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select

from bot.crm import identity, intake
from bot.crm.models import Cart, CartChange, ContactIdentity, Coupon, IdentityKind, Member
from bot.db import transaction
from tests.bot.crm.events import (
    KEY,
    NOW,
    accept,
    error_of,
    event,
    line,
    live_contacts,
    member,
    purchase,
    the,
)


def test_the_account_of_one_mall_is_nobody_in_another(session):
    for source in ("mall", "mini"):
        accept(session, purchase(source, source, who={"mall_id": "77"}) | {"source": source})
    assert len(live_contacts(session)) == 2
    told = member("m1", mall_id="77", openid="o1") | {"source": "mall"}
    accept(session, told)
    # The card came to the person of that mall.
    assert len(live_contacts(session)) == 2
    values = session.scalars(
        select(ContactIdentity.value)
        .where(ContactIdentity.contact_id == the(session, Member).contact_id)
        .order_by(ContactIdentity.value)
    )
    assert values.all() == ["M1", "mall:77", "o1"]


def test_a_person_may_have_accounts_in_two_malls_and_two_openids(session):
    accept(session, member("m1", mall_id="1", openid="o1") | {"source": "mall"})
    accept(session, member("m2", mall_id="2", openid="o2") | {"source": "mini"})
    (person,) = live_contacts(session)
    for typed in ("mall:1", "mini:2", "o1", "o2", "M1"):
        assert identity.find(session, typed, secret_key=KEY) is person


def test_a_new_kind_of_number_ranks_between_the_card_and_the_mobile():
    assert identity.STRENGTH == (
        "external_userid",
        "unionid",
        "member_no",
        "mall_id",
        "openid",
        "mobile",
    )
    assert list(identity.STRENGTH) == [kind.value for kind in IdentityKind]


@pytest.mark.parametrize(
    ("who", "sentence"),
    [
        ({}, "who 要有 external_userid、unionid、member_no、mall_id、openid、mobile 之一。"),
        ({"mall_id": 7}, "mall_id 要是文字。"),
        ({"openid": "x" * 129}, "openid 最多 128 个字。"),
    ],
)
def test_a_person_nobody_can_know_is_refused_with_one_sentence(session, who, sentence):
    assert error_of(session, purchase(who=who)) == sentence


def test_two_batches_about_one_cart_and_one_coupon_at_once_lose_nothing(sessions):
    """Each writer holds the cart and the coupon until it has committed."""
    failed = []

    def tell(name, at):
        events = [
            event(
                "cart",
                f"c{name}",
                {"member_no": name},
                at=at,
                cart_id="C1",
                state="added",
                lines=[line(amount_fen=at)],
            ),
            event(
                "coupon",
                f"k{name}",
                {"member_no": name},
                at=at,
                coupon_no="K1",
                state="redeemed" if at == 1 else "issued",
                template=f"券{at}",
            ),
        ]
        try:
            with transaction(sessions) as session:
                result = intake.receive(session, events, now=NOW, secret_key=KEY)
                assert result.accepted == 2
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=tell, args=(f"M{at}", at)) for at in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with sessions() as session:
        cart, coupon = session.scalars(select(Cart)).one(), session.scalars(select(Coupon)).one()
        assert len(session.scalars(select(CartChange)).all()) == 8
        assert (cart.amount_fen, cart.opened_at < cart.changed_at) == (8, True)
        assert (coupon.template, coupon.state) == ("券8", "redeemed")


@pytest.mark.parametrize("typed", ["\x00", "M1\udcff", "", "9" * 30])
def test_a_number_nobody_can_have_finds_nobody(session, typed):
    accept(session, member("m1"))
    assert identity.find(session, typed, secret_key=KEY) is None
