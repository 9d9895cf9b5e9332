"""Mass messages and moments: asked for by the app, sent by people."""

from __future__ import annotations

from typing import Any

import pytest

from bot.errors import UserError
from bot.sandbox import actors, mass_actors
from tests.bot.sandbox.conftest import PNG, World

ADD = "externalcontact/add_msg_template"
TASK = "externalcontact/get_groupmsg_task"
RESULT = "externalcontact/get_groupmsg_send_result"
LIST = "externalcontact/get_groupmsg_list_v2"
MOMENT = "externalcontact/add_moment_task"
JOB = "externalcontact/get_moment_task_result"


def _ask(world: World, *people: str, **more: Any) -> dict[str, Any]:
    body = {"chat_type": "single", "sender": "wangfang", "external_userid": list(people)}
    return world.post(ADD, {**body, "text": {"content": "新品到店"}} | more)


def _made(world: World, *people: str, **more: Any) -> str:
    reply = _ask(world, *people, **more)
    assert reply["errcode"] == 0, reply
    world.pass_time(seconds=2)
    return str(reply["msgid"])


def _statuses(world: World, msgid: str, userid: str = "wangfang") -> dict[str, int]:
    rows = world.post(RESULT, {"msgid": msgid, "userid": userid})["send_list"]
    return {row["external_userid"]: row["status"] for row in rows}


def test_nothing_is_sent_before_the_guide_confirms(world: World) -> None:
    world.town.befriend("wangfang", "wmHanMei")
    msgid = _made(world, "wmLiLei", "wmHanMei")
    assert world.town.effects("mass_delivered") == []
    assert world.post(TASK, {"msgid": msgid})["task_list"] == [{"userid": "wangfang", "status": 0}]
    assert _statuses(world, msgid) == {"wmLiLei": 0, "wmHanMei": 0}
    counts = mass_actors.confirm_mass(world.town, "wangfang")
    assert counts == {"sent": 2, "not_friends": 0, "over_limit": 0}
    assert [one.external_userid for one in world.town.effects("mass_delivered")] == [
        "wmLiLei",
        "wmHanMei",
    ]
    assert world.post(TASK, {"msgid": msgid})["task_list"][0]["status"] == 2
    assert _statuses(world, msgid) == {"wmLiLei": 1, "wmHanMei": 1}


def test_a_confirmed_message_stands_in_the_chat_and_is_not_sent_twice(world: World) -> None:
    _made(world, "wmLiLei")
    mass_actors.confirm_mass(world.town, "wangfang")
    with world.town.read() as db:
        rows = db.execute("SELECT sender, payload FROM chat_message").fetchall()
    assert [(row["sender"], row["payload"]) for row in rows] == [
        ("guide", '{"content":"新品到店"}')
    ]
    with pytest.raises(UserError):
        mass_actors.confirm_mass(world.town, "wangfang")
    assert len(world.town.effects("mass_delivered")) == 1


def test_right_after_it_was_made_it_cannot_be_asked_about(world: World) -> None:
    msgid = _ask(world, "wmLiLei")["msgid"]
    assert world.post(TASK, {"msgid": msgid})["errcode"] == 41063
    world.pass_time(seconds=2)
    assert world.post(TASK, {"msgid": msgid})["errcode"] == 0


def test_who_is_no_friend_of_the_sender_is_named_and_nobody_at_all_is_refused(
    world: World,
) -> None:
    assert _ask(world, "wmLiLei", "wmHanMei")["fail_list"] == ["wmHanMei"]
    refused = _ask(world, "wmHanMei", "wmNobody")
    assert (refused["errcode"], refused["fail_list"]) == (41048, ["wmHanMei", "wmNobody"])
    assert len(world.town.effects("mass_created")) == 1


