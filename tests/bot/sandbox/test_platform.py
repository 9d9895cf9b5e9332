"""Tokens, frequency, faults and the crowd: the platform as a whole."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import requests

from bot.clock import Clock
from bot.errors import UserError
from bot.sandbox import guide_actors, knobs
from bot.sandbox.config import SandboxConfig
from bot.sandbox.populate import populate
from bot.sandbox.serving import serve
from bot.sandbox.town import Town
from tests.bot.sandbox.conftest import PNG, World, wait_until

LIST = "externalcontact/get_follow_user_list"


def test_a_token_stays_the_same_until_near_its_end_and_then_expires(world: World) -> None:
    token = world.token()
    assert world.token() == token
    world.pass_time(seconds=6950)
    fresh = world.token()
    assert fresh != token
    assert world.get(LIST, token=token)["errcode"] == 0
    world.pass_time(seconds=300)
    assert world.get(LIST, token=token)["errcode"] == 42001
    assert world.get(LIST, token=fresh)["errcode"] == 0


def test_a_forced_death_of_tokens_is_42001_until_a_new_one_is_fetched(world: World) -> None:
    token = world.token()
    knobs.expire_tokens(world.town)
    assert world.get(LIST, token=token)["errcode"] == 42001
    assert world.get(LIST)["errcode"] == 0


def test_over_the_minute_limit_the_api_is_closed_for_a_minute_and_only_this_one(
    world: World,
) -> None:
    world.turn(minute_limit=3)
    token = world.token()
    answers = [world.get(LIST, token=token)["errcode"] for _ in range(5)]
    assert answers == [0, 0, 0, 45009, 45009]
    assert world.get("department/list", token=token)["errcode"] == 0
    world.pass_time(seconds=50)
    assert world.get(LIST, token=token)["errcode"] == 45009
    world.pass_time(seconds=11)
    assert world.get(LIST, token=token)["errcode"] == 0


def test_the_hour_limit_closes_for_an_hour(world: World) -> None:
    world.turn(hour_limit=1)
    token = world.token()
    assert [world.get(LIST, token=token)["errcode"] for _ in range(2)] == [0, 45009]
    world.pass_time(minutes=59)
    assert world.get(LIST, token=token)["errcode"] == 45009
    world.pass_time(minutes=2)
    assert world.get(LIST)["errcode"] == 0


def test_too_many_calls_at_once_are_45033(world: World) -> None:
    world.turn(concurrent_limit=2, latency=0.8)
    token = world.token()
    url = f"{world.running.platform_url}/cgi-bin/{LIST}"

    def call(_: int) -> int:
        return int(requests.get(url, {"access_token": token}, timeout=5).json()["errcode"])

    with ThreadPoolExecutor(6) as crowd:
        codes = list(crowd.map(call, range(6)))
    assert set(codes) == {0, 45033}
    assert codes.count(0) >= 2


def test_faults_strike_as_often_as_they_were_told(world: World) -> None:
    token = world.token()
    knobs.add_fault(world.town, LIST, "errcode", -1, times=2)
    assert [world.get(LIST, token=token)["errcode"] for _ in range(3)] == [-1, -1, 0]
    url = f"{world.running.platform_url}/cgi-bin/{LIST}"
    knobs.add_fault(world.town, "*", "status", 502)
    assert requests.get(url, {"access_token": token}, timeout=5).status_code == 502
    knobs.add_fault(world.town, LIST, "html")
    reply = requests.get(url, {"access_token": token}, timeout=5)
    assert (reply.status_code, reply.text[:6]) == (200, "<html>")
    knobs.add_fault(world.town, LIST, "truncate_after")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        requests.get(url, {"access_token": token}, timeout=5).json()
    assert world.town.calls(LIST) == [
        (LIST, -1), (LIST, -1), (LIST, 0), (LIST, -502), (LIST, -200), (LIST, 0),
    ]  # fmt: skip


def test_a_call_may_take_effect_and_then_hang(world: World) -> None:
    token = world.token()
    knobs.add_fault(world.town, "message/send", "hang_after", 1.0)
    body = {"touser": "wangfang", "agentid": 1000002, "msgtype": "text", "text": {"content": "x"}}
    url = f"{world.running.platform_url}/cgi-bin/message/send"
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(url, params={"access_token": token}, json=body, timeout=0.4)
    wait_until(lambda: len(world.town.effects("app_message")) == 1)


def test_a_wrong_knob_changes_nothing(world: World) -> None:
    for wrong in ({"nothing": 1}, {"latency": "slow"}, {"minute_limit": 1.5}, {"latency": -1}):
        with pytest.raises(UserError):
            world.turn(**{"callback_tries": 7, **wrong})
    with world.town.read() as db:
        assert knobs.knob(db, "callback_tries") == 3


def test_a_login_code_works_once_and_for_five_minutes(world: World) -> None:
    door = f"{world.running.url}/oauth2/authorize"
    query = {
        "appid": "ww1",
        "redirect_uri": "http://127.0.0.1:8000/h5/login?next=%2Fh5%2F",
        "response_type": "code",
        "scope": "snsapi_base",
        "state": "s1",
    }

    def code(**more: str) -> str:
        reply = requests.get(door, query | more, allow_redirects=False, timeout=5)
        target = requests.models.PreparedRequest()
        target.prepare_url(reply.headers["Location"], None)
        assert "state=s1" in str(target.url)
        assert "next=%2Fh5%2F" in str(target.url)
        return str(target.url).partition("code=")[2].partition("&")[0]

    first = code(userid="WANGFANG")
    assert world.get("auth/getuserinfo", code=first)["userid"] == "wangfang"
    assert world.get("auth/getuserinfo", code=first)["errcode"] == 40029
    late = code(userid="wangfang")
    world.pass_time(minutes=5, seconds=1)
    assert world.get("auth/getuserinfo", code=late)["errcode"] == 40029
    picker = requests.get(door, query, timeout=5)
    assert "王芳" in picker.text
    assert "不可见" not in picker.text
    cookies = {"sandbox_userid": "liuyang"}
    reply = requests.get(door, query, cookies=cookies, allow_redirects=False, timeout=5)
    assert reply.status_code == 302
    evil = query | {"redirect_uri": "http://evil.example/h5", "userid": "wangfang"}
    assert "50001" in requests.get(door, evil, allow_redirects=False, timeout=5).text


def test_tickets_live_two_hours_and_are_throttled(world: World) -> None:
    ticket = world.get("ticket/get", type="agent_config")["ticket"]
    assert world.get("ticket/get", type="agent_config")["ticket"] == ticket
    world.pass_time(seconds=7201)
    assert world.get("ticket/get", type="agent_config")["ticket"] != ticket
    assert world.get("get_jsapi_ticket")["expires_in"] == 7200


def test_the_ledger_can_neither_be_changed_nor_shortened(world: World) -> None:
    world.add_way("wangfang", state="s")
    for sql in ("UPDATE effect SET who = 'x'", "DELETE FROM effect"):
        with pytest.raises(sqlite3.IntegrityError), world.town.write() as db:
            db.execute(sql)
    assert [one.kind for one in world.town.effects()] == ["contact_way_created"]


def test_pictures_and_codes_are_shown_and_files_never_as_pages(world: World) -> None:
    url = world.upload("media/uploadimg", PNG)["url"]
    path = url.removeprefix("http://127.0.0.1:8000/sandbox")
    assert requests.get(f"{world.running.url}{path}", timeout=5).content == PNG
    page = world.upload("media/upload", b"<script>alert(1)</script>", kind="file")["media_id"]
    reply = requests.get(f"{world.running.url}/media/{page}", timeout=5)
    assert reply.headers["Content-Type"] == "application/octet-stream"
    qr = requests.get(f"{world.running.url}/qr/{world.add_way('wangfang')}", timeout=5)
    assert qr.headers["Content-Type"].startswith("image/svg+xml")


def test_populating_twice_adds_nothing_and_mirrors_the_brand(world: World) -> None:
    since = datetime(2025, 5, 20, tzinfo=UTC)
    people = [
        {
            "external_userid": f"wmSample{number:05d}",
            "name": f"会员{number}",
            "friends": [{"userid": "zhangsan", "since": since}],
        }
        for number in range(3000)
    ]
    for _ in range(2):
        ids = populate(
            world.town,
            regions=[{"code": "east", "name": "华东"}],
            stores=[{"code": "SH002", "name": "徐家汇店", "region": "east"}],
            guides=[{"userid": "zhangsan", "name": "张三", "store": "SH002", "manager": True}],
            customers=people,
        )
    departments = {one["id"]: one for one in world.get("department/list")["department"]}
    assert departments[ids["SH002"]]["parentid"] == ids["east"]
    assert departments[ids["SH002"]]["department_leader"] == ["zhangsan"]
    listed = world.get("user/list", department_id=ids["SH002"])["userlist"]
    assert [one["name"] for one in listed] == ["张三"]
    mine = world.get("externalcontact/list", userid="zhangsan")["external_userid"]
    assert len(mine) == 3000
    assert world.receiver.letters == []


def _write_many(path: Path, name: str) -> None:
    config = SandboxConfig(
        path / "many.db", "ww1", 1, "s", "t", "k", "", "", "e", Clock(), "http://127.0.0.1:1"
    )
    town = Town(config)
    for number in range(40):
        town.add_customer(f"{name}{number}")
        with town.write() as db:
            town.record(db, "tag_marked", name)


def _serve_until_killed(path: Path, pipe: Connection) -> None:
    config = SandboxConfig(
        path / "killed.db", "ww1", 1, "s", "t", "k", "", "", "e", Clock(), "http://127.0.0.1:1"
    )
    running = serve(config)
    running.town.add_member("wangfang", "王芳")
    pipe.send(running.platform_url)
    running.wait()


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    start = multiprocessing.get_context("spawn")
    here, there = start.Pipe()
    process = start.Process(target=_serve_until_killed, args=(tmp_path, there))
    process.start()
    base = f"{here.recv()}/cgi-bin"
    secret = {"corpid": "ww1", "corpsecret": "s"}
    token = requests.get(f"{base}/gettoken", secret, timeout=5).json()["access_token"]
    text = {"touser": "wangfang", "agentid": 1, "msgtype": "text", "text": {"content": "早"}}
    for _ in range(20):
        requests.post(f"{base}/message/send", params={"access_token": token}, json=text, timeout=5)
    process.kill()
    process.join()
    config = SandboxConfig(
        tmp_path / "killed.db", "ww1", 1, "s", "t", "k", "", "", "e", Clock(), "http://127.0.0.1:1"
    )
    town = Town(config)
    assert len(town.effects("app_message")) == 20
    town.close()
    here.close()
    there.close()


def test_several_processes_share_one_file_from_its_first_moment(tmp_path: Path) -> None:
    start = multiprocessing.get_context("spawn")
    workers = [start.Process(target=_write_many, args=(tmp_path, name)) for name in "甲乙丙"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    config = SandboxConfig(
        tmp_path / "many.db", "ww1", 1, "s", "t", "k", "", "", "e", Clock(), "http://127.0.0.1:1"
    )
    town = Town(config)
    assert len(town.effects("tag_marked")) == 120
    town.close()


def test_a_crowd_of_letters_and_calls_is_borne(world: World) -> None:
    """A crowd far below what the machine bears must pass without a loss or a double."""
    token = world.token()
    url = f"{world.running.platform_url}/cgi-bin/{LIST}"
    began = time.monotonic()
    with ThreadPoolExecutor(4) as crowd:
        answers = crowd.map(
            lambda _: requests.get(url, {"access_token": token}, timeout=5).json()["errcode"],
            range(60),
        )
        for number in range(300):
            guide_actors.write_to_app(world.town, "wangfang", str(number))
        assert set(answers) == {0}
    world.receiver.wait_for(300, 20)
    texts = sorted(int(one.text) for one in world.receiver.events())
    assert texts == list(range(300))
    wait_until(lambda: len(world.town.letters("delivered")) == 300)
    assert time.monotonic() - began < 20
