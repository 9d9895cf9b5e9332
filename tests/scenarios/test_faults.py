"""The line and the platform misbehave: nothing is lost, nothing reaches anybody twice."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from bot.crm.models import FollowRelation
from bot.outbox import Outbox
from bot.sandbox import knobs
from content_library.models import WelcomeSend
from tests.scenarios.packs import pack, sop, step
from tests.world import TODAY, World

D = timedelta(days=1)
WELCOME = "externalcontact/send_welcome_msg"
SEND = "message/send"


def _hurry(world: World, seconds: float = 15.0, pieces: int = 10) -> None:
    """Let some seconds pass, with work in between."""
    for _ in range(pieces):
        world.pass_time(seconds=seconds / pieces)
        world.settle()


def test_every_callback_twice_is_everything_once(world: World) -> None:
    world.load(pack(sops=[sop()]))
    knobs.turn(world.town, callback_duplicate=1.0)
    world.customer.scans("sh001-cashier")
    world.pass_time(minutes=5)
    world.customer.deletes()
    world.settle()
    assert len(world.customer.welcomes()) == 1
    assert len(world.effects("tag_marked")) == 1
    assert len(world.guide.texts()) == 2


@pytest.mark.parametrize("number", range(3))
def test_callbacks_out_of_order_end_in_the_same_state(world: World, number: int) -> None:
    world.load(pack())
    world.customer.adds()
    world.settle()
    knobs.turn(world.town, callback_reorder=1.5)
    world.pass_time(seconds=5)
    world.customer.deletes()
    world.bot.clock.advance(timedelta(seconds=2))
    world.customer.adds()
    world.bot.clock.advance(timedelta(seconds=2))
    world.settle()
    assert world.scalars(select(FollowRelation.state)) == ["active"]
    codes = [one.payload["code"] for one in world.customer.welcomes()]
    assert 1 <= len(codes) == len(set(codes)) <= 2
    assert len(world.guide.texts()) == len(set(world.guide.texts()))


def test_a_lost_deletion_is_found_at_night(world: World) -> None:
    world.load(pack())
    world.customer.adds()
    world.settle()
    knobs.turn(world.town, callback_loss=1.0)
    world.pass_time(minutes=1)
    world.guide.deletes(world.customer)
    assert world.scalars(select(FollowRelation.state)) == ["active"]
    world.night(TODAY + D)
    assert world.scalars(select(FollowRelation.state)) == ["ended"]


_ONCE: list[tuple[str, float]] = [
    ("errcode", -1),
    ("errcode", 42001),
    ("errcode", 40014),
    ("errcode", 45033),
    ("errcode", 41096),
    ("status", 502),
    ("html", 0),
    ("truncate_after", 0),
]


@pytest.mark.parametrize(("kind", "value"), _ONCE, ids=lambda one: str(one))
def test_a_welcome_survives_one_fault(world: World, kind: str, value: float) -> None:
    world.load(pack())
    knobs.add_fault(world.town, WELCOME, kind, value)
    world.customer.adds()
    _hurry(world)
    assert len(world.customer.welcomes()) == 1
    assert world.rows(select(WelcomeSend.state, WelcomeSend.reason)) == [("sent", None)]


@pytest.mark.parametrize(("kind", "value"), _ONCE, ids=lambda one: str(one))
def test_a_digest_survives_one_fault(world: World, kind: str, value: float) -> None:
    if value == 41096:
        value = 45009
    world.load(pack(sops=[sop("新客", "followed", step(1, "次日"))]))
    world.customer.adds()
    world.night(TODAY + D)
    knobs.add_fault(world.town, SEND, kind, value)
    world.morning(TODAY + D)
    _hurry(world, 1200)
    assert len(world.guide.cards()) == 1


def test_a_welcome_that_took_effect_before_the_line_broke_is_not_sent_again(world: World) -> None:
    world.load(pack())
    knobs.add_fault(world.town, WELCOME, "hang_after", 5.5)
    world.customer.adds()
    _hurry(world, 10, 5)
    assert len(world.customer.welcomes()) == 1
    assert world.rows(select(WelcomeSend.state)) == [("sent",)]


@pytest.mark.parametrize(
    ("errcode", "reason", "by_hand"),
    [(41050, "expired", True), (41051, "taken", False), (41053, "consent", False)],
)
def test_a_welcome_that_cannot_be_keeps_its_reason(
    world: World, errcode: int, reason: str, by_hand: bool
) -> None:
    world.load(pack())
    knobs.add_fault(world.town, WELCOME, "errcode", errcode, times=None)
    world.customer.adds()
    _hurry(world, 40)
    assert world.customer.welcomes() == []
    assert world.rows(select(WelcomeSend.state, WelcomeSend.reason)) == [("failed", reason)]
    asked = [text for text in world.guide.texts() if text.startswith("请亲自问候")]
    assert bool(asked) is by_hand


def test_a_welcome_without_a_code_says_why(world: World) -> None:
    world.load(pack())
    knobs.turn(world.town, console_welcome=True)
    world.customer.adds()
    world.settle()
    assert world.rows(select(WelcomeSend.state, WelcomeSend.reason)) == [("skipped", "no_code")]


def test_after_45009_nothing_of_that_api_is_called_until_the_block_ends(world: World) -> None:
    world.load(pack(sops=[sop("新客", "followed", step(1, "次日"))]))
    for userid in ("wangfang", "liuyang", "zhaomin"):
        world.person(f"{userid}的客户").adds(userid)
    world.night(TODAY + D)
    knobs.add_fault(world.town, SEND, "errcode", 45009)
    before = len(world.town.calls(SEND))
    world.morning(TODAY + D)
    made = len(world.town.calls(SEND)) - before
    assert made <= 3
    world.settle()
    assert len(world.town.calls(SEND)) - before == made
    _hurry(world, 4200)
    cards = [len(world.colleague(one).cards()) for one in ("wangfang", "liuyang", "zhaomin")]
    assert cards == [1, 1, 1]


def test_a_corp_that_takes_the_permission_away_is_waited_for(world: World) -> None:
    world.load(pack())
    knobs.turn(world.town, denied_families=["message"])
    world.customer.adds()
    world.settle()
    assert world.guide.messages() == []
    knobs.turn(world.town, denied_families=[])
    _hurry(world, 7200)
    assert len(world.guide.texts()) <= 1
    [row] = world.rows(select(Outbox.state, Outbox.last_errcode).where(Outbox.kind == "alert"))
    assert row[0] in ("done", "due", "dead", "expired")


def test_without_redis_the_whole_loop_works(world_without_redis: World) -> None:
    world = world_without_redis
    rule = {
        "name": "高净值",
        "tag": "价值/高净值",
        "when": {"field": "total_spend_fen", "op": ">=", "value": 1},
    }
    world.load(pack(tag_rules=[rule], sops=[sop("新客", "followed", step(1, "次日"))]))
    world.customer.scans("sh001-cashier")
    world.customer.buys()
    assert len(world.customer.welcomes()) == 1
    marked = [one.payload["tag"] for one in world.effects("tag_marked")]
    assert sorted(marked) == sorted(["收银台", "高净值"])
    world.night(TODAY + D)
    world.morning(TODAY + D)
    assert len(world.guide.cards()) == 1
    assert "今日还有 1 项" in world.guide.writes("今日")
    assert "已完成" in world.guide.writes("完成 1")


def _acts(world: World) -> dict[str, Any]:
    return {
        "scan": lambda: world.customer.scans("sh001-cashier"),
        "buy": lambda: world.customer.buys(who="unionid"),
        "join": lambda: world.customer.joins(member_no="M1", level="金卡"),
    }


@pytest.mark.parametrize("order", list(itertools.permutations(["scan", "buy", "join"])))
def test_whatever_comes_first_the_customer_ends_up_the_same(
    world: World, order: tuple[str, ...]
) -> None:
    rule = {
        "name": "金卡买家",
        "tag": "价值/高净值",
        "when": {
            "all": [
                {"field": "member_level", "op": "=", "value": "金卡"},
                {"field": "purchase_count", "op": "=", "value": 1},
            ]
        },
    }
    world.load(pack(tag_rules=[rule], sops=[sop("售后", "purchased", step(0, "感谢"))]))
    for name in order:
        _acts(world)[name]()
    world.settle()
    marked = [one.payload["tag"] for one in world.effects("tag_marked")]
    assert sorted(marked) == sorted(["收银台", "高净值"])
    assert world.titles() == ["韩梅 · 感谢"]
