"""The embedded Redis (内置 Redis): it only rings bells, so it may be missing or start empty."""

from __future__ import annotations

import shutil
import signal
import socket
from pathlib import Path

from bot.embedded.binaries import redis_program
from bot.embedded.child import Child
from bot.embedded.orphans import clear_folder
from bot.embedded.place import Place


class RedisServer:
    """One server under `VAR_DIR/redis`, reached through a unix socket only."""

    def __init__(self, place: Place, sockets: Path, program: str) -> None:
        self.data = place.var_dir / "redis"
        self._socket = sockets / "redis.sock"
        self.url = f"unix://{self._socket}"
        self.child = Child(
            name="redis",
            argv=[program, *self._options()],
            log=place.log / "redis.log",
            pid_file=place.run / "redis.pid",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            cwd=self.data,
            ends=((signal.SIGTERM, 5.0),),
        )

    @classmethod
    def found(cls, place: Place, sockets: Path) -> RedisServer | None:
        """The server, or None when this machine has no usable program."""
        program = redis_program()
        return cls(place, sockets, str(program)) if program else None

    def prepare(self) -> None:
        """Make the data folder and prove that nothing else uses it."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        clear_folder(self.data, signal.SIGTERM)
        self._socket.unlink(missing_ok=True)

    def start_empty(self) -> None:
        """Put unreadable data aside; the tables in PostgreSQL are the truth."""
        aside = self.data.with_name("redis.unreadable")
        shutil.rmtree(aside, ignore_errors=True)
        self.data.rename(aside)
        self.prepare()

    def ready(self) -> bool:
        """Whether it answers a PING."""
        return answers(self.url, seconds=0.5)

    def _options(self) -> list[str]:
        return [
            *("--port", "0"),
            *("--unixsocket", str(self._socket)),
            *("--unixsocketperm", "700"),
            *("--dir", str(self.data)),
            *("--appendonly", "yes"),
            *("--appendfsync", "everysec"),
            *("--save", ""),
            *("--daemonize", "no"),
        ]


def answers(url: str, seconds: float = 2.0) -> bool:
    """Whether the embedded Redis behind a `unix://` address answers a PING."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(seconds)
        try:
            line.connect(url.removeprefix("unix://"))
            line.sendall(b"PING\r\n")
            return line.recv(16).startswith(b"+PONG")
        except OSError:
            return False
