"""Bot (机器人): everything a door needs, built once by the roof and handed down."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, sessionmaker

from bot.bells import Bells
from bot.clock import Clock
from bot.settings import Settings
from bot.wecom.gateway import Gateway


@dataclass(frozen=True)
class Bot:
    """One installation: its settings, its clock, its database, its line to WeCom, its bells.

    `sessions` must be made with `create_sessions(engine, bells=bells)`; without that a write
    still happens, only nobody is told and the workers find it by looking.
    """

    settings: Settings
    clock: Clock
    engine: Engine
    sessions: sessionmaker[Session]
    gateway: Gateway
    bells: Bells
