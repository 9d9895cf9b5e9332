"""Bodies keep the platform's limits and are the same bytes each time."""

from __future__ import annotations

import json

import pytest

from bot import errors
from bot.errors import UserError
from bot.wecom import bodies, cards, errcodes, messages
from bot.wecom.directory import jsapi_signature
from bot.wecom.messages import File, Image, Link, MiniProgram, Text, Video


def test_a_body_is_raw_utf8_and_does_not_depend_on_the_order_of_keys():
    first = bodies.freeze({"b": "你好👋", "a": 1})
    assert first == bodies.freeze({"a": 1, "b": "你好👋"})
    assert "你好👋".encode() in first
    assert b"\\u" not in first


def test_half_a_surrogate_pair_does_not_make_a_body_unsendable():
    assert json.loads(bodies.freeze({"name": "王\ud83d"})) == {"name": "王?"}


def test_a_welcome_holds_text_and_attachments_as_the_platform_wants_them():
    attachments = [
        Image(media_id="m1"),
        Image(pic_url="https://wework.qpic.cn/x"),
        Link("新品", "https://example.com/a", "简介"),
        MiniProgram("商城", "m2", "wx1", "pages/index.html"),
        Video("m3"),
        File("m4"),
    ]
    assert json.loads(bodies.welcome_body("CODE", "你好", attachments)) == {
        "welcome_code": "CODE",
        "text": {"content": "你好"},
        "attachments": [
            {"msgtype": "image", "image": {"media_id": "m1"}},
            {"msgtype": "image", "image": {"pic_url": "https://wework.qpic.cn/x"}},
            {
                "msgtype": "link",
                "link": {"title": "新品", "url": "https://example.com/a", "desc": "简介"},
            },
            {
                "msgtype": "miniprogram",
                "miniprogram": {
                    "title": "商城",
                    "pic_media_id": "m2",
                    "appid": "wx1",
                    "page": "pages/index.html",
                },
            },
            {"msgtype": "video", "video": {"media_id": "m3"}},
            {"msgtype": "file", "file": {"media_id": "m4"}},
        ],
    }


def test_text_is_cut_by_bytes_between_two_characters():
    body = json.loads(bodies.welcome_body("C", "好" * 2000))
    assert len(body["text"]["content"].encode()) <= 4000
    assert body["text"]["content"].endswith("好…")
    body = json.loads(bodies.app_text_body(1, ["a"], "👋" * 1000))
    assert len(body["text"]["content"].encode()) <= 2048
    assert messages.clip("好" * 682, 2048) == "好" * 682


def refused(make):
    with pytest.raises(UserError) as caught:
        make()
    assert caught.value.message_zh.endswith("。")
    return caught.value


def test_what_the_platform_would_refuse_is_refused_before_it_is_saved():
    refused(lambda: Text(""))
    refused(lambda: Text("好" * 1334))
    refused(lambda: Text("a\0b"))
    refused(lambda: Text("\ud83d"))
    refused(lambda: Image())
    refused(lambda: Image(pic_url="javascript:alert(1)"))
    assert refused(lambda: Link("好" * 43, "https://a.cn")).field == "title"
    refused(lambda: Link("题", "ftp://a.cn"))
    refused(lambda: Link("题", "https://a.cn/ x"))
    refused(lambda: Link("题", "https://["))
    refused(lambda: Link("题", "https://a.cn", "好" * 171))
    refused(lambda: MiniProgram("好" * 22, "m", "wx", "p"))
    refused(lambda: Video(""))
    refused(lambda: File("m" * 300))
    refused(lambda: bodies.welcome_body("C", ""))
    refused(lambda: bodies.welcome_body("C", "x", [Video("m")] * 10))
    refused(lambda: bodies.mark_tag_body("u", "w", [], []))
    refused(lambda: bodies.contact_way_body(userids=[], state="s"))
    refused(lambda: bodies.contact_way_body(userids=["u"] * 101, state="s"))
    refused(lambda: bodies.contact_way_body(userids=["u"], state="s" * 31))
    assert Text("好" * 1333).content


def test_nobody_can_be_addressed_by_syntax():
    for userid in ("@all", "a|b", ""):
        refused(lambda userid=userid: bodies.app_text_body(1, [userid], "x"))
    refused(lambda: bodies.app_text_body(1, [], "x"))
    refused(lambda: bodies.app_text_body(1, ["u"] * 1001, "x"))


def test_app_messages_ask_for_the_duplicate_check():
    body = json.loads(bodies.app_text_body(7, ["a", "b"], "x"))
    assert body["touser"] == "a|b"
    assert body["agentid"] == 7
    assert body["enable_duplicate_check"] == 1
    assert body["duplicate_check_interval"] == 14400
    none = json.loads(bodies.app_message_body(7, ["a"], {"msgtype": "text"}, 0))
    assert "enable_duplicate_check" not in none


