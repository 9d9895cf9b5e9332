"""SOPs of a pack: odd but legal ones load twice, wrong ones are named by their own line."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from handlers import brand_pack
from sop import versions
from sop.models import Sop, SopVersion
from tests.factories import NOON
from tests.handlers.brand_pack.parts import HEAD, dumped, publishes, refusal, sops

GOOD = "{day: 0, title: 问候, talking_point: 问候}"


@pytest.mark.parametrize(
    "step",
    [
        GOOD,
        '{day: 0, title: " 问候 ", talking_point: 问候}',
        '{day: 0, at: "", title: 问候, talking_point: 问候}',
        "{day: 0, at: ~, kind: ~, title: 问候, talking_point: 问候, priority: ~}",
        "{day: 0, at: 10:00, title: 问候, talking_point: 问候, materials: []}",
        '{day: 1, kind: call, title: 电话, talking_point: ""}',
        "{day: 1, kind: call, title: 电话, key: ring}",
    ],
)
def test_an_odd_but_legal_step_makes_no_version_when_it_is_loaded_again(
    session: Session, step: str
) -> None:
    assert publishes(session, sops(step)) == 1
    before = dumped(session)
    assert publishes(session, sops(step)) == 0
    assert dumped(session) == before


def test_a_step_of_a_published_sop_that_went_wrong_is_still_refused(session: Session) -> None:
    publishes(session, sops(GOOD))
    for step, said in {
        "{title: 问候, talking_point: 问候}": "的天数要是",
        "{day: 0, title: 问候, talking_point: 问候, tilte: x}": "是不是「title」",
        "问候": "第 1 步写得不对",
        "[1]": "第 1 步写得不对",
        "{day: 0, kind: [1], title: 问候, talking_point: 问候}": "方式要是文字",
        "{day: 0, kind: [chat, call], title: 问候, talking_point: 问候}": "由导购来做",
        "{day: 0, title: 问候, talking_point: 7}": "话术要写名称",
        "{day: 0, title: 问候, talking_point: 问候, materials: [7]}": "素材要写名称",
    }.items():
        sentence = refusal(session, sops(step))
        assert sentence.startswith("第 10 行：SOP「新客」"), step
        assert said in sentence
    assert session.scalars(select(SopVersion.number)).all() == [1]


def test_every_key_of_a_step_comes_back_as_it_was_written(session: Session) -> None:
    """Kinds by tier, missed days, templates, coupons, gifts: loading the dump changes nothing."""
    more = """\
sms_templates: [{name: 短, signature: 星河珠宝, code: S1, text: 您好，退订回T}]
wechat_templates: [{name: 微, code: T1, data: {thing1: 您好}}]
coupon_templates: [{name: 礼券, title: 礼, value_fen: 100, valid_days: 7}]
"""
    steps = [
        "{day: 0, kind: [template_message, sms], title: 甲,"
        " template: {sms: 短, template_message: 微}}",
        "{day: 1, kind: sms, title: 乙, template: 短, coupon: 礼券, if_missed: drop}",
        "{day: 2, kind: {by: tier, S: chat, A: none, else: sms}, title: 丙, talking_point: 问候,"
        " template: {sms: 短}, workdays: true, if_missed: move}",
        "{day: 3, kind: {by: store_tier, A: chat, else: none}, title: 丁, talking_point: 问候}",
        "{day: 4, kind: invite, title: 戊, gift: 小样, at: 15:00}",
    ]
    text = sops(*steps).replace("sops:", f"{more}sops:")
    assert publishes(session, text) == 1
    first = dumped(session)
    assert [step.get("if_missed") for step in first["sops"][0]["steps"]] == [
        None,
        "drop",
        "move",
        None,
        None,
    ]
    assert first["sops"][0]["steps"][2]["kind"] == {
        "by": "tier",
        "A": "none",
        "S": "chat",
        "else": "sms",
    }
    assert publishes(session, text) == 0
    assert publishes(session, brand_pack.dump(session)) == 0
    assert dumped(session) == first


def test_a_key_that_no_step_has_is_named_by_its_own_line(session: Session) -> None:
    step = "day: 0\n    title: 问候\n    talking_point: 问候\n    tilte: x"
    assert refusal(session, sops(step)).startswith("第 13 行：")


def test_a_mistake_in_a_later_step_names_that_step(session: Session) -> None:
    wrong = 'day: 1\n    title: 二\n    talking_point: 问候\n    at: "25:00"'
    assert refusal(session, sops(GOOD, wrong)).startswith("第 14 行：SOP「新客」第 2 步")
    assert refusal(session, sops(GOOD, trigger="{kind: follow}")).startswith("第 8 行：")
    assert refusal(session, sops()).startswith("第 9 行：")


def test_a_mistake_in_an_audience_names_the_wrong_term(session: Session) -> None:
    audience = """\
  audience:
    all:
    - {field: purchase_count, op: ">=", value: 1}
    - any:
      - field: has_tag
        op: "="
        value: 价值/没有
