"""微信客服: reading in pages, answering within states and limits, codes that work once."""

from __future__ import annotations

from typing import Any

from bot.sandbox import kf_actors
from bot.wecom import events
from tests.bot.sandbox.conftest import World

ACCOUNT = {"open_kfid": "wkXingHe"}
PAIR = ACCOUNT | {"external_userid": "wmLiLei"}
REPLY = ACCOUNT | {"touser": "wmLiLei", "msgtype": "text", "text": {"content": "您有 520 积分"}}


def write(world: World, text: str = "积分") -> str:
    return kf_actors.write(world.town, "wmLiLei", "wkXingHe", text)


def sync(world: World, **more: Any) -> dict[str, Any]:
    return world.post("kf/sync_msg", ACCOUNT | more)


def state(world: World) -> int:
    return int(world.post("kf/service_state/get", PAIR)["service_state"])


def test_a_customers_word_rings_and_is_read_with_the_token_of_the_ring(world: World) -> None:
    msgid = write(world)
    [event] = world.receiver.wait_for(1)
    assert isinstance(event, events.KfArrived)
    page = sync(world, token=event.token)
    [message] = page["msg_list"]
    assert (message["msgid"], message["origin"], message["external_userid"]) == (
        msgid, 3, "wmLiLei",
    )  # fmt: skip
    assert message["text"] == {"content": "积分"}
    assert sync(world, token=event.token, cursor=page["next_cursor"])["msg_list"] == []
    world.pass_time(minutes=10, seconds=1)
    assert sync(world, token=event.token)["errcode"] == 95007


def test_pages_follow_has_more_even_when_a_page_is_empty(world: World) -> None:
    world.turn(kf_page_size=2, kf_empty_pages=1)
    written = [write(world, f"第{number}句") for number in range(5)]
    read, sizes, cursor, has_more = [], [], "", 1
    while has_more:
        page = sync(world, cursor=cursor)
        read += [one["msgid"] for one in page["msg_list"]]
        sizes.append(len(page["msg_list"]))
        cursor, has_more = page["next_cursor"], page["has_more"]
    assert read == written
    assert sizes == [0, 2, 0, 2, 0, 1]


def test_reading_goes_back_three_days_and_never_shows_what_the_app_sent(world: World) -> None:
    write(world, "很久以前")
    world.pass_time(days=3, seconds=1)
    msgid = write(world, "现在")
    assert world.post("kf/send_msg", REPLY)["errcode"] == 0
    assert [one["msgid"] for one in sync(world)["msg_list"]] == [msgid]


def test_reading_without_a_token_is_throttled(world: World) -> None:
    world.turn(kf_calls_without_token=2)
    assert [sync(world)["errcode"] for _ in range(3)] == [0, 0, 45009]


def test_five_answers_for_each_word_of_the_customer(world: World) -> None:
    write(world)
    assert state(world) == 0
    assert [world.post("kf/send_msg", REPLY)["errcode"] for _ in range(6)] == [0] * 5 + [95001]
    assert state(world) == 1
    write(world)
    assert world.post("kf/send_msg", REPLY)["errcode"] == 0
    assert len(world.town.effects("kf_message")) == 6


def test_nothing_can_be_sent_before_the_customer_wrote_or_48_hours_later(world: World) -> None:
    assert world.post("kf/send_msg", REPLY)["errcode"] == 95002
    write(world)
    world.pass_time(hours=48, seconds=1)
    assert world.post("kf/send_msg", REPLY)["errcode"] == 95002
    assert state(world) == 4
    write(world)
    assert state(world) == 0


def test_a_msgid_of_the_app_is_delivered_once(world: World) -> None:
    write(world)
    assert world.post("kf/send_msg", REPLY | {"msgid": "out-1"})["msgid"] == "out-1"
    assert world.post("kf/send_msg", REPLY | {"msgid": "out-1"})["errcode"] == 40058
    assert len(world.town.effects("kf_message")) == 1


