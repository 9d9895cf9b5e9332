"""The example of the contract, and many odd but legal packs: loaded, dumped, loaded again."""

from __future__ import annotations

import random
from typing import Any

import pytest
import yaml
from sqlalchemy.orm import Session

from handlers import brand_pack
from handlers.brand_pack import sample, starter
from tests.handlers.brand_pack.parts import dumped, publishes

EXAMPLE = """\
brand: 星河珠宝
settings:     {tasks_per_guide: 20, touch_gap_days: 3, quiet_hours: "21:00-09:00",
               morning: "08:47", lifecycle: {active_days: 180, dormant_days: 365,
               churned_days: 730, loyal_purchases: 3}}
regions:      [{code: east, name: 华东}]
stores:       [{code: SH001, name: 南京路店, region: east, tier: A, hours: "10:00-22:00"}]
guides:       [{userid: zhangsan, name: 张三, store: SH001, manager: true}]
tag_groups:   [{name: 渠道, tags: [收银台, 小红书]}, {name: 价值, tags: [高净值]}]
materials:    [{name: 保养手册, kind: link, title: 保养手册, url: "https://example.com/care"}]
welcome_messages:
  - {name: 默认欢迎, default: true, text: "您好，我是{导购名}…"}
  - {name: 收银台欢迎, text: "{客户称呼}您好，我是{门店名}的{导购名}…", materials: [保养手册]}
channel_codes:
  - {name: 南京路收银台, state: sh001-cashier, guides: [zhangsan], tags: [渠道/收银台],
     welcome: 收银台欢迎, skip_verify: true}
tag_rules:
  - name: 高净值
    tag: 价值/高净值
    when: {all: [{field: total_spend_fen, op: ">=", value: 5000000},
                 {field: days_since_purchase, op: "<", value: 365}]}
keyword_replies:
  - {name: 积分, match: [积分, 我的积分], how: contains, reply: "您当前积分 {积分余额}…"}
talking_points:
  - {name: 新客问候, scene: 新客, variants: ["{客户称呼}，…", "…"]}
  - {name: 首周关怀, scene: 新客, variants: ["{客户称呼}，戴着还习惯吗？"]}
sops:
  - name: 新客首月
    trigger: {kind: followed}
    audience: {all: [{field: has_tag, op: "=", value: 渠道/收银台}]}
    steps:
      - {day: 0, at: "+2h", kind: chat, title: 当天问候, talking_point: 新客问候, priority: 80}
      - {day: 7, at: "10:00", kind: chat, title: 首周关怀, talking_point: 首周关怀,
         materials: [保养手册]}
"""


def test_the_example_of_the_contract_comes_back_as_it_was_written(session: Session) -> None:
    assert publishes(session, EXAMPLE) == 1
    assert dumped(session) == yaml.safe_load(EXAMPLE)
    assert publishes(session, EXAMPLE) == 0
    assert publishes(session, brand_pack.dump(session)) == 0
    assert dumped(session) == yaml.safe_load(EXAMPLE)


def test_the_sample_brand_comes_back_as_it_was_written(session: Session) -> None:
    assert publishes(session, sample.pack_text()) > 0
    first = dumped(session)
    assert first == yaml.safe_load(sample.pack_text())
    assert publishes(session, sample.pack_text()) == 0
    assert publishes(session, brand_pack.dump(session)) == 0


def test_the_starter_pack_stands_beside_the_sample_and_comes_back(session: Session) -> None:
    publishes(session, sample.pack_text())
    before = dumped(session)
    assert publishes(session, starter.pack_text()) > 0
    both = dumped(session)
    assert publishes(session, starter.pack_text()) == 0
    assert publishes(session, brand_pack.dump(session)) == 0
    assert dumped(session) == both
    for section in ("brand", "settings", "stores", "guides"):
        assert both[section] == before[section]
    for section in ("talking_points", "sops"):
        kept = {one["name"]: one for one in both[section]}
        assert all(kept[one["name"]] == one for one in before[section])
        assert len(kept) > len(before[section])


_WORDS = (
    "on",
    "no",
    "2026-12-01",
    "10:00",
    "007",
    "1.5e3",
    "~x",
    "甲",
    "a: b",
    "#1",
    "'",
    '"',
    "<<",
)
_TITLES = (*_WORDS, " 问候 ", "\t二", "null", "true", "1_000")
_TEXTS = ("您好", "{客户称呼}\n第二行\n\n  缩进", "尾空格 ", "- 一\n- 二", "😀", "a" * 300)
_TRIGGERS: tuple[dict[str, Any], ...] = (
    {"kind": "followed"},
    {"kind": "purchased", "min_fen": 100},
    {"kind": "purchased", "category": ""},
    {"kind": "birthday"},
    {"kind": "date", "on": "2027-01-31"},
    {"kind": "stage_entered", "stage": "dormant"},
)
_AUDIENCES: tuple[dict[str, Any], ...] = (
    {"field": "purchase_count", "op": ">=", "value": 1},
    {"not": {"field": "purchase_count", "op": ">", "value": 3}},
    {"any": [{"all": [{"field": "total_spend_fen", "op": "<", "value": 10**9}]}]},
)


def _step(dice: random.Random) -> dict[str, Any]:
    step: dict[str, Any] = {"day": dice.choice([0, 1, 30, 3650]), "title": dice.choice(_TITLES)}
    more = {
        "at": dice.choice([None, "", "9:05", "23:59"]),
        "kind": dice.choice(["chat", None]),
        "materials": dice.choice([[], None]),
        "priority": dice.choice([0, 50, 100, None]),
    }
    step |= {key: value for key, value in more.items() if dice.random() < 0.5}
    return step | {"talking_point": "话"}


def _pack(dice: random.Random) -> dict[str, Any]:
    names = dice.sample(_WORDS, 4)
    made: dict[str, Any] = {
        "brand": dice.choice(_WORDS),
        "regions": [{"code": name, "name": dice.choice(_WORDS)} for name in names],
        "stores": [
            {
                "code": name,
                "name": name,
                "region": names[0],
                "latitude": dice.choice([0, -89.5, 31]),
            }
            for name in names[:2]
        ],
        "guides": [{"userid": "Ab.c-d_e@f", "name": dice.choice(_WORDS), "store": names[1]}],
        "tag_groups": [{"name": names[0], "tags": names}],
        "talking_points": [{"name": "话", "variants": dice.sample(_TEXTS, 3)}],
        "sops": [],
    }
    for name in dice.sample(_WORDS, 2):
        sop = {"name": name, "trigger": dice.choice(_TRIGGERS)}
        if dice.random() < 0.5:
            sop["audience"] = dice.choice(_AUDIENCES)
        made["sops"].append({**sop, "steps": [_step(dice) for _ in range(dice.randint(1, 4))]})
    return {key: value for key, value in made.items() if key == "brand" or dice.random() < 0.95}


@pytest.mark.parametrize("seed", range(12))
def test_any_legal_pack_loads_twice_and_its_dump_is_the_same_pack(
    session: Session, seed: int
) -> None:
    dice = random.Random(seed)
    pack = _pack(dice)
    while not {"talking_points", "regions", "stores"} <= set(pack):
        pack = _pack(dice)
    text = yaml.safe_dump(pack, allow_unicode=True, sort_keys=False)
    assert publishes(session, text) == len(pack.get("sops", []))
    first = dumped(session)
    assert publishes(session, text) == 0
    assert publishes(session, brand_pack.dump(session)) == 0
    assert dumped(session) == first
    for section in ("brand", "regions", "guides", "tag_groups", "talking_points"):
        assert first.get(section) == pack.get(section)
