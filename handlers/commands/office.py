"""What a command works with: settings, servers and bot, each made when first asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from flask import Flask

from bot.bot import Bot
from bot.clock import business_day
from bot.embedded import Servers
from bot.errors import UserError
from bot.sandbox.config import SandboxConfig
from bot.settings import Settings


@dataclass(frozen=True)
class Roof:
    """What only the roof can build; handed down so that no door imports it."""

    build_bot: Callable[..., Bot]
    create_app: Callable[..., Flask]
    sandbox_config: Callable[[Bot], SandboxConfig]


class Office:
    """One command's world. Servers it had to start are stopped when it leaves."""

    def __init__(self, roof: Roof) -> None:
        self.roof = roof
        self._servers: Servers | None = None
        self._bot: Bot | None = None
        #: Database connections the bot may hold; a worker with many hands wants more.
        self.pool = 10

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bot is not None:
            self._bot.bells.close()
            self._bot.engine.dispose()
        if self._servers is not None:
            self._servers.close()

    @cached_property
    def settings(self) -> Settings:
        """The environment, checked."""
        return Settings.from_env()

    @property
    def servers(self) -> Servers:
        """Database and Redis: outside ones, running ones, or started for this command."""
        if self._servers is None:
            self._servers = Servers.attach_or_start(self.settings)
        return self._servers

    @property
    def bot(self) -> Bot:
        """A bot on these servers."""
        if self._bot is None:
            self._bot = self.roof.build_bot(
                self.settings, self.servers.database_url, self.servers.redis_url, pool=self.pool
            )
        return self._bot

    def today(self) -> date:
        """The business day of the installation's clock."""
        return business_day(self.bot.clock.now())


def show(value: Any, *, as_json: bool, lines: list[str]) -> None:
    """Print a result: `lines` for a person, `value` for a program."""
    if as_json:
        print(json.dumps(value, ensure_ascii=False, default=str, indent=2))
    else:
        print("\n".join(lines))


def read_text(path: str) -> str:
    """The text of a file, or of standard input for "-"; raises UserError in one sentence."""
    try:
        if path == "-":
            return sys.stdin.read()
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except FileNotFoundError:
        raise UserError(f"没有这个文件：{path}") from None
    except IsADirectoryError:
        raise UserError(f"{path} 是文件夹，不是文件") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} 不是 UTF-8 文本") from None
    except OSError as error:
        raise UserError(f"读不到 {path}：{error.strerror}") from None
