"""Bot (机器人): everything a door needs, built once by the roof and handed down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, sessionmaker

from bot.bells import Bells
from bot.clock import Clock
from bot.settings import Settings
from bot.wecom.gateway import Gateway


class Carrier(Protocol):
    """What brings a frozen call of the outbox to people (通道): an SMS gateway, 公众号.

    Raises only WeComError, whose class says whether trying again can help.
    """

    def call(self, api: str, body: bytes, *, members: Sequence[str] = ()) -> dict[str, Any]:
        """Make the call and return the answer."""

    def check(self) -> None:
        """Ask for nothing but whether it lets us in; raises WeComError."""

    def close(self) -> None:
        """Close idle connections."""


@dataclass(frozen=True)
class Bot:
    """One installation: its settings, its clock, its database, its line to WeCom, its bells.

    `sessions` must be made with `create_sessions(engine, bells=bells)`; without that a write
    still happens, only nobody is told and the workers find it by looking. `carriers` are the ways
    to people beside WeCom, by name; one that is not configured is absent.
    """

    settings: Settings
    clock: Clock
    engine: Engine
    sessions: sessionmaker[Session]
    gateway: Gateway
    bells: Bells
    carriers: Mapping[str, Carrier] = field(default_factory=dict)
