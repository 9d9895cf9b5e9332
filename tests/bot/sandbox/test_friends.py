"""Scanning, confirming, welcoming, leaving: what the people do and what the app hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from bot.errors import UserError
from bot.sandbox import actors, guide_actors
from bot.wecom import events
from tests.bot.sandbox.conftest import PNG, World, wait_until


def welcome_code(world: World, *, state: str = "sh001-cashier") -> str:
    """A customer scans; the code her event carries."""
    world.add_way("wangfang", state=state, skip_verify=True)
    before = len(world.receiver.letters)
    actors.scan(world.town, "wmHanMei", state=state)
    event = world.receiver.wait_for(before + 1)[before]
    assert isinstance(event, events.ContactHalfAdded)
    assert event.welcome_code
    return event.welcome_code


def greet(world: World, code: str, **more: Any) -> int:
    body = {"welcome_code": code, "text": {"content": "您好"}, **more}
    return int(world.post("externalcontact/send_welcome_msg", body)["errcode"])


def test_a_scan_without_verification_is_half_a_friend_until_the_guide_confirms(
    world: World,
) -> None:
    code = welcome_code(world)
    detail = world.get("externalcontact/get", external_userid="wmHanMei")
    assert detail["errcode"] == 84061
    assert greet(world, code) == 0
    actors.accept(world.town, "wangfang", "wmHanMei")
    added = world.receiver.wait_for(2)[1]
    assert isinstance(added, events.ContactAdded)
    assert (added.userid, added.state, added.welcome_code) == ("wangfang", "sh001-cashier", None)
    detail = world.get("externalcontact/get", external_userid="wmHanMei")
    assert detail["follow_user"][0]["state"] == "sh001-cashier"
    assert detail["external_contact"]["unionid"].startswith("o")


def test_a_scan_with_verification_brings_the_code_when_the_guide_approves(world: World) -> None:
    config_id = world.add_way("wangfang", state="vip", skip_verify=False)
    assert actors.scan(world.town, "wmHanMei", config_id=config_id)["stage"] == "asked"
    actors.accept(world.town, "wangfang", "wmHanMei")
    [event] = world.receiver.wait_for(1)
    assert isinstance(event, events.ContactAdded)
    assert event.welcome_code
    assert greet(world, event.welcome_code) == 0


def test_the_guides_client_confirms_by_itself_when_the_knob_says_so(world: World) -> None:
    world.turn(accept_after=0.1)
    welcome_code(world)
    assert isinstance(world.receiver.wait_for(2)[1], events.ContactAdded)


def test_a_welcome_goes_out_once_and_arrives_part_by_part(world: World) -> None:
    code = welcome_code(world)
    media_id = world.upload("media/upload", PNG)["media_id"]
    picture = world.upload("media/uploadimg", PNG)["url"]
    parts = [
        {"msgtype": "image", "image": {"media_id": media_id}},
        {"msgtype": "image", "image": {"pic_url": picture}},
        {"msgtype": "link", "link": {"title": "保养手册", "url": "http://127.0.0.1:8000/m/1"}},
    ]
    assert greet(world, code, attachments=parts) == 0
    assert greet(world, code, attachments=parts) == 41051
    [effect] = world.town.effects("welcome_sent")
    assert (effect.who, effect.external_userid) == ("wangfang", "wmHanMei")
    assert effect.payload["text"] == "您好"
    url = f"{world.running.url}/api/customer/wmHanMei"
    bubbles = world.http.get(url, timeout=5).json()["chats"][0]["messages"]
    assert [one["msgtype"] for one in bubbles] == ["text", "text", "image", "image", "link"]


@pytest.mark.parametrize(
    ("more", "errcode"),
    [
        ({"text": {"content": "长" * 1334}}, 40058),
        ({"text": {}}, 40058),
        ({"attachments": [{"msgtype": "link"}] * 10}, 41064),
        ({"attachments": [{"msgtype": "song"}]}, 41065),
        ({"attachments": [{"msgtype": "link", "image": {}}]}, 40058),
        ({"attachments": [{"msgtype": "link", "link": {"title": "无址"}}]}, 40058),
        ({"attachments": [{"msgtype": "image", "image": {"media_id": "x"}}]}, 40007),
        ({"attachments": [{"msgtype": "image", "image": {"pic_url": "http://a/b"}}]}, 40058),
        ({"attachments": [{"msgtype": "file", "file": {"media_id": "x"}}]}, 40007),
    ],
)
def test_a_bad_welcome_is_refused_and_leaves_the_code_usable(
    world: World, more: dict[str, Any], errcode: int
) -> None:
    code = welcome_code(world)
    assert greet(world, code, **more) == errcode
    assert greet(world, code) == 0
    assert len(world.town.effects("welcome_sent")) == 1


def test_a_welcome_code_lives_twenty_seconds(world: World) -> None:
    code = welcome_code(world)
    world.pass_time(seconds=21)
    assert greet(world, code) == 41050
    assert world.town.effects("welcome_sent") == []


def test_two_codes_of_one_friendship_are_worth_one_welcome(world: World) -> None:
    first = welcome_code(world)
    actors.accept(world.town, "wangfang", "wmHanMei")
    second = world.receiver.wait_for(2)[1].welcome_code
    assert second not in (None, first)
    assert (greet(world, second), greet(world, first)) == (0, 41051)
    assert len(world.town.effects("welcome_sent")) == 1


def test_a_customer_who_comes_back_is_greeted_anew(world: World) -> None:
    world.add_way("wangfang", state="again")
    actors.customer_deletes_guide(world.town, "wmLiLei", "wangfang")
    world.receiver.wait_for(1)
    actors.scan(world.town, "wmLiLei", state="again")
    event = world.receiver.wait_for(2)[1]
    assert isinstance(event, events.ContactAdded)
    assert greet(world, str(event.welcome_code)) == 0


def test_a_half_friend_whom_the_guide_deleted_is_not_confirmed_later(world: World) -> None:
    world.turn(accept_after=30)
    welcome_code(world)
    actors.guide_deletes_customer(world.town, "wangfang", "wmHanMei")
    world.pass_time(seconds=31)
    assert actors.accept_due(world.town) == 0
    assert world.get("externalcontact/get", external_userid="wmHanMei")["errcode"] == 84061


def test_no_welcome_after_somebody_spoke_nor_while_consent_is_pending(world: World) -> None:
    code = welcome_code(world)
    world.turn(archive_is_on=True)
    assert greet(world, code) == 41053
    world.turn(archive_is_on=False)
    actors.chat(world.town, "wangfang", "wmHanMei", "customer", "在吗")
    assert greet(world, code) == 41051


def test_a_console_welcome_leaves_the_event_without_a_code(world: World) -> None:
    world.turn(console_welcome=True)
    world.add_way("wangfang", state="s")
    actors.scan(world.town, "wmHanMei", state="s")
    assert world.receiver.wait_for(1)[0].welcome_code is None


def test_who_deletes_whom_decides_what_the_api_still_knows(world: World) -> None:
    actors.customer_deletes_guide(world.town, "wmLiLei", "wangfang")
    assert isinstance(world.receiver.wait_for(1)[0], events.GuideRemoved)
    assert world.get("externalcontact/get", external_userid="wmLiLei")["errcode"] == 0
    actors.guide_deletes_customer(world.town, "wangfang", "wmLiLei")
    assert isinstance(world.receiver.wait_for(2)[1], events.ContactRemoved)
    assert world.get("externalcontact/get", external_userid="wmLiLei")["errcode"] == 84061
    assert world.get("externalcontact/list", userid="wangfang")["errcode"] == 84061


def test_what_the_app_changes_itself_is_never_called_back(world: World) -> None:
    made = world.post(
        "externalcontact/add_corp_tag", {"group_name": "渠道", "tag": [{"name": "收银台"}]}
    )
    tag_id = made["tag_group"]["tag"][0]["id"]
    pair = {"userid": "wangfang", "external_userid": "wmLiLei"}
    assert world.post("externalcontact/mark_tag", pair | {"add_tag": [tag_id]})["errcode"] == 0
    assert world.post("externalcontact/mark_tag", pair | {"add_tag": [tag_id]})["errcode"] == 0
    assert world.post("externalcontact/remark", pair | {"remark": "李先生"})["errcode"] == 0
    [marked] = world.town.effects("tag_marked")
    assert (marked.payload["tag"], marked.payload["change"]) == ("收银台", "add")
    guide_actors.edit_remark(world.town, "wangfang", "wmLiLei", remark="老李")
    [event] = world.receiver.wait_for(1)
    assert isinstance(event, events.ContactEdited)
    batch = world.post(
        "externalcontact/batch/get_by_user", {"userid_list": ["wangfang", "liuyang"]}
    )
    follow = batch["external_contact_list"][0]["follow_info"]
    assert (follow["remark"], follow["tag_id"]) == ("老李", [tag_id])


def test_console_tags_are_told_and_are_not_the_apps_to_change(world: World) -> None:
    ids = guide_actors.console_adds_tags(world.town, "价值", ["高净值"])
    told = world.receiver.wait_for(2)
    # Letters travel side by side: their order is not promised.
    shown = {(one.change, one.tag_type) for one in told}
    assert shown == {("create", "tag_group"), ("create", "tag")}
    change = {"id": ids["高净值"], "name": "改名"}
    assert world.post("externalcontact/edit_corp_tag", change)["errcode"] == 81011
    again = {"group_name": "价值", "tag": [{"name": "高净值"}]}
    assert world.post("externalcontact/add_corp_tag", again)["errcode"] == 40071
    group = world.post("externalcontact/get_corp_tag_list", {})["tag_group"][0]
    guide_actors.console_deletes_tag(world.town, group_id=group["group_id"])
    assert len(world.receiver.wait_for(3)) == 3
    assert world.post("externalcontact/get_corp_tag_list", {})["tag_group"] == []


def test_the_customers_of_guides_come_in_pages(world: World) -> None:
    for number in range(120):
        customer = world.town.add_customer(f"客{number}", external_userid=f"wm{number:03d}")
        world.town.befriend("liuyang", customer)
    ask = {"userid_list": ["liuyang", "wangfang"], "limit": 500}
    first = world.post("externalcontact/batch/get_by_user", ask)
    rest = world.post("externalcontact/batch/get_by_user", ask | {"cursor": first["next_cursor"]})
    sizes = [len(page["external_contact_list"]) for page in (first, rest)]
    assert (sizes, rest["next_cursor"]) == ([100, 21], "")


def test_contact_ways_are_read_changed_and_listed_as_they_were_made(world: World) -> None:
    config_id = world.add_way("wangfang", "liuyang", state="sh001", remark="南京路收银台")
    detail = world.post("externalcontact/get_contact_way", {"config_id": config_id})["contact_way"]
    assert (detail["user"], detail["state"]) == (["wangfang", "liuyang"], "sh001")
    change = {"config_id": config_id, "user": ["liuyang"], "remark": "二号台"}
    assert world.post("externalcontact/update_contact_way", change)["errcode"] == 0
    detail = world.post("externalcontact/get_contact_way", {"config_id": config_id})["contact_way"]
    assert (detail["user"], detail["remark"], detail["state"]) == (["liuyang"], "二号台", "sh001")
    listed = world.post("externalcontact/list_contact_way", {"limit": 1})
    assert listed["contact_way"] == [{"config_id": config_id}]
    kinds = [one.kind for one in world.town.effects()]
    assert kinds == ["contact_way_created", "contact_way_changed"]
    world.pass_time(days=91)
    assert world.post("externalcontact/list_contact_way", {})["contact_way"] == []


def test_impossible_acts_get_one_sentence_and_change_nothing(world: World) -> None:
    version = world.town.version()
    for act in (
        lambda: actors.scan(world.town, "wmHanMei", state="没有"),
        lambda: actors.scan(world.town, "wmNobody", state="没有"),
        lambda: actors.accept(world.town, "wangfang", "wmHanMei"),
        lambda: actors.chat(world.town, "wangfang", "wmLiLei", "ghost", "你好"),
        lambda: guide_actors.click_card(world.town, "wangfang", "m-none", "done"),
    ):
        with pytest.raises(UserError):
            act()
    assert world.town.version() == version
    assert world.receiver.letters == []


def test_a_restart_keeps_everything(world: World) -> None:
    code = welcome_code(world)
    token = world.token()
    world.restart()
    assert world.token() == token
    assert greet(world, code) == 0
    wait_until(lambda: world.town.effects("welcome_sent"))
