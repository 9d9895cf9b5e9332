"""Channel codes: pushed as differences; what a scan brings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from bot.crm.models import ChannelCode, FollowRelation
from tagging.models import Tag, TagAssignment
from tests.scenarios.packs import SMALL, pack
from tests.world import TODAY, World


def _codes(**changed: Any) -> list[dict[str, Any]]:
    return [{**SMALL["channel_codes"][0], **changed}]


def _apis(world: World) -> list[str]:
    world.settle()
    return [api for api, errcode in world.town.calls() if "contact_way" in api and errcode == 0]


def test_a_loaded_code_is_created_in_wecom_with_its_state_and_guides(world: World) -> None:
    world.load(pack())
    [made] = world.effects("contact_way_created")
    assert made.payload["state"] == "sh001-cashier"
    assert made.payload["user"] == ["wangfang"]
    assert made.payload["skip_verify"] is True
    [code] = world.scalars(select(ChannelCode))
    assert code.config_id == made.payload["config_id"]


def test_loading_the_same_codes_again_calls_nothing(world: World) -> None:
    world.load(pack())
    before = _apis(world)
    world.load(pack())
    world.tick()
    assert _apis(world) == before


def test_only_the_changed_code_is_pushed_and_only_once(world: World) -> None:
    other = {**SMALL["channel_codes"][0], "name": "小红书", "state": "xhs", "tags": ["渠道/小红书"]}
    world.load(pack(channel_codes=[*_codes(), other]))
    world.load(pack(channel_codes=[*_codes(guides=["wangfang", "liuyang"]), other]))
    world.tick()
    [changed] = world.effects("contact_way_changed")
    assert changed.payload["state"] == "sh001-cashier"
    assert changed.payload["user"] == ["wangfang", "liuyang"]
    assert len(world.effects("contact_way_created")) == 2


def test_changing_only_the_tags_of_a_code_is_no_matter_of_wecom(world: World) -> None:
    world.load(pack())
    before = _apis(world)
    world.load(pack(channel_codes=_codes(tags=["渠道/小红书"])))
    world.tick()
    assert _apis(world) == before


def test_a_scan_brings_welcome_tag_and_alert(world: World) -> None:
    world.load(pack())
    world.customer.scans("sh001-cashier")
    [welcome] = world.customer.welcomes()
    assert welcome.payload["text"] == "韩梅您好，感谢到店，我是王芳。"
    assert [one["msgtype"] for one in welcome.payload["attachments"]] == ["link"]
    [mark] = world.effects("tag_marked")
    assert (mark.who, mark.payload["group"], mark.payload["tag"]) == ("wangfang", "渠道", "收银台")
    assert [text.splitlines()[0] for text in world.guide.texts()] == ["新客户添加了您：韩梅"]


def test_the_tag_knows_its_source_and_that_wecom_has_it(world: World) -> None:
    world.load(pack())
    world.customer.scans("sh001-cashier")
    rows = world.rows(
        select(Tag.name, TagAssignment.source, TagAssignment.mark_state).join(
            Tag, Tag.id == TagAssignment.tag_id
        )
    )
    assert rows == [("收银台", "channel", "marked")]


def test_the_relation_remembers_the_code(world: World) -> None:
    world.load(pack())
    world.customer.scans("sh001-cashier")
    [state] = world.scalars(
        select(ChannelCode.state).join(
            FollowRelation, FollowRelation.channel_code_id == ChannelCode.id
        )
    )
    assert state == "sh001-cashier"


def test_without_a_code_the_brands_default_welcome_goes_out(world: World) -> None:
    world.load(pack())
    world.customer.adds()
    assert [one.payload["text"] for one in world.customer.welcomes()] == [
        "您好，我是南京路店的王芳。"
    ]
    assert world.effects("tag_marked") == []


def test_a_welcome_carries_nine_attachments(world: World) -> None:
    links = [
        {"name": f"图册{n}", "kind": "link", "title": f"图册{n}", "url": f"https://example.com/{n}"}
        for n in range(9)
    ]
    welcome = {**SMALL["welcome_messages"][1], "materials": [one["name"] for one in links]}
    world.load(pack(materials=links, welcome_messages=[SMALL["welcome_messages"][0], welcome]))
    world.customer.scans("sh001-cashier")
    [sent] = world.customer.welcomes()
    assert [one["link"]["title"] for one in sent.payload["attachments"]] == [
        one["title"] for one in links
    ]


def test_confirming_later_brings_no_second_welcome_tag_or_alert(world: World) -> None:
    world.load(pack())
    world.customer.scans("sh001-cashier", confirmed=False)
    assert len(world.customer.welcomes()) == 1
    world.pass_time(minutes=10)
    world.customer.scans("sh001-cashier")  # the guide confirms now
    assert len(world.customer.welcomes()) == 1
    assert len(world.effects("tag_marked")) == 1
    assert len(world.guide.texts()) == 1


def test_one_customer_scanned_by_two_guides_gets_a_welcome_of_each(world: World) -> None:
    world.load(pack())
    world.customer.scans("sh001-cashier")
    world.customer.adds("liuyang")
    # Both adds come at once; whose welcome is the quicker one, nobody promises.
    assert sorted(one.who for one in world.customer.welcomes()) == ["liuyang", "wangfang"]


def test_who_left_and_comes_back_is_welcomed_again(world: World) -> None:
    world.load(pack())
    world.customer.scans("sh001-cashier")
    world.pass_time(hours=1)
    world.customer.deletes()
    world.pass_time(hours=1)
    world.customer.scans("sh001-cashier")
    assert len(world.customer.welcomes()) == 2


def test_the_same_second_of_two_customers_is_two_adds(world: World) -> None:
    world.load(pack())
    people = [world.person(f"客户{n}") for n in range(5)]
    for one in people:
        one.scans("sh001-cashier")
    assert [len(one.welcomes()) for one in people] == [1] * 5


@pytest.mark.parametrize("name", ["$1\\0", "{导购名}", "<b>王</b>", "${env}", "%s%(x)s", "'; --"])
def test_a_nickname_is_only_a_nickname(world: World, name: str) -> None:
    welcome = {"name": "默认欢迎", "default": True, "text": "{客户昵称}，我是{导购名}"}
    world.load(pack(welcome_messages=[welcome], channel_codes=[]))
    person = world.person(name)
    person.adds()
    [sent] = person.welcomes()
    assert sent.payload["text"] == f"{name}，我是王芳"


def test_the_counts_of_today_know_the_scan(world: World) -> None:
    world.load(pack())
    world.customer.scans("sh001-cashier")
    [relation] = world.scalars(select(FollowRelation))
    assert relation.followed_on == TODAY
    assert abs(relation.followed_at - world.now()) < timedelta(minutes=1)
