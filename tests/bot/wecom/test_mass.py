"""Mass messages and moments through the gateway, against the pretend platform."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot import errors
from bot.limiter import OWN_LIMITS
from bot.sandbox import mass_actors
from bot.settings import WeComSettings
from bot.wecom import mass, moments
from bot.wecom.gateway import Gateway
from bot.wecom.messages import Image, Link, Video
from bot.wecom.tokens import TokenStore
from tests.bot.sandbox.conftest import KEYS, PNG, World, receiver, world

__all__ = ["receiver", "world"]


@pytest.fixture
def in_town(world: World, tokens: TokenStore) -> Iterator[Gateway]:
    wecom = WeComSettings(
        world.running.platform_url, KEYS.receive_id, 1000002, "app-secret", KEYS.token, KEYS.aes_key
    )
    gateway = Gateway(wecom, tokens=tokens, limiter=None, clock=world.clock)
    yield gateway
    gateway.close()


def _read(body: bytes) -> Any:
    return json.loads(body)


def test_a_mass_message_is_for_one_guide_and_the_same_bytes_each_time() -> None:
    attachments = [Link("新品", "https://example.com/new")]
    body = mass.mass_message_body("wangfang", ["wm1", "wm2"], "您好", attachments)
    assert body == mass.mass_message_body("wangfang", ["wm1", "wm2"], "您好", attachments)
    assert _read(body) == {
        "chat_type": "single",
        "sender": "wangfang",
        "external_userid": ["wm1", "wm2"],
        "text": {"content": "您好"},
        "attachments": [
            {"msgtype": "link", "link": {"title": "新品", "url": "https://example.com/new"}}
        ],
    }
    assert "external_userid" not in _read(mass.group_message_body("wangfang", "周三见"))


@pytest.mark.parametrize(
    ("userid", "people", "text", "attachments"),
    [
        ("wangfang", [], "您好", []),
        ("wangfang", ["wm"] * 10_001, "您好", []),
        ("wangfang", ["wm"], "", []),
        ("", ["wm"], "您好", []),
        ("wangfang", ["wm"], "您好", [Image(media_id="3")] * 10),
    ],
)
def test_a_mass_message_that_would_be_refused_is_not_made(
    userid: str, people: list[str], text: str, attachments: list[Image]
) -> None:
    with pytest.raises(errors.UserError):
        mass.mass_message_body(userid, people, text, attachments)


def test_a_moment_has_pictures_or_one_video() -> None:
    body = _read(moments.moment_body(["a", "b"], "七夕", [Image(media_id="W1")]))
    assert body["visible_range"] == {"sender_list": {"user_list": ["a", "b"]}}
    assert body["attachments"] == [{"msgtype": "image", "image": {"media_id": "W1"}}]
    for attachments in ([Video("W1"), Image(media_id="W2")], [Image(media_id="W")] * 10):
        with pytest.raises(errors.UserError):
            moments.moment_body(["a"], "七夕", attachments)
    for userids, text in (([], "七夕"), (["a"], "")):
        with pytest.raises(errors.UserError):
            moments.moment_body(userids, text)


def test_a_long_moment_is_cut_between_characters() -> None:
    words = _read(moments.moment_body(["a"], "长" * 3000))["text"]["content"]
    assert len(words) <= 2000
    assert len(words.encode()) <= 4000


def test_a_mass_message_is_made_asked_about_and_cancelled(in_town: Gateway, world: World) -> None:
    made = in_town.add_mass_message("wangfang", ["wmLiLei", "wmHanMei"], "新品到店")
    assert made.refused == ("wmHanMei",)
    with pytest.raises(errors.RateLimited):
        in_town.mass_message_tasks(made.msgid)
    world.pass_time(seconds=2)
    [task] = in_town.mass_message_tasks(made.msgid)
    assert (task.userid, task.is_sent) == ("wangfang", False)
    now: datetime = world.clock.now()
    [listed] = in_town.mass_messages(now - timedelta(hours=1), now + timedelta(hours=1))
    assert (listed.msgid, listed.creator, listed.text) == (made.msgid, "", "新品到店")
    [outcome] = in_town.mass_message_outcomes(made.msgid, "wangfang")
    assert (outcome.receiver, outcome.status) == ("wmLiLei", mass.Sent.WAITING)
    in_town.remind_mass_message(made.msgid)
    mass_actors.confirm_mass(world.town, "wangfang")
    assert in_town.mass_message_tasks(made.msgid)[0].is_sent
    [outcome] = in_town.mass_message_outcomes(made.msgid, "wangfang")
    assert outcome.status == mass.Sent.SENT
    assert outcome.sent_at is not None
    in_town.cancel_mass_message(made.msgid)
    with pytest.raises(errors.Refused):
        in_town.cancel_mass_message(made.msgid)


def test_results_are_read_to_the_last_page(in_town: Gateway, world: World) -> None:
    people = [world.town.add_customer(f"客户{n}", external_userid=f"wm{n:04}") for n in range(1005)]
    for one in people:
        world.town.befriend("wangfang", one)
    made = in_town.add_mass_message("wangfang", people, "新品到店")
    world.pass_time(seconds=2)
    assert len(in_town.mass_message_outcomes(made.msgid, "wangfang")) == 1005


def test_a_group_message_says_which_group_got_it(in_town: Gateway, world: World) -> None:
    made = in_town.add_group_message("wangfang", "周三见")
    world.pass_time(seconds=2)
    mass_actors.confirm_mass(world.town, "wangfang")
    [outcome] = in_town.mass_message_outcomes(made.msgid, "wangfang")
    assert (outcome.receiver, outcome.status) == ("wrwangfang", 1)


def test_a_moment_is_made_by_a_job_and_published_by_guides(in_town: Gateway, world: World) -> None:
    picture = in_town.upload_moment_attachment("image", "七夕.png", PNG)
    jobid = in_town.add_moment(["wangfang", "nobody"], "七夕", [Image(media_id=picture)])
    assert not in_town.moment_job(jobid).is_done
    world.pass_time(seconds=3)
    job = in_town.moment_job(jobid)
    assert (job.is_done, job.errcode, job.invalid_users) == (True, 0, ("nobody",))
    now: datetime = world.clock.now()
    [listed] = in_town.moments(now - timedelta(hours=1), now + timedelta(hours=1))
    assert (listed.moment_id, listed.text) == (job.moment_id, "七夕")
    mass_actors.publish_moment(world.town, "wangfang")
    [publication] = in_town.moment_publications(job.moment_id)
    assert (publication.userid, publication.is_published) == ("wangfang", True)
    with pytest.raises(errors.UserError):
        in_town.upload_moment_attachment("file", "a.pdf", PNG)


def test_moments_keep_below_ten_a_minute() -> None:
    minute, month = OWN_LIMITS[moments.API]
    assert (minute.per, minute.count <= 8) == (60, True)
    assert (month.per, month.count <= 80_000) == (30 * 86400, True)
