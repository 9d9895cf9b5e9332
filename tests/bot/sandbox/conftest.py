"""A pretend corp on a real port, an app's callback address to answer it, and a caller."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from bot.clock import Clock
from bot.sandbox import knobs
from bot.sandbox.config import SandboxConfig
from bot.sandbox.serving import RunningSandbox, serve
from bot.wecom import callback

KEYS = callback.CallbackKeys("sandboxtoken", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "ww1")
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 64


class Receiver:
    """The app's callback address: keeps what came, answers what it is told."""

    def __init__(self) -> None:
        self.letters: list[bytes] = []
        self.queries: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.purchases: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.waits: list[float] = []
        self.reply: Callable[[bytes], bytes] = lambda _: b""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = dict(parse_qsl(urlsplit(self.path).query))
                self._answer(200, callback.verify_echo(KEYS, query).encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path.startswith("/events"):
                    receiver.purchases.append((dict(self.headers.items()), body))
                    self._answer(200, b"{}")
                    return
                query = dict(parse_qsl(urlsplit(self.path).query))
                plaintext = callback.open_sealed(KEYS, query, body)
                receiver.queries.append(query)
                receiver.bodies.append(body)
                receiver.letters.append(plaintext)
                if receiver.waits:
                    time.sleep(receiver.waits.pop(0))
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                self._answer(status, receiver.reply(plaintext) if status == 200 else b"")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # a caller that hung up is no news
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def events(self) -> list[Any]:
        """What came, parsed."""
        return [callback.parse(letter) for letter in self.letters]

    def wait_for(self, count: int, seconds: float = 20.0) -> list[Any]:
        """The events, once at least `count` letters came."""
        wait_until(lambda: len(self.letters) >= count, seconds)
        return self.events()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class World:
    """A running sandbox, its clock, and a caller with a token."""

    def __init__(self, path: Path, receiver: Receiver) -> None:
        self.receiver = receiver
        self.clock = Clock(path / "offset")
        self.config = SandboxConfig(
            db_path=path / "sandbox.db",
            corp_id=KEYS.receive_id,
            agent_id=1000002,
            app_secret="app-secret",
            callback_token=KEYS.token,
            callback_aes_key=KEYS.aes_key,
            callback_url=f"{receiver.url}/wecom/callback",
            events_url=f"{receiver.url}/events",
            events_secret="events-secret",
            clock=self.clock,
            public_base_url="http://127.0.0.1:8000/sandbox",
            sms_account="xinghe",
            sms_secret="sms-secret-0123456789",
            sms_reports_url=f"{receiver.url}/events",
            official_account_app_id="wx0123456789",
            official_account_secret="mp-secret-0123456789",
        )
        self.http = requests.Session()
        self.running: RunningSandbox = serve(self.config)
        self.town = self.running.town

    def restart(self) -> None:
        self.running.stop()
        self.running = serve(self.config)
        self.town = self.running.town

    def token(self) -> str:
        query = {"corpid": self.config.corp_id, "corpsecret": self.config.app_secret}
        return str(self.get("gettoken", token="", **query)["access_token"])

    def get(self, api: str, *, token: str | None = None, **query: Any) -> dict[str, Any]:
        return self.send("GET", api, token, query, None)

    def post(
        self, api: str, body: Any = None, *, token: str | None = None, **query: Any
    ) -> dict[str, Any]:
        data = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        return self.send("POST", api, token, query, data)

    def upload(self, api: str, data: bytes, *, kind: str = "image") -> dict[str, Any]:
        url = f"{self.running.platform_url}/cgi-bin/{api}"
        query = {"access_token": self.token(), "type": kind}
        files = {"media": ("picture.png", data, "image/png")}
        answer: dict[str, Any] = self.http.post(url, params=query, files=files, timeout=5).json()
        return answer

    def send(
        self, method: str, api: str, token: str | None, query: dict[str, Any], data: bytes | None
    ) -> dict[str, Any]:
        url = f"{self.running.platform_url}/cgi-bin/{api}"
        if token is None:
            token = self.token()
        params = {**query, "access_token": token} if token else query
        reply = self.http.request(method, url, params=params, data=data, timeout=10)
        assert reply.status_code == 200
        answer: dict[str, Any] = reply.json()
        return answer

    def pass_time(self, **span: float) -> None:
        self.clock.advance(timedelta(**span))

    def turn(self, **values: Any) -> None:
        knobs.turn(self.town, **values)

    def add_way(self, *users: str, **more: Any) -> str:
        body = {"type": 1 if len(users) == 1 else 2, "scene": 2, "user": list(users), **more}
        return str(self.post("externalcontact/add_contact_way", body)["config_id"])

    def stop(self) -> None:
        self.running.stop()
        self.http.close()


def wait_until(ready: Callable[[], Any], seconds: float = 20.0) -> None:
    """Until `ready()` is true; fails after `seconds`, which only a machine out of breath needs."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    box = Receiver()
    yield box
    box.stop()


@pytest.fixture
def world(tmp_path: Path, receiver: Receiver) -> Iterator[World]:
    """Two guides and a gone one in one store, two customers; 李雷 is 王芳's friend."""
    world = World(tmp_path, receiver)
    town = world.town
    store = town.add_department("南京路店", code="store:SH001")
    town.add_member("wangfang", "王芳", department_id=store, is_leader=True)
    town.add_member("liuyang", "刘洋", department_id=store)
    town.add_member("gone", "离职", department_id=store, status=5)
    town.add_member("fresh", "未激活", department_id=store, status=4)
    town.add_member("unverified", "未实名", department_id=store, is_verified=False)
    town.add_member("hidden", "不可见", department_id=store, is_visible=False)
    town.add_customer("李雷", external_userid="wmLiLei", unionid="oLiLei", mobile="13800000001")
    town.add_customer("韩梅", external_userid="wmHanMei", gender=2)
    town.befriend("wangfang", "wmLiLei", state="sh001")
    town.add_kf_account("星河客服", open_kfid="wkXingHe", servicers=["wangfang", "fresh"])
    yield world
    world.stop()