def test_one_guide_makes_a_single_contact_way_and_several_a_multiple_one():
    one = json.loads(bodies.contact_way_body(userids=["a"], state="s", remark="门" * 40))
    assert (one["type"], one["scene"], one["user"], len(one["remark"])) == (1, 2, ["a"], 30)
    assert json.loads(bodies.contact_way_body(userids=["a", "b"], state="s"))["type"] == 2
    changed = json.loads(bodies.update_contact_way_body("c1", userids=["b"], state="s"))
    assert "type" not in changed
    assert changed["config_id"] == "c1"


def test_kf_bodies():
    body = json.loads(bodies.kf_send_body("wk1", "wm1", bodies.kf_text("在的"), msgid="m1"))
    assert body == {
        "touser": "wm1",
        "open_kfid": "wk1",
        "msgid": "m1",
        "msgtype": "text",
        "text": {"content": "在的"},
    }
    menu = bodies.kf_menu("想问什么?", [("1", "门店"), ("2", "售后")], "谢谢")["msgmenu"]
    assert [item["click"]["id"] for item in menu["list"]] == ["1", "2"]
    refused(lambda: bodies.kf_menu("x", [("1", "a")] * 11))
    assert json.loads(bodies.kf_transfer_body("wk1", "wm1", 3, "g"))["servicer_userid"] == "g"


def test_a_button_card_is_within_the_limits():
    card = cards.button_card(
        title="今日待办",
        task_id="digest-1",
        buttons=[cards.Button("完成", key="done"), cards.Button("打开", url="https://a.cn")],
        rows=[cards.Row("客户", "王女士")],
        choice=cards.Choice("q", "结果", [("a", "已联系"), ("b", "未联系")]),
    )
    assert card["card_type"] == "button_interaction"
    assert [one["type"] for one in card["button_list"]] == [0, 1]
    assert card["button_selection"]["option_list"][1] == {"id": "b", "text": "未联系"}
    button = cards.Button("好", key="k")
    refused(lambda: cards.button_card(title="", task_id="t", buttons=[button]))
    refused(lambda: cards.button_card(title="x", task_id="空 格", buttons=[button]))
    refused(lambda: cards.button_card(title="x", task_id="t", buttons=[]))
    refused(lambda: cards.button_card(title="x", task_id="t", buttons=[button] * 7))
    refused(lambda: cards.button_card(title="x", task_id="t", buttons=[cards.Button("好")]))
    same = cards.Choice("q", "t", [("a", "1"), ("a", "2")])
    refused(lambda: cards.button_card(title="x", task_id="t", buttons=[button], choice=same))


def test_a_notice_opens_its_page():
    card = cards.text_notice(
        title="早上好", url="https://a.cn/h5", emphasis=("8", "今日任务"), text="加油"
    )
    assert card["card_action"] == {"type": 1, "url": "https://a.cn/h5"}
    assert card["emphasis_content"]["title"] == "8"
    refused(lambda: cards.text_notice(title="x", url="/h5"))
    refused(
        lambda: cards.text_notice(title="x", url="https://a.cn", rows=[cards.Row("a", "b")] * 7)
    )


def test_every_errcode_has_a_class_with_a_retry_rule_and_a_next_step_in_chinese():
    for code, row in errcodes.ERRCODES.items():
        assert row.raises in errcodes.RETRIES, code
        assert row.next_step.endswith("。"), code
        error = errcodes.error_for("message/send", code, "why")
        assert type(error) is row.raises
        assert error.errcode == code
        assert errcodes.retry_of(error) is errcodes.RETRIES[row.raises]
    assert errcodes.next_step(None)
    assert type(errcodes.error_for("x", 123456)) is errors.Refused


def test_the_errcodes_that_decide_something_have_their_classes():
    expected = {
        -1: errors.WeComUnavailable,
        6000: errors.WeComUnavailable,
        40001: errors.NotConfigured,
        40013: errors.NotConfigured,
        40014: errors.TokenRejected,
        42001: errors.TokenRejected,
        40029: errors.Refused,
        40058: errors.Refused,
        40068: errors.Refused,
        40096: errors.UnknownPerson,
        41050: errors.WelcomeExpired,
        41051: errors.WelcomeTaken,
        41053: errors.ConsentPending,
        41096: errors.WelcomeBusy,
        45009: errors.RateLimited,
        45033: errors.RateLimited,
        48002: errors.NotConfigured,
        50003: errors.NotConfigured,
        60011: errors.UnknownPerson,
        60020: errors.NotConfigured,
        60111: errors.UnknownPerson,
        81013: errors.UnknownPerson,
        84061: errors.FollowEnded,
        40007: errors.MediaExpired,
        95001: errors.Refused,
        95018: errors.Refused,
        60140: errors.Refused,
        42031: errors.Refused,
    }
    assert {code: errcodes.ERRCODES[code].raises for code in expected} == expected


def test_the_page_signature_of_the_official_document():
    ticket = (
        "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"
    )
    signed = jsapi_signature(
        ticket, "Wm3WZYTPz0wzccnW", 1414587457, "http://mp.weixin.qq.com?params=value#part"
    )
    assert signed == "0f9de62fce790f9a083d5c99e95740ceb90c27ed"