def test_without_a_sender_it_goes_to_the_guide_who_chatted_last(world: World) -> None:
    world.town.befriend("liuyang", "wmLiLei")
    world.pass_time(seconds=60)
    actors.chat(world.town, "liuyang", "wmLiLei", "customer", "在吗")
    msgid = _made(world, "wmLiLei", sender="")
    assert [one["userid"] for one in world.post(TASK, {"msgid": msgid})["task_list"]] == ["liuyang"]


def test_a_customer_who_left_is_status_two(world: World) -> None:
    msgid = _made(world, "wmLiLei")
    actors.customer_deletes_guide(world.town, "wmLiLei", "wangfang")
    mass_actors.confirm_mass(world.town, "wangfang")
    assert _statuses(world, msgid) == {"wmLiLei": 2}
    assert world.town.effects("mass_delivered") == []


def test_over_the_cap_of_the_month_a_customer_gets_nothing(world: World) -> None:
    world.turn(mass_per_month=1)
    first = _made(world, "wmLiLei")
    mass_actors.confirm_mass(world.town, "wangfang")
    second = _made(world, "wmLiLei")
    mass_actors.confirm_mass(world.town, "wangfang")
    assert _statuses(world, first) == {"wmLiLei": 1}
    assert _statuses(world, second) == {"wmLiLei": 3}
    world.pass_time(days=31)
    third = _made(world, "wmLiLei")
    mass_actors.confirm_mass(world.town, "wangfang")
    assert _statuses(world, third) == {"wmLiLei": 1}


@pytest.mark.parametrize(
    ("more", "errcode"),
    [
        ({"chat_type": "both"}, 86214),
        ({"text": None}, 40058),
        ({"text": {"content": "长" * 1334}}, 40058),
        ({"sender": "nobody"}, 60111),
        ({"sender": "hidden"}, 60011),
        ({"external_userid": ["wm"] * 2 + [f"wm{n}" for n in range(10_000)]}, 40058),
        ({"attachments": [{"msgtype": "voice", "voice": {}}]}, 41065),
        ({"attachments": [{"msgtype": "image", "image": {"media_id": "3none"}}]}, 40007),
        ({"sender": "", "external_userid": []}, 40058),
        ({"chat_type": "group", "sender": ""}, 40058),
    ],
)
def test_what_it_refuses(world: World, more: dict[str, Any], errcode: int) -> None:
    assert _ask(world, "wmLiLei", **more)["errcode"] == errcode
    assert world.town.effects("mass_created") == []


def test_messages_are_listed_without_a_creator_in_pages_within_a_month(world: World) -> None:
    ids = [_made(world, "wmLiLei") for _ in range(3)]
    now = int(world.town.now())
    asked = {"chat_type": "single", "start_time": now - 600, "end_time": now, "limit": 2}
    page = world.post(LIST, asked)
    rest = world.post(LIST, {**asked, "cursor": page["next_cursor"]})
    rows = page["group_msg_list"] + rest["group_msg_list"]
    assert [row["msgid"] for row in rows] == ids
    assert "creator" not in rows[0]
    assert rest["next_cursor"] == ""
    assert world.post(LIST, {**asked, "start_time": now - 32 * 86400})["errcode"] == 40058
    assert world.post(LIST, {**asked, "cursor": "elsewhere"})["errcode"] == 50100


def test_unknown_and_missing_numbers(world: World) -> None:
    assert world.post(TASK, {})["errcode"] == 41046
    assert world.post(TASK, {"msgid": "msgNone"})["errcode"] == 41047
    assert world.post("externalcontact/get_moment_task", {})["errcode"] == 41059
    assert world.post("externalcontact/get_moment_task", {"moment_id": "mom"})["errcode"] == 41060


def test_a_fourth_reminder_within_a_day_is_too_many(world: World) -> None:
    msgid = _made(world, "wmLiLei")
    remind = "externalcontact/remind_groupmsg_send"
    answers = [world.post(remind, {"msgid": msgid})["errcode"] for _ in range(4)]
    assert answers == [0, 0, 0, 41094]


