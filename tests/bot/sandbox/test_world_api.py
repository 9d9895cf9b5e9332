"""The JSON door of the phones: looking is cheap, acting is checked, bells ring or are absent."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
import requests

from bot.sandbox.serving import serve
from tests.bot.sandbox.conftest import World


def look(world: World, path: str, **query: Any) -> dict[str, Any]:
    answer: dict[str, Any] = requests.get(
        f"{world.running.url}/api/{path}", query, timeout=5
    ).json()
    return answer


def do(world: World, act: str, **body: Any) -> requests.Response:
    return requests.post(f"{world.running.url}/api/do/{act}", json=body, timeout=5)


def test_a_phone_that_has_seen_everything_is_told_so_and_no_more(world: World) -> None:
    first = look(world, "guide/wangfang")
    assert [one["name"] for one in first["customers"]] == ["李雷"]
    assert look(world, "guide/wangfang", since=first["version"]) == {
        "version": first["version"],
        "unchanged": True,
    }
    assert do(world, "chat", userid="wangfang", external_userid="wmLiLei", sender="customer",
              text="周末在店里吗").status_code == 200  # fmt: skip
    second = look(world, "guide/wangfang", since=first["version"])
    assert second["customers"][0]["last"]["content"] == {"content": "周末在店里吗"}
    assert look(world, "version")["version"] == second["version"]


def test_calls_of_the_app_that_change_nothing_do_not_wake_the_phones(world: World) -> None:
    world.token()
    before = world.town.version()
    world.get("department/list")
    world.get("user/get", userid="nobody")
    assert world.town.version() == before


def test_a_scan_shows_on_both_phones(world: World) -> None:
    config_id = world.add_way("wangfang", state="sh001", skip_verify=True, remark="收银台")
    assert look(world, "world")["codes"][0]["config_id"] == config_id
    do(world, "scan", external_userid="wmHanMei", config_id=config_id)
    assert look(world, "guide/wangfang")["requests"][0]["name"] == "韩梅"
    assert look(world, "customer/wmHanMei")["chats"][0]["stage"] == "half"
    do(world, "accept", userid="wangfang", external_userid="wmHanMei")
    assert look(world, "guide/wangfang")["requests"] == []
    made = do(world, "add_customer", name="新客", gender=1).json()["result"]
    assert look(world, "customer/" + made)["customer"]["name"] == "新客"
    assert look(world, "world", q="新客")["customers"][0]["external_userid"] == made


@pytest.mark.parametrize(
    ("act", "body"),
    [
        ("fly", {}),
        ("scan", {}),
        ("scan", {"external_userid": 7, "config_id": "x"}),
        ("scan", {"external_userid": "wmHanMei", "unknown": "x"}),
        ("buy", {"external_userid": "wmLiLei", "lines": ["x"], "store": "SH001"}),
        ("edit_tags", {"userid": "wangfang", "external_userid": "wmLiLei", "add": "et"}),
        ("turn_knobs", {"nothing": 1}),
    ],
)
def test_a_wrong_act_gets_one_chinese_sentence(
    world: World, act: str, body: dict[str, Any]
) -> None:
    version = world.town.version()
    reply = do(world, act, **body)
    assert reply.status_code == 400
    assert reply.json()["error"].endswith("。")
    assert world.town.version() == version


def test_a_form_of_a_foreign_page_cannot_act(world: World) -> None:
    url = f"{world.running.url}/api/do/expire_tokens"
    assert requests.post(url, data={"a": "b"}, timeout=5).status_code == 400


def test_time_runs_forward_only_and_not_for_ever(world: World) -> None:
    url = f"{world.running.url}/api/clock"
    before = world.town.now()
    assert requests.post(url, json={"days": 3}, timeout=5).status_code == 200
    assert world.town.now() - before >= 3 * 86400
    for wrong in ({"days": -1}, {"days": "3"}, {"days": 500}):
        assert requests.post(url, json=wrong, timeout=5).status_code == 400
    assert world.town.now() - before < 3 * 86400 + 60


def test_night_and_morning_ring_the_given_bell_or_are_not_there(world: World) -> None:
    assert requests.post(f"{world.running.url}/api/night", timeout=5).status_code == 404
    nights: list[date] = []
    other = serve(replace(world.config, on_night=nights.append))
    try:
        url = f"{other.url}/api/night"
        assert requests.post(url, json={"day": "2026-11-22"}, timeout=5).status_code == 200
        assert requests.post(url, json={"day": "gestern"}, timeout=5).status_code == 400
    finally:
        other.stop()
    assert nights == [date(2026, 11, 22)]
