"""Carts, points, coupons, visits and corrections, from the till over the wire to the book."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from bot.crm.models import (
    Cart,
    Contact,
    ContactActivity,
    ContactIdentity,
    Coupon,
    Guide,
    Member,
    OptOut,
    PointsChange,
    Purchase,
    TimelineEntry,
)
from bot.sandbox import till
from bot.sandbox.official_account import openid_of
from tests.scenarios.packs import pack
from tests.world import World

RING = {"name": "星芒对戒", "category": "对戒", "amount_fen": 1_280_000}


@pytest.fixture
def friends(world: World) -> World:
    world.load(pack())
    world.customer.adds()
    world.settle()
    return world


def test_everything_the_till_tells_of_a_friend_is_hers(friends: World) -> None:
    town, person = friends.town, friends.customer.id
    friends.customer.joins(member_no="M1", level="金卡")
    order = friends.customer.buys()
    till.fill_cart(town, person, [RING], cart_id="C1")
    till.change_points(town, person, 128, balance=128, expires_on="2099-12-31")
    friends.pass_time(minutes=1)
    till.change_points(town, person, -28, balance=100)
    till.tell_coupon(town, person, "K1", "issued", template="生日礼券", value_fen=5_000)
    till.tell_coupon(town, person, "K1", "redeemed", order_no=order)
    till.visit(town, person, "SH001")
    till.view(town, person, "求婚指南", seconds=30)
    till.opt_out(town, person, "sms")
    friends.settle()
    [contact] = friends.scalars(select(Contact).where(Contact.external_userid == person))
    [cart], [coupon] = friends.scalars(select(Cart)), friends.scalars(select(Coupon))
    assert (cart.contact_id, cart.state, cart.first_item) == (contact.id, "added", "星芒对戒")
    assert (coupon.contact_id, coupon.state, coupon.order_no) == (contact.id, "redeemed", order)
    assert friends.scalars(select(Member.points)) == [100]
    left = select(PointsChange.remaining).where(PointsChange.delta > 0)
    assert friends.scalars(left) == [100]
    [signs] = friends.scalars(select(ContactActivity))
    assert signs.visited_on == signs.viewed_on == cart.opened_on
    assert friends.scalars(select(OptOut.channel)) == ["sms"]
    openids = select(ContactIdentity.value).where(ContactIdentity.kind == "openid")
    assert friends.scalars(openids) == [openid_of(person)]
    told = set(friends.scalars(select(TimelineEntry.kind)))
    assert {"cart", "coupon", "visited", "viewed", "opt_out", "purchased"} <= told


def test_an_order_that_was_moved_and_a_card_that_was_merged_are_put_right(friends: World) -> None:
    town, person = friends.town, friends.customer.id
    friends.customer.joins(member_no="M1")
    order = friends.customer.buys()
    [guide] = friends.scalars(select(Guide).where(Guide.userid != "wangfang").limit(1))
    till.move_order(town, person, order, guide=guide.userid)
    till.merge_cards(town, person, "M2", "M1")
    friends.settle()
    [found] = friends.scalars(select(Purchase))
    [contact] = friends.scalars(select(Contact).where(Contact.external_userid == person))
    assert (found.guide_id, found.contact_id) == (guide.id, contact.id)
    assert friends.scalars(select(Member.member_no)) == ["M2"]
