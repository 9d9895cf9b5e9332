"""Messages and cards to members: who gets them, how often, and what becomes of a card."""

from __future__ import annotations

from typing import Any

import pytest

from bot.errors import UserError
from bot.sandbox import guide_actors
from bot.wecom import callback, events
from tests.bot.sandbox.conftest import KEYS, PNG, World, wait_until

TEXT = {"touser": "wangfang", "agentid": 1000002, "msgtype": "text", "text": {"content": "早安"}}
CARD = {
    "touser": "wangfang|liuyang",
    "agentid": 1000002,
    "msgtype": "template_card",
    "template_card": {
        "card_type": "button_interaction",
        "main_title": {"title": "客户等你回复"},
        "button_list": [{"text": "完成", "key": "done"}, {"text": "跳过", "key": "skip"}],
        "task_id": "task-1",
    },
}


def app_chat(world: World, userid: str) -> list[dict[str, Any]]:
    answer = world.http.get(f"{world.running.url}/api/guide/{userid}", timeout=5).json()
    return list(answer["app"])


def test_valid_receivers_get_the_message_and_the_others_are_named_in_lower_case(
    world: World,
) -> None:
    answer = world.post("message/send", TEXT | {"touser": "WangFang|Nobody|gone"})
    assert (answer["errcode"], answer["invaliduser"]) == (0, "nobody|gone")
    [effect] = world.town.effects("app_message")
    assert (effect.who, effect.payload["content"]["content"]) == ("wangfang", "早安")
    assert app_chat(world, "wangfang")[0]["content"] == {"content": "早安"}


def test_a_department_and_everybody_can_be_addressed_once_each(world: World) -> None:
    store = world.get("department/list")["department"][1]["id"]
    world.post("message/send", TEXT | {"touser": "wangfang", "toparty": str(store)})
    active = {"wangfang", "liuyang", "unverified"}
    reached = [one.who for one in world.town.effects("app_message")]
    assert (len(reached), set(reached)) == (3, active)
    world.post("message/send", TEXT | {"touser": "@all"})
    reached = [one.who for one in world.town.effects("app_message")][3:]
    assert (len(reached), set(reached)) == (3, active)


def test_a_long_text_is_cut_at_2048_bytes_without_breaking_a_character(world: World) -> None:
    world.post("message/send", TEXT | {"text": {"content": "长" * 1000}})
    [effect] = world.town.effects("app_message")
    assert effect.payload["content"]["content"] == "长" * 682


def test_the_same_request_is_delivered_once_within_its_check_window(world: World) -> None:
    checked = TEXT | {"enable_duplicate_check": 1, "duplicate_check_interval": 600}
    first = world.post("message/send", checked)
    second = world.post("message/send", checked)
    assert second["errcode"] == 0
    assert second["msgid"] == first["msgid"]
    assert len(world.town.effects("app_message")) == 1
    world.pass_time(seconds=601)
    world.post("message/send", checked)
    assert len(world.town.effects("app_message")) == 2


def test_the_31st_message_of_a_minute_vanishes_without_an_error(world: World) -> None:
    token = world.token()
    world.pass_time(seconds=60 - world.town.now() % 60 + 1)
    answers = {world.post("message/send", TEXT, token=token)["errcode"] for _ in range(32)}
    assert answers == {0}
    assert len(world.town.effects("app_message")) == 30
    assert len(app_chat(world, "wangfang")) == 30
    world.pass_time(seconds=61)
    world.post("message/send", TEXT, token=token)
    assert len(world.town.effects("app_message")) == 31


def test_the_days_quota_of_persons_ends_in_45009(world: World) -> None:
    world.turn(account_limit=1)
    everybody = TEXT | {"touser": "wangfang|liuyang"}
    codes = [world.post("message/send", everybody)["errcode"] for _ in range(101)]
    assert codes == [0] * 100 + [45009]
    assert world.post("message/send", TEXT)["errcode"] == 45009
    world.pass_time(days=1)
    assert world.post("message/send", TEXT)["errcode"] == 0


