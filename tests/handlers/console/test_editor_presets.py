"""Every preset can be written by hand in the editor, and is then the same as the pack's own."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import yaml
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from handlers import brand_pack
from handlers.brand_pack import starter
from handlers.brand_pack.reading import plain
from sop import specs, triggers, versions
from sop.models import Reach, Sop, SopVersion, VersionState
from tests.factories import NOON
from tests.handlers.console.hand import Hand

#: What no preset shows: triggers of its own, a nested `not`, delays, and inputs rarely used.
_MORE = """
stores: [{code: SH001, name: 南京路店, tier: A}, {code: SH002, name: 徐汇店, tier: B}]
materials: [{name: 保养手册, kind: link, title: 保养手册, url: "https://example.com/care"}]
sops:
- name: 打上标签
  trigger: {kind: tag_added, tag: 意向/定制}
  audience:
    any:
    - not:
      - {field: bought_in_store, op: in, value: [SH001, SH002]}
      - {field: gender, op: "=", value: male}
    - all:
      - {field: total_spend_fen, op: ">=", value: 5000000}
      - {field: member_level, op: "=", value: 金卡}
      - {any: [{field: followed_days, op: between, value: [3, 30]}]}
    - {field: sop_active, op: "!=", value: 打过招呼}
  steps:
  - day: 0
    at: "+1h30m"
    kind: {by: store_tier, A: none, B: [mass_message, sms, template_message], else: call}
    title: 定制沟通
    talking_point: 线索·及时回应
    template: {sms: 许久不见短信, template_message: 许久不见通知}
- name: 打过招呼
  trigger: {kind: visited, store: SH001, visit_kind: 活动}
  steps:
  - day: 0
    at: "+2h"
    kind: chat
    title: 招呼
    talking_point: 线索·及时回应
    materials: [保养手册]
  - {day: 3, kind: invite, title: 再来看看, gift: 小样一份, workdays: true, if_missed: move}
- name: 大额加购
  trigger: {kind: purchased, category: 对戒, min_fen: 500050, store: SH002}
  steps:
  - {day: 0, at: "+30m", kind: call, title: 致谢, priority: 50}
- name: 高意向
  trigger: {kind: lead_raised, hot: true}
  steps:
  - {day: 0, kind: call, title: 马上联系}
"""


@cache
def presets() -> dict[str, dict[str, Any]]:
    """Every preset by its name, the pack's and ours; those others speak of come first."""
    ours, pack = (
        {one["name"]: one for one in plain(brand_pack.read(text))["sops"]}
        for text in (_MORE, starter.pack_text())
    )
    return {"打过招呼": ours.pop("打过招呼")} | ours | pack


def _first_of_each_kind() -> list[str]:
    """One programme for each trigger, and whatever has a way that none before it had."""
    seen: set[str] = set()
    names = []
    for name, spec in presets().items():
        shapes = {f"trigger {spec['trigger']['kind']} {sorted(spec['trigger'])}"}
        shapes |= {f"{sorted(one)} {_shape(one['kind'])}" for one in spec["steps"]}
        if not shapes <= seen:
            names.append(name)
        seen |= shapes
    return names


def _shape(kind: Any) -> str:
    if isinstance(kind, dict):
        return ",".join(f"{key}={_shape(one)}" for key, one in kind.items())
    return "list" if isinstance(kind, list) else str(kind)


def _pack(names: list[str]) -> str:
    """The shipped pack and ours as one, with only these programmes."""
    whole = plain(brand_pack.read(starter.pack_text()))
    whole |= {"brand": "星河珠宝"} | plain(brand_pack.read(_MORE))
    whole["sops"] = [presets()[name] for name in names]
    return yaml.safe_dump(whole, allow_unicode=True, sort_keys=False)


def test_the_presets_to_be_written_show_every_trigger() -> None:
    shown = {presets()[name]["trigger"]["kind"] for name in _first_of_each_kind()}
    assert shown == set(triggers.TRIGGERS)


@pytest.mark.parametrize("part", range(4))
def test_what_is_written_in_the_editor_is_what_the_pack_writes(
    session: Session, page: Any, address: str, part: int
) -> None:
    names = _first_of_each_kind()[part::4]
    if "打上标签" in names and "打过招呼" not in names:
        names.insert(0, "打过招呼")
    brand_pack.load(session, _pack([]), by="总部", now=NOON)
    session.commit()
    hand = Hand(page, address)
    for name in names:
        hand.write(presets()[name])
        session.rollback()
        draft = session.scalars(select(SopVersion.id).join(Sop).where(Sop.name == name)).one()
        assert versions.spec_of(session, draft) == specs.settle(session, presets()[name])
    for sop_id in session.scalars(select(Sop.id)).all():
        versions.publish(session, sop_id, Reach.NEW_ONLY, "总部", NOON)
    # The pack finds everything as it would write it.
    loaded = brand_pack.load(session, _pack(names), by="总部", now=NOON)
    assert loaded.published == 0
    live = select(func.count()).where(SopVersion.state == VersionState.PUBLISHED)
    assert session.scalar(live) == len(names)