def test_states_move_as_the_table_says_and_end_in_4(world: World) -> None:
    write(world)
    move = "kf/service_state/trans"
    queued = world.post(move, PAIR | {"service_state": 2})
    assert queued["errcode"] == 0
    assert world.post("kf/send_msg", REPLY)["errcode"] == 95018
    assert world.post(move, PAIR | {"service_state": 1})["errcode"] == 95016
    notice = {"code": queued["msg_code"], "msgtype": "text", "text": {"content": "正在排队"}}
    menu = notice | {"msgtype": "msgmenu", "msgmenu": {"list": []}}
    assert world.post("kf/send_msg_on_event", menu)["errcode"] == 40008
    assert world.post("kf/send_msg_on_event", notice)["errcode"] == 0
    assert world.post("kf/send_msg_on_event", notice)["errcode"] == 95007
    human = PAIR | {"service_state": 3}
    assert world.post(move, human | {"servicer_userid": "liuyang"})["errcode"] == 60253
    assert world.post(move, human | {"servicer_userid": "fresh"})["errcode"] == 95014
    assert world.post(move, human | {"servicer_userid": "wangfang"})["errcode"] == 0
    assert world.post("kf/service_state/get", PAIR)["servicer_userid"] == "wangfang"
    ended = world.post(move, PAIR | {"service_state": 4})
    assert world.post(move, PAIR | {"service_state": 1})["errcode"] == 95013
    world.pass_time(seconds=21)
    bye = {"code": ended["msg_code"], "msgtype": "text", "text": {"content": "再见"}}
    assert world.post("kf/send_msg_on_event", bye)["errcode"] == 95007


def test_the_welcome_code_comes_once_in_48_hours_and_lives_20_seconds(world: World) -> None:
    code = kf_actors.enter(world.town, "wmLiLei", "wkXingHe", scene="store")
    [message] = sync(world)["msg_list"]
    assert (message["msgtype"], message["event"]["welcome_code"]) == ("event", code)
    assert "external_userid" not in message
    hello = {"code": code, "msgtype": "text", "text": {"content": "欢迎光临"}}
    assert world.post("kf/send_msg_on_event", hello)["errcode"] == 0
    assert kf_actors.enter(world.town, "wmLiLei", "wkXingHe") == ""
    late = kf_actors.enter(world.town, "wmHanMei", "wkXingHe")
    world.pass_time(seconds=21)
    assert world.post("kf/send_msg_on_event", hello | {"code": late})["errcode"] == 95007


def test_a_tap_on_the_menu_is_a_text_with_its_id(world: World) -> None:
    write(world)
    menu = {
        "head_content": "请选择",
        "list": [{"type": "click", "click": {"id": "points", "content": "我的积分"}}],
    }
    sent = world.post("kf/send_msg", REPLY | {"msgtype": "msgmenu", "msgmenu": menu})
    kf_actors.choose(world.town, "wmLiLei", "wkXingHe", sent["msgid"], "points")
    last = sync(world)["msg_list"][-1]
    assert last["text"] == {"content": "我的积分", "menu_id": "points"}
    crowded = menu | {"list": menu["list"] * 11}  # type: ignore[operator]
    body = REPLY | {"msgtype": "msgmenu", "msgmenu": crowded}
    assert world.post("kf/send_msg", body)["errcode"] == 95008


def test_a_servicer_takes_writes_and_ends_and_the_app_reads_all_of_it(world: World) -> None:
    write(world)
    world.post("kf/service_state/trans", PAIR | {"service_state": 2})
    kf_actors.servicer_takes(world.town, "wangfang", "wmLiLei", "wkXingHe")
    kf_actors.servicer_writes(world.town, "wangfang", "wmLiLei", "wkXingHe", "您好")
    kf_actors.servicer_ends(world.town, "wangfang", "wmLiLei", "wkXingHe")
    shown = [
        (one["origin"], one.get("event", {}).get("change_type")) for one in sync(world)["msg_list"]
    ]
    assert shown == [(3, None), (4, 1), (5, None), (4, 3)]
    assert state(world) == 4


def test_accounts_servicers_and_recent_customers_are_listed(world: World) -> None:
    assert world.post("kf/account/list", {})["account_list"][0]["open_kfid"] == "wkXingHe"
    servicers = world.get("kf/servicer/list", open_kfid="wkXingHe")["servicer_list"]
    assert [one["userid"] for one in servicers] == ["fresh", "wangfang"]
    write(world)
    ask = {"external_userid_list": ["wmLiLei", "wmHanMei"]}
    answer = world.post("kf/customer/batchget", ask)
    assert answer["customer_list"][0]["unionid"] == "oLiLei"
    assert answer["invalid_external_userid"] == ["wmHanMei"]