def test_a_click_comes_back_with_a_code_that_changes_the_card_once(world: World) -> None:
    sent = world.post("message/send", CARD)
    code = guide_actors.click_card(world.town, "wangfang", sent["msgid"], "done")
    [event] = world.receiver.wait_for(1)
    assert isinstance(event, events.CardClicked)
    assert (event.userid, event.task_id, event.key) == ("wangfang", "task-1", "done")
    assert event.response_code == code
    update = {
        "agentid": 1000002,
        "response_code": code,
        "userids": ["wangfang"],
        "button": {"replace_name": "已完成"},
    }
    assert world.post("message/update_template_card", update | {"userids": []})["errcode"] == 82101
    foreign = update | {"userids": ["hidden"]}
    assert world.post("message/update_template_card", foreign)["errcode"] == 82102
    assert world.post("message/update_template_card", update)["errcode"] == 0
    assert world.post("message/update_template_card", update)["errcode"] == 60140
    assert app_chat(world, "wangfang")[0]["replaced"] == "已完成"
    assert app_chat(world, "liuyang")[0]["replaced"] == ""
    [effect] = world.town.effects("card_updated")
    assert (effect.who, effect.payload["button"]) == ("wangfang", "已完成")
    with pytest.raises(UserError):
        guide_actors.click_card(world.town, "wangfang", sent["msgid"], "done")


def test_the_code_of_the_sending_reply_lives_72_hours(world: World) -> None:
    sent = world.post("message/send", CARD)
    card = {"card_type": "text_notice", "main_title": {"title": "已处理"},
            "card_action": {"type": 1, "url": "http://127.0.0.1:8000/h5/"}}  # fmt: skip
    update = {"agentid": 1000002, "response_code": sent["response_code"], "atall": 1,
              "template_card": card}  # fmt: skip
    world.pass_time(hours=72, seconds=1)
    assert world.post("message/update_template_card", update)["errcode"] == 60140
    assert world.post("message/send", CARD)["errcode"] == 42014
    fresh = CARD | {"template_card": {**CARD["template_card"], "task_id": "task-2"}}  # type: ignore[dict-item]
    update["response_code"] = world.post("message/send", fresh)["response_code"]
    assert world.post("message/update_template_card", update)["errcode"] == 0
    assert len(world.town.effects("card_updated")) == 2


def test_a_passive_reply_reaches_only_the_member_who_asked(world: World) -> None:
    sent = world.post("message/send", CARD)

    def reply(plaintext: bytes) -> bytes:
        inner = (
            b"<xml><MsgType>update_button</MsgType><Button><ReplaceName>OK</ReplaceName>"
            b"</Button></xml>"
            if b"template_card_event" in plaintext
            else "<xml><MsgType>text</MsgType><Content>收到</Content></xml>".encode()
        )
        return callback.seal_reply(KEYS, inner, timestamp=1, nonce="n")

    world.receiver.reply = reply
    guide_actors.write_to_app(world.town, "liuyang", "今日")
    guide_actors.click_card(world.town, "wangfang", sent["msgid"], "skip")
    wait_until(lambda: world.town.effects("card_updated"))
    wait_until(lambda: len(world.town.effects("app_message")) == 3)
    assert world.town.effects("card_updated")[0].who == "wangfang"
    last = app_chat(world, "liuyang")[-1]
    assert (last["sender"], last["content"]) == ("app", {"content": "收到"})
    heard = {type(event) for event in world.receiver.events()}
    assert heard == {events.GuideMessage, events.CardClicked}


def test_a_recalled_message_leaves_the_chat_until_24_hours_have_passed(world: World) -> None:
    first = world.post("message/send", TEXT)["msgid"]
    assert world.post("message/recall", {"msgid": first})["errcode"] == 0
    assert app_chat(world, "wangfang")[0]["is_recalled"]
    second = world.post("message/send", TEXT)["msgid"]
    world.pass_time(hours=24, seconds=1)
    assert world.post("message/recall", {"msgid": second})["errcode"] == 42052


def test_media_live_three_days_and_only_as_what_they_are(world: World) -> None:
    media_id = world.upload("media/upload", PNG)["media_id"]
    image = TEXT | {"msgtype": "image", "image": {"media_id": media_id}}
    assert world.post("message/send", image)["errcode"] == 0
    as_file = TEXT | {"msgtype": "file", "file": {"media_id": media_id}}
    assert world.post("message/send", as_file)["errcode"] == 40007
    world.pass_time(days=3, seconds=1)
    assert world.post("message/send", image)["errcode"] == 40007


def test_entering_the_app_and_coming_into_range_are_app_events(world: World) -> None:
    guide_actors.enter_app(world.town, "wangfang")
    guide_actors.subscribe(world.town, "liuyang", joins=False)
    told = world.receiver.wait_for(2)
    assert {type(one) for one in told} == {events.AppEntered, events.GuideUnsubscribed}
    assert all(b"<AgentID>" in body for body in world.receiver.bodies)
    assert world.post("message/send", TEXT | {"touser": "liuyang"})["errcode"] == 81013