"""
    assert "第 15 行：" in refusal(session, sops(GOOD, more=audience))
    assert "没有“价值/没有”" in refusal(session, sops(GOOD, more=audience))
    wrong = audience.replace("价值/没有", "价值/复购").replace('op: "="', "op: about")
    assert refusal(session, sops(GOOD, more=wrong)).startswith("第 14 行：")
    wrong = audience.replace("价值/没有", "价值/复购").replace("    - any:", "    - anny:")
    assert refusal(session, sops(GOOD, more=wrong)).startswith("第 12 行：")
    assert publishes(session, sops(GOOD, more=audience.replace("没有", "复购"))) == 1


def test_a_wrong_term_of_a_tag_rule_names_its_line(session: Session) -> None:
    rule = """\
tag_rules:
- name: 高净值
  tag: 价值/高净值
  when:
    all:
    - {field: purchase_count, op: ">=", value: 1}
    - {field: spend, op: ">", value: 1}
"""
    assert refusal(session, HEAD + rule).startswith("第 12 行：没有“spend”")


@pytest.mark.parametrize("day", ["2026-12-01", '"2026-12-01"', '"20261201"'])
def test_the_trigger_date_is_written_with_its_own_key(session: Session, day: str) -> None:
    text = sops("{day: -3, kind: call, title: 提醒}", trigger=f"{{kind: date, on: {day}}}")
    assert publishes(session, text) == 1
    [sop] = dumped(session)["sops"]
    assert sop["trigger"] == {"kind": "date", "on": "2026-12-01"}
    assert publishes(session, text) == 0


def test_a_date_where_a_condition_wants_a_number_is_refused_with_its_line(session: Session) -> None:
    more = '  audience:\n    field: purchase_count\n    op: ">="\n    value: 2026-01-01\n'
    assert refusal(session, sops(GOOD, more=more)).startswith("第 12 行：")


def test_a_paused_sop_stays_paused_and_a_retired_one_comes_back(session: Session) -> None:
    publishes(session, sops(GOOD))
    sop_id = session.scalars(select(Sop.id)).one()
    session.execute(update(Sop).values(is_paused=True))
    assert publishes(session, sops(GOOD)) == 0
    assert session.get(Sop, sop_id).is_paused
    versions.retire(session, sop_id, NOON)
    session.flush()
    assert dumped(session).get("sops") is None
    assert publishes(session, sops(GOOD)) == 1
    assert len(dumped(session)["sops"]) == 1


def test_priority_and_own_keys_come_back_only_where_they_were_written(session: Session) -> None:
    text = sops(
        "{day: 0, kind: call, title: 甲, priority: 80}",
        "{day: 1, kind: call, title: 乙, key: second}",
    )
    publishes(session, text)
    [sop] = dumped(session)["sops"]
    assert sop["steps"] == [
        {"day": 0, "kind": "call", "title": "甲", "priority": 80},
        {"day": 1, "kind": "call", "title": "乙", "key": "second"},
    ]
    assert publishes(session, text.replace("key: second", "key: third")) == 1


ASKING = """\
tag_rules:
  - {name: 新客中, tag: 价值/复购, when: {all: [{field: sop_active, op: "=", value: 新客}]}}
"""


def test_a_rule_or_an_audience_may_name_an_sop_that_stands_below_it(session: Session) -> None:
    asked = '{all: [{field: sop_active, op: "=", value: 新客}]}'
    first = f"{{name: 回访, trigger: {{kind: purchased}}, audience: {asked}, steps: [{GOOD}]}}"
    second = f"{{name: 新客, trigger: {{kind: followed}}, steps: [{GOOD}]}}"
    text = f"{HEAD}{ASKING}sops:\n  - {first}\n  - {second}\n"
    assert publishes(session, text) == 2
    before = dumped(session)
    assert publishes(session, text) == 0
    assert dumped(session) == before


def test_an_sop_that_no_pack_and_no_database_has_is_still_refused(session: Session) -> None:
    assert "没有“新客”这个SOP" in refusal(session, f"{HEAD}{ASKING}")
    assert session.scalars(select(Sop)).all() == []
