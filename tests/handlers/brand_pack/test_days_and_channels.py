"""Festivals, working days, templates and coupons of a pack: loaded, dumped, refused by line."""

from __future__ import annotations

from datetime import date, time
from typing import Any

import pytest
import yaml
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm.models import Brand, CalendarDay, FestivalDay, FestivalRule, Guide, Store
from content_library.models import ChannelTemplate, CouponTemplate
from handlers import brand_pack
from handlers.brand_pack.reading import plain, read
from tests.factories import NOON, Make
from tests.handlers.brand_pack.parts import HEAD, NEXT, dumped, publishes, refusal

PACK = """\
brand: 星河珠宝
settings:
  tier:
    weights: {recency: 20, frequency: 20, monetary: 30, average_order: 15, level: 5, engagement: 10}
    bounds: {S: 80, A: 60, B: 35}
  churn: {gap_percent: 200, least_days: 60}
  leads: {hot: 50, escalate_hours: 2}
  festival_window_days: 10
  survey_url: https://example.com/survey
stores: [{code: SH001, name: 南京路店, hours: "10:00-22:00"}]
guides:
- {userid: wangfang, name: 王芳, store: SH001, off: [周一, 周四]}
- {userid: liuyang, name: 刘洋}
festivals:
- {name: 品牌日, month: 8, day: 8}
- {name: 家宴, month: 12, day: 23, lunar: true}
- {name: 会员日, on: 2027-06-18}
workdays:
- {on: 2027-02-10, work: false, name: 春节}
- {on: 2027-02-20, work: true}
sms_templates:
- {name: 生日短信, signature: 星河珠宝, code: SMS_1, text: "{客户称呼}，生日快乐！退订回TD",
   params: {name: "{客户称呼}"}}
- {name: 感谢短信, signature: 星河珠宝, code: SMS_2, text: 感谢您的光临，退订回T}
wechat_templates:
- {name: 积分到账, code: T1, url: "https://example.com/points",
   data: {thing1: "{客户称呼}", number2: "{积分余额}"}}
- {name: 到店提醒, code: T2, text: 明天见, data: {thing1: "{门店名}"}}
coupon_templates:
- {name: 生日礼券, title: 生日礼 200 元, value_fen: 20000, least_spend_fen: 100000, valid_days: 30}
- {name: 感谢礼券, title: 感谢礼, value_fen: 10000, valid_days: 7}
"""


def test_everything_comes_back_as_it_was_written(session: Session) -> None:
    assert publishes(session, PACK) == 0
    assert dumped(session) == _read(PACK)
    publishes(session, brand_pack.dump(session))
    assert dumped(session) == _read(PACK)
    assert session.scalars(select(ChannelTemplate.channel)).all() == [
        "sms",
        "sms",
        "template_message",
        "template_message",
    ]


def _read(text: str) -> Any:
    # Not YAML's own reader: for it `on` is a flag and a date no text.
    return plain(read(text))


def test_what_was_written_is_what_the_program_works_with(session: Session) -> None:
    publishes(session, PACK)
    store = session.scalars(select(Store)).one()
    assert (store.opens_at, store.closes_at) == (time(10), time(22))
    resting = {one.userid: one.rest_weekdays for one in session.scalars(select(Guide))}
    assert resting == {"wangfang": [1, 4], "liuyang": []}
    held = session.scalars(select(FestivalDay.held_on).where(FestivalDay.name == "品牌日")).all()
    assert {date(2026, 8, 8), date(2027, 8, 8)} <= set(held)
    day = session.get(CalendarDay, date(2027, 2, 10))
    assert day is not None
    assert (day.is_workday, day.is_edited) == (False, True)
    coupon = session.scalars(select(CouponTemplate).order_by(CouponTemplate.id)).first()
    assert coupon is not None
    assert (coupon.value_fen, coupon.least_spend_fen) == (20_000, 100_000)


def test_a_second_pack_changes_what_it_names_and_nothing_else(session: Session) -> None:
    publishes(session, PACK)
    publishes(
        session,
        "festivals: [{name: 品牌日, on: 2027-09-09}]\n"
        "coupon_templates: [{name: 感谢礼券, title: 感谢礼, value_fen: 5000, valid_days: 7}]\n",
    )
    rule = session.scalars(select(FestivalRule).where(FestivalRule.name == "品牌日")).one()
    assert (rule.month, rule.day, rule.held_on) == (None, None, date(2027, 9, 9))
    assert dumped(session)["coupon_templates"][1]["value_fen"] == 5000
    assert len(dumped(session)["festivals"]) == 3
    assert dumped(session)["settings"] == _read(PACK)["settings"]


def test_content_alone_needs_no_brand(session: Session) -> None:
    words = "talking_points: [{name: 问候, variants: [您好]}]\n"
    publishes(session, words)
    assert session.get(Brand, 1) is None
    assert dumped(session) == yaml.safe_load(words)
    Make(session).brand(tasks_per_guide=7)
    publishes(session, words)
    brand = session.get(Brand, 1)
    assert brand is not None
    assert brand.settings == {"tasks_per_guide": 7}
    for text in ("stores: [{code: a, name: b}]", "settings: {}", "{}"):
        assert "缺少「brand」" in refusal(session, text)


