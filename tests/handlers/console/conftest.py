"""The console as a browser sees it: a real app over a real database, and people who sign in."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from bot.bot import Bot
from handlers import console, web
from tests.compiled import share_pages
from tests.factories import Make

_CSRF = re.compile(r'name="csrf" (?:content|value)="([0-9a-f]+)"')


class Desk:
    """Somebody at a browser of her own."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()

    def get(self, path: str, **given: Any) -> Any:
        return self.client.get(path, buffered=True, **given)

    def page(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text

    @property
    def csrf(self) -> str:
        found = _CSRF.search(self.client.get("/console/sign-in", follow_redirects=True).text)
        assert found
        return found[1]

    def post(self, path: str, **form: Any) -> Any:
        return self.client.post(path, data={"csrf": self.csrf, **form})

    def send(self, path: str, body: Any) -> Any:
        headers = {"X-CSRF-Token": self.csrf, "X-Requested-With": "fetch"}
        return self.client.post(path, json=body, headers=headers)

    def enter(self, account: str) -> Desk:
        assert self.post("/console/sign-in/demo", account=account).status_code == 302
        return self


@pytest.fixture
def bot(bot: Bot) -> Bot:
    """The bot of a sandbox, where the demo accounts are."""
    return replace(bot, settings=replace(bot.settings, sandbox=True))


def app_of(bot: Bot) -> Flask:
    app = Flask("handlers", static_folder=None)
    web.prepare(app, bot)
    app.register_blueprint(console.bp)
    return share_pages(app)


@pytest.fixture
def app(bot: Bot) -> Flask:
    return app_of(bot)


@pytest.fixture
def stranger(app: Flask) -> Desk:
    return Desk(app)


@pytest.fixture
def editor(app: Flask) -> Desk:
    return Desk(app).enter("demo-editor")


@pytest.fixture
def viewer(app: Flask) -> Desk:
    return Desk(app).enter("demo-viewer")


@pytest.fixture
def make(session: Session) -> Make:
    make = Make(session)
    make.brand(touch_gap_days=0)
    return make


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """The app on a port of its own."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """An editor who has signed in; she met no error of a script and none of the policy."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if "Policy" in said.text else None)
    page.goto(f"{address}/console/")
    page.click("button[value=demo-editor]")
    page.wait_for_url("**/console/")
    yield page
    context.close()
    assert problems == []
