"""A scripted platform and a gateway that talks to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session, sessionmaker

from bot.clock import Clock
from bot.settings import WeComSettings
from bot.wecom.gateway import Gateway
from bot.wecom.tokens import TokenStore
from tests.bot.wecom import scripted
from tests.fixtures_db import engine, sessions

__all__ = ["engine", "sessions"]

SECRET = "CANARY-secret-0123456789"


@pytest.fixture
def platform() -> Iterator[scripted.Platform]:
    with scripted.running() as platform:
        yield platform


@pytest.fixture
def wecom(platform: scripted.Platform) -> WeComSettings:
    return WeComSettings(platform.url, "ww01", 1000002, SECRET, "tok", "k" * 43)


@pytest.fixture
def tokens(sessions: sessionmaker[Session]) -> TokenStore:
    return TokenStore(sessions, "CANARY-key")


@pytest.fixture
def gateway(wecom: WeComSettings, tokens: TokenStore) -> Iterator[Gateway]:
    gateway = Gateway(wecom, tokens=tokens, limiter=None, clock=Clock())
    yield gateway
    gateway.close()
