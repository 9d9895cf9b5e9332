"""The whole product with a pretend WeCom on the wire, and the people of one small brand (世界).

One loopback port serves the web app with the sandbox mounted in it, as `daogou web` does;
callbacks and purchases arrive over HTTP. The work of the worker and of the clock is done by
`settle`, `night` and `morning`, so that a test knows when everything is done. Time begins at
`START` and runs forward.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from redis import Redis
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session
from werkzeug.serving import WSGIRequestHandler, make_server

from app import build_bot, create_app
from bot.clock import SHANGHAI, at, business_day
from bot.crm.models import Contact, Guide
from bot.db import transaction
from bot.sandbox import knobs
from bot.sandbox.populate import populate
from bot.sandbox.server import Sandbox
from bot.sandbox.town import Effect, Town
from bot.settings import Settings, WeComSettings, pretend_carriers
from handlers import brand_pack, timetable, worker
from sop import tasks
from sop.tasks import TaskView
from tests.compiled import share_pages, share_statements
from tests.people import KFID, Customer, GuideActor

#: A Tuesday, 10:00 in Shanghai, far from festivals; no test depends on the day it runs.
START = at(date(2030, 3, 5), 10)
TODAY = date(2030, 3, 5)
CORP, AGENT = "ww1", 1000002
TOKEN, AES_KEY = "worldtoken", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
EVENTS_SECRET = "events-secret"
_PATIENCE = 20.0
# A doubled or retried letter comes within this; settling waits for it.
_SOON = 2.5
# Blocks of an API after 45009 are counted by the servers' clocks too; they last a minute.
_LONGEST_BLOCK = timedelta(minutes=1)
_WAITS = tuple(
    text(f"UPDATE {table} SET {column} = {column} - CAST(:by AS interval)")
    for table, column in (
        ("outbox", "retry_at"),
        ("api_pause", "until"),
        ("inbox", "next_at"),
        ("job_run", "next_at"),
    )
)


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """A test prints what it has to say itself."""


class World:
    """An installation, its corp and its people. `settle` brings everything to rest."""

    def __init__(
        self,
        path: Path,
        database_url: str,
        redis_url: str | None,
        *,
        start: datetime | None = START,
    ) -> None:
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        self._path = path
        if start is not None:
            ahead = start - datetime.now(UTC)
            (path / "clock").write_text(f"{ahead.total_seconds()}\n", encoding="ascii")
        # The port must be known before the app is built that stands behind it.
        self._server = make_server(
            "127.0.0.1",
            0,
            lambda environ, start: self.app(environ, start),
            threaded=True,
            request_handler=_Quiet,
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.bot = build_bot(self._settings(), database_url, redis_url)
        share_statements(self.bot.engine)
        # Nobody restarts this server: no connection must be asked each time whether it lives.
        self.bot.engine.pool._pre_ping = False
        self.app = share_pages(create_app(self.bot))
        sandbox: Sandbox = self.app.wsgi_app.mounts["/sandbox"].extensions["sandbox"]
        self.town: Town = sandbox.town
        self._postman = sandbox.postman
        # Who confirms whom, and when, is what a test says.
        knobs.turn(self.town, accept_after=10**9, callback_wait=0.2)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        self._postman.start()
        self.guide = GuideActor(self, "wangfang")
        self.customer = self.person("韩梅", external_userid="wmHanMei", gender=2)

    def _settings(self) -> Settings:
        port = self._server.server_port
        wecom = WeComSettings(
            f"{self.url}/sandbox/platform", CORP, AGENT, "app-secret", TOKEN, AES_KEY
        )
        sms, official_account = pretend_carriers(f"{self.url}/sandbox", "a key of the world")
        return Settings(
            database_url=None,
            redis_url=None,
            var_dir=self._path,
            port=port,
            public_base_url=self.url,
            secret_key="a key of the world",
            wecom=wecom,
            events_secret=EVENTS_SECRET,
            sandbox=True,
            sms=sms,
            official_account=official_account,
        )

    def stop(self) -> None:
        """Everything ends; the database is the fixture's."""
        self._postman.stop()
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()
        if "receiver" in self.app.extensions:
            self.app.extensions["receiver"].close()
        self.bot.gateway.close()
        for carrier in self.bot.carriers.values():
            carrier.close()
        self.bot.bells.close()
        self.town.close()
        self.bot.engine.dispose()

    # -- HQ --------------------------------------------------------------------------------

    def load(self, text: str) -> brand_pack.Loaded:
        """`daogou load`, and the guides of the pack come to work in the pretend corp."""
        with transaction(self.bot.sessions) as session:
            loaded = brand_pack.load(session, text, by="总部", now=self.now())
        given = yaml.safe_load(text)
        guides = given.get("guides", [])
        populate(self.town, stores=given.get("stores", []), guides=guides)
        servicers = [one["userid"] for one in guides]
        self.town.add_kf_account("星河客服", open_kfid=KFID, servicers=servicers)
        self.settle()
        return loaded

    def session(self) -> Session:
        """A look at the database; use as a context manager."""
        return self.bot.sessions()

    # -- people ----------------------------------------------------------------------------

    def person(self, name: str, **given: Any) -> Customer:
        """Somebody new in town."""
        return Customer(self, self.town.add_customer(name, **given), name)

    def colleague(self, userid: str) -> GuideActor:
        """Another guide of the brand."""
        return GuideActor(self, userid)

    # -- time ------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The world's moment."""
        return self.bot.clock.now()

    def today(self) -> date:
        """The world's business day."""
        return business_day(self.now())

    def pass_time(self, **span: float) -> None:
        """Let time pass, after everything is done that can be done now."""
        self.settle()
        by = timedelta(**span)
        self.bot.clock.advance(by)
        # Waits that end by the clock of a server, which no test moves, come nearer as much.
        with transaction(self.bot.sessions) as session:
            for statement in _WAITS:
                session.execute(statement, {"by": by})
            if by >= _LONGEST_BLOCK:
                session.execute(text("DELETE FROM rate_bucket"))
        if by >= _LONGEST_BLOCK and self.bot.bells.redis_url:
            with Redis.from_url(self.bot.bells.redis_url) as redis:
                redis.flushdb()

    def sleep_until(self, day: date, hour: int, minute: int = 0) -> None:
        """Let time pass until a Shanghai wall-clock moment; it must lie ahead."""
        wait = at(day, hour, minute) - self.now()
        assert wait > timedelta(0), f"{day} {hour}:{minute:02} is past"
        self.pass_time(seconds=wait.total_seconds())

    def tick(self) -> None:
        """The clock's minute."""
        timetable.tick(self.bot)
        self.settle()

    def night(self, day: date) -> None:
        """The night before `day` begins its work, as the clock asks for it."""
        self.sleep_until(day, 2, 30)
        timetable.look(self.bot)
        self.settle()

    def morning(self, day: date) -> None:
        """The morning of `day`: the digests go out."""
        self.sleep_until(day, 8, 50)
        timetable.look(self.bot)
        self.tick()

    # -- work ------------------------------------------------------------------------------

    def settle(self) -> None:
        """Letters delivered, lanes empty: nothing is left to do at this moment."""
        for _ in range(50):
            self.await_post()
            done = worker.settle(self.bot)
            if not done and not self._letters_waiting() and not self._hurry():
                return
        raise AssertionError("the world does not come to rest")

    def await_post(self) -> None:
        """Letters delivered; what they bring is not looked at."""
        deadline = time.monotonic() + _PATIENCE
        while self._letters_waiting():
            assert time.monotonic() < deadline, self.town.letters("queued")
            time.sleep(0.01)

    def _hurry(self) -> bool:
        """A customer's details are read two seconds after the event: let those pass at once."""
        with self.session() as session:
            wanted = session.scalar(select(func.min(Contact.refresh_after)))
        wait = wanted - self.now() if wanted else timedelta(0)
        if not timedelta(0) < wait <= timedelta(seconds=_SOON):
            return False
        self.bot.clock.advance(wait + timedelta(milliseconds=50))
        return True

    def _letters_waiting(self) -> int:
        with self.town.read() as db:
            paused = knobs.knob(db, "callback_paused")
            row = db.execute(
                "SELECT COUNT(*) FROM callback WHERE state = 'queued' AND due_at <= ? "
                "AND (channel = 'till' OR NOT ?)",
                (self.town.now() + _SOON, paused),
            ).fetchone()
        return int(row[0])

    def post_events(self, events: Sequence[Any], *, secret: str = EVENTS_SECRET) -> Any:
        """POST /api/v1/events as a POS does; returns (status, answer)."""
        body = json.dumps(events, ensure_ascii=False).encode()
        stamp = str(int(self.now().timestamp()))
        digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256)
        answer = requests.post(
            f"{self.url}/api/v1/events",
            data=body,
            headers={
                "X-Daogou-Timestamp": stamp,
                "X-Daogou-Signature": f"sha256={digest.hexdigest()}",
            },
            timeout=10,
        )
        return answer.status_code, answer.json()

    # -- looking ---------------------------------------------------------------------------

    def effects(self, kind: str, who: str | None = None) -> list[Effect]:
        """What really reached people, by the sandbox's ledger."""
        self.settle()
        found = self.town.effects(kind)
        return [one for one in found if who is None or who in (one.who, one.external_userid)]

    def tasks(self, userid: str = "wangfang", day: date | None = None) -> list[TaskView]:
        """A guide's list of a day."""
        self.settle()
        with self.session() as session:
            guide = session.scalars(select(Guide).where(Guide.userid == userid)).one()
            return tasks.today(session, guide.id, day or self.today(), self.now())

    def titles(self, userid: str = "wangfang", day: date | None = None) -> list[str]:
        """(客户 · 题目) of that list, in its order."""
        return [f"{one.contact_name} · {one.title}" for one in self.tasks(userid, day)]

    def scalars(self, statement: Any) -> list[Any]:
        """What the database says now."""
        self.settle()
        with self.session() as session:
            return list(session.scalars(statement))

    def rows(self, statement: Any) -> list[tuple[Any, ...]]:
        """As `scalars`, whole rows."""
        self.settle()
        with self.session() as session:
            return [tuple(row) for row in session.execute(statement)]


def local(moment: datetime) -> str:
    """A moment as a wall clock in Shanghai shows it."""
    return moment.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M")


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    found = World(tmp_path, database_url, redis_url)
    yield found
    found.stop()


@pytest.fixture
def world_without_redis(tmp_path: Path, database_url: str) -> Iterator[World]:
    found = World(tmp_path, database_url, None)
    yield found
    found.stop()