def test_what_is_cancelled_is_sent_to_nobody(world: World) -> None:
    msgid = _made(world, "wmLiLei")
    cancel = "externalcontact/cancel_groupmsg_send"
    assert world.post(cancel, {"msgid": msgid})["errcode"] == 0
    assert world.post(cancel, {"msgid": msgid})["errcode"] == 41093
    with pytest.raises(UserError):
        mass_actors.confirm_mass(world.town, "wangfang")


def test_a_group_message_shows_only_what_was_sent(world: World) -> None:
    reply = world.post(
        ADD, {"chat_type": "group", "sender": "wangfang", "text": {"content": "周三见"}}
    )
    world.pass_time(seconds=2)
    asked = {"msgid": reply["msgid"], "userid": "wangfang"}
    assert world.post(RESULT, asked)["send_list"] == []
    mass_actors.confirm_mass(world.town, "wangfang", msgid=reply["msgid"])
    [row] = world.post(RESULT, asked)["send_list"]
    assert (row["chat_id"], row["status"]) == ("wrwangfang", 1)
    assert [one.who for one in world.town.effects("group_message_delivered")] == ["wangfang"]


def _moment(world: World, *userids: str, **more: Any) -> dict[str, Any]:
    visible = {"visible_range": {"sender_list": {"user_list": list(userids)}}}
    return world.post(MOMENT, {"text": {"content": "七夕"}, **visible, **more})


def test_a_moment_is_made_in_the_background_and_published_by_people(world: World) -> None:
    jobid = _moment(world, "wangfang", "liuyang", "nobody")["jobid"]
    assert world.get(JOB, jobid=jobid)["status"] == 1
    world.pass_time(seconds=1)
    assert world.get(JOB, jobid=jobid)["status"] == 2
    world.pass_time(seconds=1)
    done = world.get(JOB, jobid=jobid)
    assert done["status"] == 3
    assert done["result"]["invalid_sender_list"]["user_list"] == ["nobody"]
    moment_id = done["result"]["moment_id"]
    mass_actors.publish_moment(world.town, "liuyang")
    rows = world.post("externalcontact/get_moment_task", {"moment_id": moment_id})["task_list"]
    assert {row["userid"]: row["publish_status"] for row in rows} == {"wangfang": 0, "liuyang": 1}
    assert [one.who for one in world.town.effects("moment_published")] == ["liuyang"]
    with pytest.raises(UserError):
        mass_actors.publish_moment(world.town, "liuyang")
    world.pass_time(days=2)
    assert world.get(JOB, jobid=jobid)["errcode"] == 40058


def test_moments_are_ten_a_minute(world: World) -> None:
    answers = [_moment(world, "wangfang")["errcode"] for _ in range(11)]
    assert answers == [0] * 10 + [45009]


def test_a_moment_takes_pictures_that_were_uploaded_for_moments(world: World) -> None:
    usual = world.upload("media/upload", PNG)["media_id"]
    picture = {"msgtype": "image", "image": {"media_id": usual}}
    assert _moment(world, "wangfang", attachments=[picture])["errcode"] == 40007
    url = f"{world.running.platform_url}/cgi-bin/media/upload_attachment"
    query = {"access_token": world.token(), "media_type": "image", "attachment_type": 1}
    files = {"media": ("picture.png", PNG, "image/png")}
    own = world.http.post(url, params=query, files=files, timeout=5).json()["media_id"]
    picture = {"msgtype": "image", "image": {"media_id": own}}
    assert _moment(world, "wangfang", attachments=[picture])["errcode"] == 0
    link = {"msgtype": "link", "link": {"media_id": own, "url": "https://example.com"}}
    assert _moment(world, "wangfang", attachments=[picture, link])["errcode"] == 40063
    assert _ask(world, "wmLiLei", attachments=[picture])["errcode"] == 40007
    nothing = world.post(MOMENT, {"visible_range": {"sender_list": {"user_list": ["wangfang"]}}})
    assert nothing["errcode"] == 41089