SMS = "{name: 甲, signature: 星河珠宝, code: S1, text: 好，退订回TD, params: {a: 好}}"
WECHAT = "{name: 乙, code: T1, data: {thing1: 好}}"


@pytest.mark.parametrize(
    ("section", "item", "said"),
    [
        ("festivals", "{name: 品牌日}", "要写 month 和 day"),
        ("festivals", "{name: 品牌日, month: 8}", "要写 month 和 day"),
        ("festivals", "{name: 品牌日, month: 13, day: 1}", "1 到 12"),
        ("festivals", "{name: 品牌日, month: 2, day: 30}", "最大是 29"),
        ("festivals", "{name: 品牌日, month: 2, day: 31, lunar: true}", "最大是 30"),
        ("festivals", "{name: 品牌日, month: 2, on: 2027-01-01}", "不用写 month"),
        ("festivals", "{name: 品牌日, on: 2027-02-30}", "没有 2027-02-30 这一天"),
        ("festivals", "{name: 品牌日, on: 明天}", "应为日期"),
        ("festivals", "{name: 品牌日, month: 八, day: 8}", "应为整数"),
        ("workdays", "{on: 2027-02-10}", "缺少「work」"),
        ("workdays", "{on: 2027-02-10, work: 1}", "true 或 false"),
        ("workdays", "{on: 2027-02-30, work: true}", "没有 2027-02-30"),
        ("sms_templates", SMS.replace("星河珠宝", "【星河】"), "不带【】"),
        ("sms_templates", SMS.replace("星河珠宝", "星"), "2 到 16 个字"),
        ("sms_templates", SMS.replace("{a: 好}", '{a: "{客户名}"}'), "没有叫「{客户名}」"),
        ("sms_templates", SMS.replace("{a: 好}", f"{{a: {'好' * 21}}}"), "最多 20 个字"),
        ("sms_templates", SMS.replace("{a: 好}", "{a: 1}"), "还没有内容"),
        ("sms_templates", SMS.replace("{a: 好}", "{变量: 好}"), "只能用字母"),
        ("sms_templates", SMS.replace("text: 好", f"text: {'好' * 600}"), "太长"),
        ("wechat_templates", WECHAT.replace("{thing1: 好}", "{}"), "不能为空"),
        ("wechat_templates", WECHAT.replace("T1", "T1, url: example.com"), "要是网址"),
        ("wechat_templates", WECHAT.replace("thing1: 好", 'thing1: "{"'), "多余的花括号"),
        ("coupon_templates", "{name: 券, title: 券, value_fen: 0, valid_days: 1}", "应在 1 到"),
        ("coupon_templates", "{name: 券, title: 券, value_fen: 1.5, valid_days: 1}", "整数"),
        ("coupon_templates", "{name: 券, title: 券, value_fen: 1, valid_days: 3651}", "1 到 3650"),
        ("guides", "{userid: a, name: 甲, off: [周八]}", "没有「周八」"),
        ("guides", "{userid: a, name: 甲, off: [周一, 周一]}", "写了两遍"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_line(
    session: Session, section: str, item: str, said: str
) -> None:
    head = HEAD.replace("guides: [{userid: wangfang, name: 王芳, store: SH001}]\n", "regions: []\n")
    sentence = refusal(session, f"{head}{section}:\n- {item}\n")
    assert sentence.startswith(f"第 {NEXT + 1} 行：")
    assert said in sentence


def test_a_wrong_variable_is_named_by_its_own_line(session: Session) -> None:
    text = "wechat_templates:\n- name: 甲\n  code: T1\n  data:\n    thing1: 好\n    thing2: 1\n"
    assert refusal(session, text).startswith("第 6 行：")


def test_one_name_cannot_be_a_template_of_both_kinds(session: Session) -> None:
    both = f"sms_templates: [{SMS}]\nwechat_templates:\n- {WECHAT.replace('乙', '甲')}\n"
    assert refusal(session, both) == "第 3 行：「甲」已经是短信模板的名称"
    publishes(session, f"sms_templates: [{SMS}]\n")
    other = f"wechat_templates: [{WECHAT.replace('乙', '甲')}]\n"
    assert "已经是短信模板" in refusal(session, other)


def test_a_wrong_setting_deep_inside_is_named_by_its_line(session: Session) -> None:
    text = "brand: 星河\nsettings:\n  tier:\n    weights:\n      recency: 20\n      {}\n"
    assert refusal(session, text.format("frequency: 101")).startswith("第 6 行：")
    assert refusal(session, text.format("luck: 5")).startswith("第 6 行：")


def test_words_to_look_at_again_are_told_and_kept(session: Session) -> None:
    text = (
        "sms_templates: [{name: 甲, signature: 星河珠宝, code: S1, text: 全网最低价}]\n"
        "talking_points: [{name: 问候, variants: [您好, 我们是第一品牌]}]\n"
        "coupon_templates: [{name: 券, title: 永久有效, value_fen: 1, valid_days: 1}]\n"
    )
    loaded = brand_pack.load(session, text, by="总部", now=NOON)
    assert len(loaded.warnings) == 4
    assert "「第一」" in loaded.warnings[0]
    assert "退订" in loaded.warnings[2]
    assert loaded.counts == {"talking_points": 1, "sms_templates": 1, "coupon_templates": 1}
