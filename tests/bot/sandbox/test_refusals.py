"""Every endpoint's refusals, from the table of what the platform checks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.sandbox.frequency import count
from tests.bot.sandbox.conftest import PNG, World

PAIR = {"userid": "wangfang", "external_userid": "wmLiLei"}
WAY = {"type": 1, "scene": 2, "user": ["wangfang"]}
SEND = {"touser": "wangfang", "agentid": 1000002, "msgtype": "text", "text": {"content": "早"}}
NOTICE = {
    "card_type": "text_notice",
    "main_title": {"title": "今日 3 项"},
    "card_action": {"type": 1, "url": "http://127.0.0.1:8000/h5/"},
}
BUTTONS = {
    "card_type": "button_interaction",
    "main_title": {"title": "客户等你回复"},
    "button_list": [{"text": "完成", "key": "done"}],
    "task_id": "t-1",
}
QUESTION = {"question_key": "q", "option_list": [{"id": "1", "text": "是"}]}
VOTE = {
    "card_type": "vote_interaction",
    "main_title": {"title": "选一个"},
    "task_id": "t-2",
    "checkbox": QUESTION,
    "submit_button": {"key": "go", "text": "提交"},
}
KF = {"open_kfid": "wkXingHe", "external_userid": "wmLiLei"}


def card(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    changed = {key: value for key, value in {**base, **changes}.items() if value is not None}
    return SEND | {"msgtype": "template_card", "template_card": changed}


GETS = [
    ("user/get", {}, 40003),
    ("user/get", {"userid": "nobody"}, 60111),
    ("user/get", {"userid": "gone"}, 60111),
    ("user/get", {"userid": "hidden"}, 60011),
    ("user/list", {}, 40066),
    ("user/list", {"department_id": "99"}, 60003),
    ("department/list", {"id": "x"}, 40066),
    ("agent/get", {"agentid": "x"}, 40056),
    ("agent/get", {"agentid": "7"}, 301002),
    ("ticket/get", {"type": "other"}, 91040),
    ("auth/getuserinfo", {"code": "nope"}, 40029),
    ("externalcontact/list", {"userid": "liuyang"}, 84061),
    ("externalcontact/list", {"userid": "nobody"}, 60111),
    ("externalcontact/list", {"userid": "hidden"}, 60011),
    ("externalcontact/get", {}, 41035),
    ("externalcontact/get", {"external_userid": "wmNobody"}, 40096),
    ("externalcontact/get", {"external_userid": "wmHanMei"}, 84061),
    ("externalcontact/get", {"external_userid": "wmLiLei", "cursor": "!"}, 50100),
    ("externalcontact/mark_tag", PAIR, 40058),
    ("kf/servicer/list", {}, 60251),
]
POSTS = [
    ("externalcontact/batch/get_by_user", {"userid_list": ["wangfang"] * 101}, 40058),
    ("externalcontact/batch/get_by_user", {"userid_list": "wangfang"}, 40058),
    ("externalcontact/batch/get_by_user", {"userid_list": ["nobody"]}, 60111),
    ("externalcontact/remark", PAIR, 40058),
    ("externalcontact/remark", PAIR | {"remark": "长" * 21}, 40058),
    ("externalcontact/remark", PAIR | {"description": "长" * 151}, 40058),
    ("externalcontact/remark", PAIR | {"external_userid": "wmHanMei", "remark": "韩"}, 84061),
    ("externalcontact/add_corp_tag", {"group_name": "渠道"}, 40058),
    ("externalcontact/add_corp_tag", {"group_name": "渠道", "tag": [{"name": "长" * 31}]}, 40058),
    ("externalcontact/add_corp_tag", {"group_id": "etNone", "tag": [{"name": "新"}]}, 40068),
    ("externalcontact/edit_corp_tag", {"id": "etNone", "name": "新"}, 40068),
    ("externalcontact/del_corp_tag", {}, 40058),
    ("externalcontact/del_corp_tag", {"tag_id": ["etNone"]}, 40068),
    ("externalcontact/mark_tag", PAIR, 40058),
    ("externalcontact/mark_tag", PAIR | {"add_tag": ["etNone"]}, 40068),
    ("externalcontact/mark_tag", PAIR | {"add_tag": "etNone"}, 40058),
    ("externalcontact/mark_tag", PAIR | {"userid": "liuyang", "add_tag": ["et"]}, 84061),
    ("externalcontact/mark_tag", PAIR | {"external_userid": "wmNo", "add_tag": ["et"]}, 40096),
    ("externalcontact/add_contact_way", {"scene": 2, "user": ["wangfang"]}, 41037),
    ("externalcontact/add_contact_way", WAY | {"type": 3}, 41039),
    ("externalcontact/add_contact_way", {"type": 1, "user": ["wangfang"]}, 41038),
    ("externalcontact/add_contact_way", WAY | {"scene": 9}, 41040),
    ("externalcontact/add_contact_way", WAY | {"scene": 1, "style": 4}, 41042),
    ("externalcontact/add_contact_way", WAY | {"user": ["wangfang", "liuyang"]}, 40058),
    ("externalcontact/add_contact_way", WAY | {"user": ["fresh"]}, 41054),
    ("externalcontact/add_contact_way", WAY | {"user": ["unverified"]}, 40098),
    ("externalcontact/add_contact_way", WAY | {"user": ["hidden"]}, 60011),
    ("externalcontact/add_contact_way", WAY | {"user": ["nobody"]}, 60111),
    ("externalcontact/add_contact_way", WAY | {"state": "s" * 31}, 40058),
    ("externalcontact/add_contact_way", WAY | {"remark": "长" * 31}, 40058),
    ("externalcontact/add_contact_way", WAY | {"is_temp": True, "expires_in": 1209601}, 40058),
    ("externalcontact/get_contact_way", {}, 41043),
    ("externalcontact/get_contact_way", {"config_id": "none"}, 41044),
    ("externalcontact/update_contact_way", {"config_id": "none"}, 41044),
    ("externalcontact/del_contact_way", {"config_id": "none"}, 41044),
    ("externalcontact/list_contact_way", {"cursor": "x"}, 50100),
    ("externalcontact/send_welcome_msg", {"text": {"content": "您好"}}, 41049),
    ("externalcontact/send_welcome_msg", {"welcome_code": "none"}, 41050),
    ("message/send", SEND | {"agentid": "1000002"}, 40056),
    ("message/send", SEND | {"agentid": 7}, 301002),
    ("message/send", SEND | {"msgtype": "song"}, 40008),
    ("message/send", SEND | {"touser": ""}, 82001),
    ("message/send", SEND | {"touser": "|".join(f"u{n}" for n in range(1001))}, 40032),
    ("message/send", SEND | {"toparty": "|".join(str(n) for n in range(101))}, 82002),
    ("message/send", SEND | {"totag": "|".join(str(n) for n in range(101))}, 82003),
    ("message/send", SEND | {"text": {"content": ""}}, 44004),
    ("message/send", SEND | {"touser": "nobody|gone|hidden|fresh"}, 81013),
    ("message/send", SEND | {"msgtype": "image", "image": {"media_id": "none"}}, 40007),
    ("message/send", SEND | {"msgtype": "news", "news": {"articles": [{}] * 9}}, 45008),
    (
        "message/send",
        SEND | {"enable_duplicate_check": 1, "duplicate_check_interval": 14401},
        40058,
    ),
    (
        "message/send",
        SEND | {"msgtype": "textcard", "textcard": {"title": "题", "description": "文"}},
        40058,
    ),
    ("message/send", card(NOTICE, card_type="poster"), 42031),
    ("message/send", card(NOTICE, card_action=None), 42045),
    ("message/send", card(NOTICE, main_title=None), 40058),
    (
        "message/send",
        card(NOTICE, horizontal_content_list=[{"keyname": "门店"}] * 7),
        42035,
    ),
    ("message/send", card(NOTICE, jump_list=[{"title": "看"}] * 4), 42042),
    (
        "message/send",
        card(
            NOTICE,
            task_id="t-9",
            action_menu={"action_list": [{"text": "甲", "key": "k"}, {"text": "乙", "key": "k"}]},
        ),
        42051,
    ),
    ("message/send", card(NOTICE, card_type="news_notice"), 42044),
    ("message/send", card(BUTTONS, task_id=None), 42014),
    ("message/send", card(BUTTONS, task_id="有空格 的"), 42014),
    ("message/send", card(BUTTONS, button_list=[{"key": "done"}]), 42038),
    ("message/send", card(BUTTONS, button_list=[{"text": "完成"}]), 42039),
    (
        "message/send",
        card(BUTTONS, button_selection={"option_list": [{"id": "1", "text": "是"}]}),
        42043,
    ),
    ("message/send", card(VOTE, checkbox=QUESTION | {"option_list": []}), 42037),
    ("message/send", card(VOTE, checkbox=QUESTION | {"option_list": [{"text": "是"}]}), 42040),
    ("message/send", card(VOTE, checkbox=QUESTION | {"option_list": [{"id": "1"}]}), 42041),
    ("message/send", card(VOTE, submit_button={"text": "提交"}), 42046),
    ("message/send", card(VOTE, submit_button={"key": "go"}), 42049),
    ("message/send", card(VOTE, card_type="multiple_interaction"), 42047),
    ("message/update_template_card", {"agentid": 7, "response_code": "c"}, 301002),
    ("message/update_template_card", {"agentid": 1000002}, 60140),
    ("message/update_template_card", {"agentid": 1000002, "response_code": "c"}, 60140),
    ("message/recall", {"msgid": "none"}, 40058),
    ("menu/create", {"button": []}, 40056),
    ("kf/account/list", {"limit": 101}, 40058),
    ("kf/sync_msg", {}, 60251),
    ("kf/sync_msg", {"open_kfid": "xx"}, 95000),
    ("kf/sync_msg", {"open_kfid": "wkNone"}, 95004),
    ("kf/sync_msg", {"open_kfid": "wkXingHe", "token": "none"}, 95007),
    ("kf/sync_msg", {"open_kfid": "wkXingHe", "cursor": "none"}, 50100),
    ("kf/service_state/trans", KF | {"service_state": 1}, 95013),
    ("kf/customer/batchget", {"external_userid_list": []}, 40058),
    ("kf/send_msg_on_event", {"code": "none", "msgtype": "text"}, 95007),
    ("kf/add_contact_way", {"open_kfid": "wkXingHe", "scene": "中文"}, 40058),
]


@pytest.mark.parametrize(("api", "query", "errcode"), GETS)
def test_a_get_is_refused_with_the_platforms_errcode(
    world: World, api: str, query: dict[str, Any], errcode: int
) -> None:
    assert world.get(api, **query)["errcode"] == errcode


def test_every_bad_body_is_refused_with_the_platforms_errcode_and_changes_nothing(
    world: World,
) -> None:
    before = world.town.effects()
    token = world.token()
    answers = [
        (api, body, errcode, world.post(api, body, token=token)["errcode"])
        for api, body, errcode in POSTS
    ]
    assert [one for one in answers if one[2] != one[3]] == []
    assert world.town.effects() == before


def test_a_refusal_carries_a_hint_that_nobody_can_match_on(world: World) -> None:
    first = world.get("user/get", userid="nobody")["errmsg"]
    second = world.get("user/get", userid="nobody")["errmsg"]
    assert first != second
    assert "from ip: 127.0.0.1, more info at https://open.work.weixin.qq.com" in first
    assert world.get("getcallbackip")["errmsg"] == "ok"


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({}, 41002),
        ({"corpid": "ww1"}, 41004),
        ({"corpid": "ww2", "corpsecret": "app-secret"}, 40013),
        ({"corpid": "ww1", "corpsecret": "wrong"}, 40001),
    ],
)
def test_a_token_is_refused_to_strangers(world: World, query: dict[str, str], errcode: int) -> None:
    assert world.get("gettoken", token="", **query)["errcode"] == errcode


def test_hammering_gettoken_with_a_wrong_secret_blocks_even_the_right_one(world: World) -> None:
    world.get("gettoken", token="", corpid="ww1", corpsecret="wrong")
    with world.town.write() as db:
        count(db, world.town.now(), "gettoken wrong 127.0.0.1", 3600, 1999)
    world.get("gettoken", token="", corpid="ww1", corpsecret="wrong")
    right = {"corpid": "ww1", "corpsecret": "app-secret"}
    assert world.get("gettoken", token="", **right)["errcode"] == 45009
    world.pass_time(hours=1, seconds=1)
    assert world.get("gettoken", token="", **right)["errcode"] == 0


def test_checks_come_in_the_platforms_order(world: World) -> None:
    bad = {"userid": 7}
    assert world.post("externalcontact/remark", bad, token="")["errcode"] == 41001
    assert world.post("externalcontact/remark", bad, token="x")["errcode"] == 40014
    token = world.token()
    world.turn(denied_families=["contact"])
    assert world.post("externalcontact/remark", bad, token=token)["errcode"] == 48002
    world.turn(app_is_enabled=False)
    assert world.post("externalcontact/remark", bad, token=token)["errcode"] == 50003
    world.turn(trusted_ips=["10.0.0.1"])
    assert world.post("externalcontact/remark", bad, token=token)["errcode"] == 60020


def test_a_wrong_method_or_a_body_that_is_no_object_is_refused(world: World) -> None:
    assert world.get("externalcontact/remark")["errcode"] == 40058
    assert world.post("getcallbackip", {})["errcode"] == 40058
    assert world.post("externalcontact/remark")["errcode"] == 40058
    assert world.post("externalcontact/remark", [1])["errcode"] == 40058


def test_no_type_in_any_field_breaks_the_platform(world: World) -> None:
    odd = [None, 7, "x", [], {}, [1], [{}], ["x"], True, 1e99, 10**30, "\ud800", {"a": [{}]}]
    token = world.token()
    bodies = {(api, tuple(body)): (api, body) for api, body, _ in POSTS if body}
    for api, body in bodies.values():
        for key in body:
            for value in odd:
                # Raw escapes: a lone surrogate cannot travel as UTF-8.
                data = json.dumps({**body, key: value}).encode()
                answer = world.send("POST", api, token, {}, data)
                assert isinstance(answer["errcode"], int)


@pytest.mark.parametrize(
    ("kind", "data", "errcode"),
    [
        ("song", PNG, 40004),
        ("image", b"12345", 40006),
        ("image", b"no picture at all", 40004),
        ("image", PNG + b"0" * 10 * 1024 * 1024, 40009),
        ("voice", b"0" * (2 * 1024 * 1024 + 1), 45001),
    ],
)
def test_a_bad_file_is_refused(world: World, kind: str, data: bytes, errcode: int) -> None:
    assert world.upload("media/upload", data, kind=kind)["errcode"] == errcode
