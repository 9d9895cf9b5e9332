"""What the till and the mall report is what intake takes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from bot.crm import intake
from bot.sandbox import till
from bot.sandbox.official_account import openid_of
from tests.bot.sandbox.conftest import World

RING: dict[str, Any] = {"name": "对戒", "category": "对戒", "amount_fen": 100}


def test_every_act_of_the_till_is_an_event_that_intake_accepts(world: World) -> None:
    town, person = world.town, "wmLiLei"
    order = till.buy(town, person, [RING], store="SH001")
    till.refund(town, person, order, 50)
    till.enroll(town, person, member_no="M1", level="金卡")
    cart = till.fill_cart(town, person, [RING])
    till.end_cart(town, person, cart, "removed")
    till.change_points(town, person, 100, balance=100, expires_on="2099-12-31", reason="消费")
    till.tell_coupon(town, person, "K1", "issued", template="生日礼券", value_fen=5_000)
    till.tell_coupon(town, person, "K1", "redeemed", order_no=order)
    till.visit(town, person, "SH001")
    till.view(town, person, "求婚指南", seconds=12)
    till.move_order(town, person, order, guide="wangfang")
    till.merge_cards(town, person, "M1", "M0")
    till.opt_out(town, person, "sms")
    with town.read() as db:
        letters = db.execute("SELECT plaintext FROM callback WHERE channel = 'till' ORDER BY id")
        events = [json.loads(letter["plaintext"])[0] for letter in letters]
    now = town.clock.now() + timedelta(seconds=1)
    facts = [intake.read_event(0, one, now=now, secret_key="a key of the tests") for one in events]
    assert {fact.kind for fact in facts} == set(intake.KINDS)
    assert len({fact.event_id for fact in facts}) == len(events) == 13
    (card,) = (one for one in events if one["type"] == "member")
    assert card["openid"] == openid_of(person)
