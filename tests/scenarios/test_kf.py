"""Keyword replies in 微信客服: the customer's own facts, or a person."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from bot.crm.models import KfMessage
from bot.sandbox import knobs
from tests.scenarios.packs import pack
from tests.world import World

REPLIES: list[dict[str, Any]] = [
    {
        "name": "积分",
        "match": ["积分", "我的积分"],
        "how": "contains",
        "reply": "{客户称呼}，您现有 {积分余额} 积分。",
    },
    {"name": "保养", "match": ["保养"], "how": "exact", "reply": "欢迎到店免费清洗。"},
    {"name": "预约", "match": ["预约"], "how": "contains", "reply": "帮您约。", "hand_over": True},
]


@pytest.fixture
def member(world: World) -> World:
    world.load(pack(keyword_replies=REPLIES))
    world.customer.joins(member_no="M1", points=1280)
    world.customer.adds()
    world.settle()
    return world


def _states(world: World) -> list[tuple[str, int]]:
    return [(one.who, one.payload["after"]) for one in world.effects("kf_state_changed")]


def test_points_are_answered_with_her_own(member: World) -> None:
    member.customer.writes_kf("查一下我的积分")
    assert member.customer.reads_kf() == ["韩女士，您现有 1,280 积分。"]


def test_exact_means_exact(member: World) -> None:
    member.customer.writes_kf("保养")
    assert member.customer.reads_kf() == ["欢迎到店免费清洗。"]


def test_no_match_hands_over_to_her_guide(member: World) -> None:
    member.customer.writes_kf("你们店有几层楼")
    assert member.customer.reads_kf() == ["收到，我请同事来回复您，请稍等。"]
    assert ("wangfang", 3) in _states(member)


def test_a_reply_may_hand_over_as_well(member: World) -> None:
    member.customer.writes_kf("我想预约")
    assert member.customer.reads_kf() == ["帮您约。"]
    assert ("wangfang", 3) in _states(member)


def test_a_stranger_asking_for_her_points_gets_a_person_not_a_hole(world: World) -> None:
    world.load(pack(keyword_replies=REPLIES))
    world.customer.writes_kf("积分")
    [said] = world.customer.reads_kf()
    assert "{" not in said
    assert "同事" in said


def test_every_message_is_answered_once_over_pages_and_doubled_callbacks(member: World) -> None:
    knobs.turn(member.town, callback_duplicate=1.0, kf_page_size=1, kf_empty_pages=1)
    for text in ("积分", "保养", "积分"):
        member.customer.writes_kf(text)
    assert len(member.customer.reads_kf()) == 3
    assert len(member.scalars(select(KfMessage).where(KfMessage.origin == 3))) == 3


def test_a_lost_bell_is_made_good_by_the_next_one(member: World) -> None:
    knobs.turn(member.town, callback_loss=1.0)
    member.customer.writes_kf("积分")
    member.settle()
    assert member.customer.reads_kf() == []
    knobs.turn(member.town, callback_loss=0.0)
    member.customer.writes_kf("保养")
    assert len(member.customer.reads_kf()) == 2
