"""A bot on a real database whose WeCom is a scripted server, for the doors' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from bot.bells import Bells
from bot.bot import Bot
from bot.clock import Clock
from bot.db import create_sessions
from bot.settings import Settings, WeComSettings
from bot.wecom.gateway import Gateway
from bot.wecom.tokens import TokenStore
from tests import letters
from tests.bot.wecom import scripted
from tests.fixtures_db import engine, session, sessions

__all__ = ["engine", "session", "sessions"]


@pytest.fixture
def platform() -> Iterator[scripted.Platform]:
    with scripted.running() as platform:
        yield platform


@pytest.fixture
def settings(tmp_path: Path, platform: scripted.Platform) -> Settings:
    keys = letters.KEYS
    return Settings(
        database_url=None,
        redis_url=None,
        var_dir=tmp_path,
        port=8000,
        public_base_url="http://127.0.0.1:8000",
        secret_key="a key of the tests",
        wecom=WeComSettings(
            platform.url, keys.receive_id, 1000002, "secret", keys.token, keys.aes_key
        ),
        events_secret="events",
        sandbox=False,
    )


@pytest.fixture
def bot(settings: Settings, engine: Engine) -> Iterator[Bot]:
    bells = Bells(None)
    sessions = create_sessions(engine, bells=bells)
    clock = Clock()
    gateway = Gateway(
        settings.wecom,
        tokens=TokenStore(sessions, settings.secret_key),
        limiter=None,
        clock=clock,
    )
    yield Bot(settings, clock, engine, sessions, gateway, bells)
    gateway.close()
    bells.close()
