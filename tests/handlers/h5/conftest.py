"""The guides' pages on a real database, at noon of one day, with a guide signed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from bot.bot import Bot
from bot.clock import Clock
from bot.crm import sign_ins
from bot.crm.models import Guide
from bot.crm.sign_ins import SignInKind
from bot.db import transaction
from handlers import h5, web
from tests.compiled import share_pages
from tests.factories import NOON, Make

COOKIE = "daogou_guide"


class StillClock(Clock):
    """A clock that a test turns itself."""

    moment: datetime = NOON

    def now(self) -> datetime:
        return self.moment

    def real_now(self) -> datetime:
        return self.now()

    def turn(self, **by: float) -> None:
        self.moment += timedelta(**by)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def app(bot: Bot, clock: StillClock) -> Flask:
    app = Flask("handlers", static_folder=None)
    web.prepare(app, replace(bot, clock=clock))
    app.register_blueprint(h5.bp)
    return share_pages(app)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def make(session: Session) -> Make:
    make = Make(session)
    make.brand(touch_gap_days=0)
    return make


@pytest.fixture
def enter(app: Flask, bot: Bot, clock: StillClock) -> Callable[[Guide], FlaskClient]:
    """A browser in which this guide is signed in; it sends the form token with every post."""

    def enter(guide: Guide) -> FlaskClient:
        with transaction(bot.sessions) as session:
            token = sign_ins.open(session, SignInKind.GUIDE, guide.id, clock.now())
        client = app.test_client()
        client.set_cookie(COOKIE, token)
        client.environ_base["HTTP_X_CSRF_TOKEN"] = sign_ins.csrf_of(token)
        return client

    return enter
