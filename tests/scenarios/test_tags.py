"""Rules give tags and take them away, the event and the night alike; WeCom gets the changes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from bot.sandbox import guide_actors
from tagging.models import ContactScore, Tag, TagAssignment
from tests.scenarios.packs import pack
from tests.world import TODAY, World


def _leaf(field: str, op: str, value: Any) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


RICH = {"name": "高净值", "tag": "价值/高净值", "when": _leaf("total_spend_fen", ">=", 1_000_000)}


def _rule(*when: dict[str, Any]) -> dict[str, Any]:
    return {"name": "规则", "tag": "价值/高净值", "when": {"all": list(when)}}


def _has(world: World) -> bool:
    found = world.scalars(
        select(TagAssignment.is_on)
        .join(Tag, Tag.id == TagAssignment.tag_id)
        .where(Tag.name == "高净值", TagAssignment.is_on)
    )
    return bool(found)


def _marks(world: World) -> list[str]:
    return [
        one.payload["change"]
        for one in world.effects("tag_marked", world.customer.id)
        if one.payload["tag"] == "高净值"
    ]


@pytest.fixture
def friends(world: World) -> World:
    world.load(pack(tag_rules=[RICH]))
    world.customer.adds()
    world.settle()
    return world


def test_a_purchase_brings_the_value_tag_to_wecom_at_once(friends: World) -> None:
    friends.customer.buys(amount_fen=1_280_000)
    assert _marks(friends) == ["add"]
    [(source, state)] = friends.rows(select(TagAssignment.source, TagAssignment.mark_state))
    assert (source, state) == ("rule", "marked")


def test_the_rule_takes_its_tag_away_again(friends: World) -> None:
    number = friends.customer.buys(amount_fen=1_280_000)
    friends.settle()
    friends.customer.refunds(number, 800_000)
    assert not _has(friends)
    assert _marks(friends) == ["add", "remove"]


def test_a_tag_set_by_a_person_stays_when_the_rule_no_longer_holds(friends: World) -> None:
    [wecom_id] = friends.scalars(select(Tag.wecom_id).where(Tag.name == "高净值"))
    number = friends.customer.buys(amount_fen=1_280_000)
    friends.settle()
    friends.customer.refunds(number, 800_000)
    friends.settle()
    guide_actors.edit_tags(friends.town, "wangfang", friends.customer.id, add=[wecom_id])
    friends.pass_time(minutes=5)
    friends.settle()
    [source] = friends.scalars(select(TagAssignment.source).where(TagAssignment.is_on))
    assert source in ("wecom", "guide")
    again = friends.customer.buys(amount_fen=1_280_000)
    friends.settle()
    friends.customer.refunds(again, 1_280_000)
    assert _has(friends)
    assert _marks(friends)[:2] == ["add", "remove"]
    friends.night(TODAY + timedelta(days=1))
    assert _has(friends)


def test_a_second_night_pushes_nothing(friends: World) -> None:
    friends.customer.buys(amount_fen=1_280_000)
    friends.night(TODAY + timedelta(days=1))
    before = len(friends.town.calls("externalcontact/mark_tag"))
    friends.night(TODAY + timedelta(days=2))
    assert len(friends.town.calls("externalcontact/mark_tag")) == before
    assert _marks(friends) == ["add"]


def test_days_passing_take_a_tag_away_at_night(world: World) -> None:
    world.load(pack(tag_rules=[_rule(_leaf("days_since_purchase", "<", 2))]))
    world.customer.adds()
    world.customer.buys()
    assert _has(world)
    world.night(TODAY + timedelta(days=1))
    assert _has(world)
    world.night(TODAY + timedelta(days=2))
    assert not _has(world)
    assert _marks(world) == ["add", "remove"]


@pytest.mark.parametrize(
    "leaf",
    [
        _leaf("total_spend_fen", ">=", 1_280_000),
        _leaf("purchase_count", "=", 1),
        _leaf("days_since_purchase", "<=", 0),
        _leaf("bought_category", "=", "对戒"),
        _leaf("missing_category", "=", "项链"),
        _leaf("member_level", "=", "金卡"),
        _leaf("birthday_in_days", "<=", 10),
        _leaf("followed_days", "<=", 1),
        _leaf("channel_code", "=", "sh001-cashier"),
        _leaf("store", "=", "SH001"),
        _leaf("has_tag", "=", "渠道/收银台"),
        _leaf("lifecycle_stage", "=", "active"),
    ],
    ids=lambda leaf: leaf["field"],
)
def test_the_event_and_the_night_read_a_field_alike(world: World, leaf: dict[str, Any]) -> None:
    categories = {"categories": ["对戒", "项链"]}
    world.load(pack(settings=categories, tag_rules=[_rule(leaf)]))
    world.customer.joins(member_no="M1", level="金卡", birthday="1990-03-10")
    world.customer.scans("sh001-cashier")
    world.customer.buys()
    assert _has(world), "after the event"
    world.night(TODAY + timedelta(days=1))
    if leaf["field"] != "days_since_purchase":  # a day has passed
        assert _has(world), "after the night"
        assert _marks(world) == ["add"]


def test_all_means_all(world: World) -> None:
    both = _rule(_leaf("purchase_count", ">=", 1), _leaf("bought_category", "=", "项链"))
    world.load(pack(tag_rules=[both]))
    world.customer.adds()
    world.customer.buys("对戒")
    assert not _has(world)
    world.customer.buys("项链")
    assert _has(world)


def test_a_changed_rule_is_applied_at_night(friends: World) -> None:
    friends.customer.buys(amount_fen=1_280_000)
    friends.settle()
    changed = RICH | {"when": _leaf("total_spend_fen", ">=", 9_000_000)}
    friends.load(pack(tag_rules=[changed]))
    friends.night(TODAY + timedelta(days=1))
    assert _marks(friends) == ["add", "remove"]


def test_stages_follow_the_brands_thresholds(world: World) -> None:
    days = {"active_days": 2, "dormant_days": 4, "churned_days": 6, "loyal_purchases": 2}
    world.load(pack(settings={"lifecycle": days}))
    world.customer.adds()
    seen = [*world.scalars(select(ContactScore.stage))]
    for name in ("对戒", "项链"):
        world.customer.buys(name)
        seen += world.scalars(select(ContactScore.stage))
    for number in range(1, 9):
        world.night(TODAY + timedelta(days=number))
        seen += world.scalars(select(ContactScore.stage))
    assert list(dict.fromkeys(seen)) == ["new", "active", "loyal", "dormant", "churned"]


def test_the_best_customer_scores_highest(world: World) -> None:
    world.load(pack())
    people = [world.person(f"客户{n}") for n in range(5)]
    for number, one in enumerate(people, 1):
        one.adds()
        one.buys(amount_fen=number * 1_000_000)
    world.night(TODAY + timedelta(days=1))
    rows = world.rows(
        select(ContactScore.total_spend_fen, ContactScore.monetary)
        .where(ContactScore.purchase_count > 0)
        .order_by(ContactScore.total_spend_fen)
    )
    assert [row[1] for row in rows] == sorted(row[1] for row in rows)
    assert rows[0][1] < rows[-1][1] == 5


def test_tags_made_by_the_pack_exist_in_wecom_once(world: World) -> None:
    world.load(pack())
    world.load(pack())
    world.tick()
    made = [tag for one in world.effects("corp_tag_created") for tag in one.payload["tags"]]
    assert sorted(made) == sorted(["收银台", "小红书", "高净值"])
