"""A brand pack: the same twice, the same back, and every mistake named with its line."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
import yaml
from sqlalchemy import func, select

from bot.crm.models import Brand, ChannelCode, Guide, Store
from content_library.models import KeywordReply, Material, TalkingPoint, WelcomeMessage
from content_library.placeholders import PLACEHOLDERS
from handlers import brand_pack
from handlers.brand_pack import PackError
from sop.models import Sop, SopVersion
from tagging.models import Tag, TagGroup, TagRule
from tests.scenarios.packs import SMALL, pack, sop, step
from tests.world import World

_TABLES: tuple[Any, ...] = (
    Brand, Store, Guide, TagGroup, Tag, Material, WelcomeMessage, ChannelCode, TagRule,
    KeywordReply, TalkingPoint, Sop, SopVersion,
)  # fmt: skip
FULL = pack(
    settings={"tasks_per_guide": 15, "categories": ["对戒", "项链"]},
    tag_rules=[
        {
            "name": "高净值",
            "tag": "价值/高净值",
            "when": {"all": [{"field": "total_spend_fen", "op": ">=", "value": 5_000_000}]},
        }
    ],
    keyword_replies=[
        {"name": "积分", "match": ["积分"], "how": "contains", "reply": "您有 {积分余额} 积分。"}
    ],
    sops=[
        sop(
            "新客首月",
            "followed",
            step(0, "当天问候", at="+2h", priority=80),
            step(7, "首周关怀", at="10:00", materials=["保养手册"]),
            audience={"all": [{"field": "has_tag", "op": "=", "value": "渠道/收银台"}]},
        )
    ],
)


def _counts(world: World) -> list[int]:
    return [world.scalars(select(func.count()).select_from(one))[0] for one in _TABLES]


def _dump(world: World) -> Any:
    with world.session() as session:
        return yaml.safe_load(brand_pack.dump(session))


def test_what_was_loaded_is_dumped_and_loading_that_changes_nothing(world: World) -> None:
    world.load(FULL)
    counts = _counts(world)
    dumped = _dump(world)
    assert dumped == yaml.safe_load(FULL)
    world.load(yaml.safe_dump(dumped, allow_unicode=True, sort_keys=False))
    assert (_counts(world), _dump(world)) == (counts, dumped)


_HEAD = """\
brand: 星河珠宝
stores: [{code: SH001, name: 南京路店}]
guides: [{userid: wangfang, name: 王芳, store: SH001}]
tag_groups: [{name: 价值, tags: [高净值]}]
"""


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("brands: 星河", 1, "没有「brands」这个键，是不是 brand"),
        ("brand: [1", 1, "不是正确的 YAML"),
        ("- 1", 1, "品牌包应是"),
        ("brand: 星河\nbrand: 星海", 2, "写了两遍"),
        ("brand: 星河\nstores: [{code: A}]", 2, "缺少「name」"),
        ("brand: 星河\nstores:\n- {code: A, name: 1}", 3, "「name」应为文字"),
        ("brand: 星河\nstores:\n- {code: A, name: 甲}\n- {code: A, name: 乙}", 4, "已经写过"),
        ("brand: 星河\nsettings: {tasks_per_guide: 0}", 2, "tasks_per_guide"),
        ("brand: 星河\nsettings: {quiet: 1}", 2, "settings 里没有“quiet”"),
        (_HEAD + "guides: []", 5, "写了两遍"),
        (
            _HEAD + "channel_codes:\n- {name: 码, state: a, guides: [nobody]}",
            6,
            "没有导购「nobody」",
        ),
        (
            _HEAD + "channel_codes:\n- {name: 码, state: a, guides: [wangfang], tags: [价值/没有]}",
            6,
            "没有标签「价值/没有」",
        ),
        (_HEAD + "talking_points:\n- name: 甲\n  variants: ['{客户称}好']", 7, "客户称"),
        (_HEAD + "keyword_replies:\n- {name: a, match: [a], how: like, reply: b}", 6, "匹配方式"),
        (
            _HEAD + "tag_rules:\n- name: a\n  tag: 价值/高净值\n  when: {field: spend, op: '>'}",
            8,
            "spend",
        ),
        (_HEAD + "tag_rules:\n- name: a\n  tag: 价值/高净值\n  when: {all: []}", 8, ""),
        (
            _HEAD + "sops:\n- name: a\n  trigger: {kind: follow}\n  steps: [{day: 0, title: b}]",
            7,
            "是不是「followed」",
        ),
        (
            _HEAD + "sops:\n- name: a\n  trigger: {kind: followed}\n"
            "  steps: [{day: 0, title: b, talking_point: 没有的}]",
            8,
            "没有的",
        ),
        (
            _HEAD + "sops:\n- name: a\n  trigger: {kind: followed}\n"
            "  steps: [{day: 0, title: b, at: '25:00'}]",
            8,
            "25:00",
        ),
    ],
)
def test_a_mistake_names_its_line_and_changes_nothing(
    world: World, text: str, line: int, said: str
) -> None:
    world.load(FULL)
    before = _counts(world), _dump(world)
    with pytest.raises(PackError) as caught:
        world.load(textwrap.dedent(text))
    assert caught.value.message_zh.startswith(f"第 {line} 行：")
    assert said in caught.value.message_zh
    assert (_counts(world), _dump(world)) == before


def test_words_with_every_placeholder_have_no_hole_for_a_customer_nobody_knows(
    world: World,
) -> None:
    everything = "、".join(f"{{{name}}}" for name in PLACEHOLDERS)
    points = [{"name": "问候", "scene": "新客", "variants": [everything]}]
    welcome = [{"name": "默认欢迎", "default": True, "text": everything}]
    world.load(
        pack(talking_points=points, welcome_messages=welcome, channel_codes=[], sops=[sop()])
    )
    person = world.person("")
    person.adds()
    [task] = world.tasks()
    [sent] = person.welcomes()
    for words in (task.words or "", sent.payload["text"]):
        parts = words.split("、")
        assert len(parts) == len(PLACEHOLDERS)
        assert all(part.strip() for part in parts), words
        assert "{" not in words
        assert "None" not in words


def test_a_guide_who_left_the_pack_keeps_her_customers(world: World) -> None:
    world.load(pack())
    world.customer.adds()
    world.load(pack(guides=SMALL["guides"][1:], channel_codes=[]))
    [userid] = world.scalars(select(Guide.userid).where(Guide.userid == "wangfang"))
    assert userid == "wangfang"
