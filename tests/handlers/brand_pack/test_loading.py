"""Content of a pack: bounds said before the database says them, and what a reload brings back."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from bot.crm.models import Brand, ChannelCode, Guide
from content_library.models import KeywordReply, Material, TalkingPoint
from tagging.models import TagRule, TagRuleVersion
from tests.factories import NOON, TODAY, Make
from tests.handlers.brand_pack.parts import HEAD, NEXT, dumped, publishes, refusal

CODE = "channel_codes:\n- {name: 码, state: a, guides: [wangfang], tags: [价值/复购]}\n"


def test_what_the_database_would_refuse_is_refused_with_its_line(session: Session) -> None:
    """Each of these was a traceback of the driver."""
    publishes(session, HEAD)
    for text, line, said in [
        ("brand: 星河\ntag_groups:\n- {name: 甲, tags: [一, 一]}", 3, "「一」写了两遍"),
        (HEAD + CODE.replace("[wangfang]", "[wangfang, wangfang]"), 7, "写了两遍"),
        (HEAD + CODE.replace("[wangfang]", "[wangfang, WangFang]"), 7, "写了两遍"),
        (HEAD + CODE.replace("[价值/复购]", "[价值/复购, 价值/复购]"), 7, "写了两遍"),
        ('brand: "a\\0b"', 1, "无法保存"),
        ('brand: 星河\nregions:\n- {code: a, name: "\\ud800"}', 3, "无法保存"),
        (f"brand: 星河\nstores:\n- {{code: a, name: b, latitude: {'9' * 400}}}", 3, "应为数字"),
        ("brand: 星河\nstores:\n- {code: a, name: b, latitude: 90.1}", 3, "-90 到 90"),
        ("brand: 星河\nstores:\n- {code: a, name: b, longitude: -181}", 3, "-180 到 180"),
        ("brand: 星河\nstores:\n- {code: a, name: b, latitude: .nan}", 3, "应为数字"),
        ("brand: 星河\nstores:\n- {code: a, name: b, tier: 一二三四五六七八九十十}", 3, "最多 10"),
        (f"brand: {'星' * 101}", 1, "最多 100"),
        ("brand: ' '", 1, "不能为空"),
        ("brand: 星河\nguides:\n- {userid: 王芳, name: 王芳}", 3, "只能用字母"),
        (f"brand: 星河\nguides:\n- {{userid: {'a' * 65}, name: 王芳}}", 3, "最多 64"),
        ("brand: 星河\nguides:\n- {userid: Ab, name: 甲}\n- {userid: aB, name: 乙}", 4, "写过"),
        (HEAD + CODE.replace("state: a", "state: a b"), 7, "只能用字母"),
        (HEAD + CODE.replace("state: a", f"state: {'a' * 31}"), 7, "最多 30"),
        (
            f"brand: 星河\ntalking_points:\n- name: 甲\n  variants:\n  - 好\n  - {'长' * 4001}",
            6,
            "最多 4000",
        ),
        (HEAD + 'materials:\n- {name: 图, kind: image, content: "图"}', 7, "base64"),
        (HEAD + "materials:\n- name: 链\n  kind: link\n  url: nowhere", 9, "http"),
        (HEAD + "welcome_messages:\n- {name: 早, text: 早, from: T10}", 7, "应为时间"),
        (HEAD + "welcome_messages:\n- {name: 早, text: 早, from: 10:00+08:00}", 7, "应为时间"),
    ]:
        sentence = refusal(session, text)
        assert sentence.startswith(f"第 {line} 行："), (text, sentence)
        assert said in sentence, (text, sentence)


def test_a_wrong_setting_is_named_by_its_own_line(session: Session) -> None:
    pack = "brand: 星河\nsettings:\n  touch_gap_days: 3\n  lifecycle:\n    active_days: {}\n"
    for text, line in [
        (pack.format("0"), 5),
        (pack.format("9\n    days: 1"), 6),
        (pack.format("800"), 4),
        (pack.format("9").replace("touch_gap_days", "touch_days"), 3),
        ("brand: 星河\nsettings:\n  morning: 8", 3),
    ]:
        assert refusal(session, text).startswith(f"第 {line} 行："), text


def test_yaml_traps_are_words_and_not_surprises(session: Session) -> None:
    text = "brand: 星河\nregions:\n- {code: 001, name: on}\n- {code: no, name: 2026-12-01}\n"
    publishes(session, text)
    assert dumped(session)["regions"] == [
        {"code": "001", "name": "on"},
        {"code": "no", "name": "2026-12-01"},
    ]
    for text, line, said in [
        ("brand: &a 星河\nsettings:\n  <<: {touch_gap_days: 1}", 3, "不支持 <<"),
        ("brand: 星河\nstores: !!set {a}", 2, "不支持 !"),
        ("brand: !!int x", 1, "不是正确的 YAML"),
        ("brand: 星河\nstores: &a [*a]", 2, "不是正确的 YAML"),
        ("brand: 星河\nregions: [\x01]", 2, "无法识别"),
        ("1: 星河", 1, "键应为文字"),
        (f"brand: 星河\nsettings: {'[' * 3000}{']' * 3000}", 1, "层次太深"),
    ]:
        sentence = refusal(session, text)
        assert sentence.startswith(f"第 {line} 行："), (text, sentence)
        assert said in sentence


def test_a_tree_of_aliases_without_end_is_refused(session: Session) -> None:
    rows = ["brand: 星河", "settings:", "  a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    rows += [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "内容太多" in refusal(session, "\n".join(rows))


def test_a_pack_without_settings_leaves_those_of_the_brand_alone(session: Session) -> None:
    publishes(session, "brand: 星河\nsettings: {tasks_per_guide: 7}\n")
    publishes(session, "brand: 星河珠宝\nregions: [{code: east, name: 华东}]\n")
    row = session.get_one(Brand, 1)
    assert (row.name, row.settings) == ("星河珠宝", {"tasks_per_guide": 7})
    publishes(session, "brand: 星河珠宝\nsettings: {}\n")
    assert session.get_one(Brand, 1).settings == {}


FULL = f"""\
{HEAD}{CODE}tag_rules:
- {{name: 高, tag: 价值/高净值, when: {{field: purchase_count, op: ">=", value: 9}}}}
keyword_replies:
- {{name: 积分, match: [积分], how: exact, reply: 好}}
"""


@pytest.mark.parametrize("table", [KeywordReply, TalkingPoint, ChannelCode, TagRule, Guide])
def test_what_was_switched_off_and_is_in_the_pack_is_back(session: Session, table: Any) -> None:
    publishes(session, FULL)
    session.execute(update(table).values(is_active=False))
    publishes(session, FULL)
    assert session.scalars(select(table.is_active)).all() == [True]
    assert len(session.scalars(select(TagRuleVersion)).all()) == 1


def test_a_guide_who_is_back_answers_for_her_customers_again(session: Session) -> None:
    make = Make(session)
    guide = make.guide(userid="wangfang", is_active=False)
    contact = make.contact()
    make.follow(guide, contact, followed_on=TODAY)
    contact.guide_id = None
    publishes(session, HEAD)
    assert session.get_one(type(contact), contact.id).guide_id == guide.id


def test_a_userid_in_other_letters_is_the_same_guide(session: Session) -> None:
    publishes(session, HEAD)
    publishes(session, (HEAD + CODE).replace("wangfang", "WangFang"))
    assert session.scalars(select(Guide.userid)).all() == ["wangfang"]
    assert dumped(session)["channel_codes"][0]["guides"] == ["wangfang"]


def test_a_new_picture_does_not_keep_the_upload_of_the_old_one(session: Session) -> None:
    def pack(tail: bytes) -> str:
        content = base64.b64encode(b"\x89PNG\r\n\x1a\n" + tail).decode()
        return f"{HEAD}materials: [{{name: 图, kind: image, content: {content}}}]\n"

    publishes(session, pack(b"old"))
    session.execute(update(Material).values(media_id="m1", media_expires_at=NOON))
    publishes(session, pack(b"old"))
    assert session.scalars(select(Material.media_id)).all() == ["m1"]
    publishes(session, pack(b"new"))
    assert session.scalars(select(Material.media_id)).all() == [None]


def test_the_line_after_the_head_is_where_the_tests_think(session: Session) -> None:
    assert refusal(session, HEAD + "storess: []").startswith(f"第 {NEXT} 行：")
