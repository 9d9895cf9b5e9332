"""An installation in its own folder (临时安装): real servers and processes, gone at the end."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, sessionmaker

import app
from bot.db import Base, create_database_engine, create_sessions, transaction
from bot.embedded import Servers
from bot.embedded.house import bytecode
from bot.presence import is_served
from bot.settings import Settings, environment_for_children
from bot.wecom.callback import CallbackKeys
from handlers.commands import processes

ROOT = Path(__file__).parents[2]
KEYS = CallbackKeys("benchmarktoken", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "wwbenchmark")
# A busy machine takes its time to import everything.
_START_SECONDS = 240.0
_STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Installation:
    """Servers that run with the settings of production, and the environment of its processes."""

    folder: Path
    env: dict[str, str]
    settings: Settings
    servers: Servers

    @property
    def port(self) -> int:
        """Where its web process listens."""
        return self.settings.port

    def engine(self) -> Engine:
        """An engine on its database."""
        return create_database_engine(self.servers.database_url)

    def bot(self) -> Any:
        """A bot of this process on its servers."""
        return app.build_bot(self.settings, self.servers.database_url, self.servers.redis_url)

    def folder_bytes(self) -> int:
        """What it takes on disk, the log of changes of the database included."""
        total = 0
        for place, _, names in os.walk(self.folder):
            for name in names:
                # A server removes files of its own while they are looked at.
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(place, name)).st_size
        return total

    def connect(self) -> psycopg.Connection[Any]:
        """A plain connection for loading and for looking."""
        return psycopg.connect(self.servers.database_url, autocommit=True)


@contextmanager
def installed(platform_url: str | None = None) -> Iterator[Installation]:
    """Start servers in a new folder, make the schema; stop and remove everything at the end."""
    # Not the current folder: the servers' own account must be able to enter it.
    folder = Path(tempfile.mkdtemp(prefix="dg-bench-"))
    folder.chmod(0o755)
    given = {
        "VAR_DIR": str(folder / "var"),
        "PORT": str(free_port()),
        "SECRET_KEY": "a long key for measuring only, of no other use",
        "EVENTS_SECRET": "another long key for measuring only, of no use",
        # Nobody listens there unless a benchmark says who: nothing can leave this machine.
        "WECOM_API_BASE_URL": platform_url or f"http://127.0.0.1:{free_port()}",
        "WECOM_CORP_ID": KEYS.receive_id,
        "WECOM_AGENT_ID": "1000002",
        "WECOM_APP_SECRET": "app-secret-for-measuring",
        "WECOM_CALLBACK_TOKEN": KEYS.token,
        "WECOM_CALLBACK_AES_KEY": KEYS.aes_key,
    }
    try:
        settings = Settings.from_env(given)
        with Servers.attach_or_start(settings) as servers:
            given["DATABASE_URL"] = servers.database_url
            if servers.redis_url:
                given["REDIS_URL"] = servers.redis_url
            processes.upgrade(servers.database_url)
            engine = create_database_engine(servers.database_url)
            # Whatever no migration makes yet.
            Base.metadata.create_all(engine)
            engine.dispose()
            yield Installation(folder, given, settings, servers)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(
    install: Installation,
    *programs: Sequence[str],
    port: int | None = None,
    lanes: Sequence[str] = (),
) -> Iterator[None]:
    """Processes of the product (`web`, `worker fast`, …) until the end of the block.

    Enters when something answers on `port` and every one of `lanes` is worked on. Their words go
    to files in the folder.
    """
    started = []
    try:
        for argv in programs:
            log = (install.folder / f"{len(started)}.log").open("wb")
            started.append(
                subprocess.Popen(
                    [sys.executable, *argv],
                    cwd=ROOT,
                    env=environment_for_children(install.env | bytecode(install.settings)),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
            log.close()
        if port is not None:
            _wait_for_answer(port, started[0], install.folder / "0.log")
        _wait_for_lanes(install, lanes)
        yield
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in started:
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for_lanes(install: Installation, lanes: Sequence[str]) -> None:
    engine = install.engine()
    sessions = create_sessions(engine)
    deadline = time.monotonic() + _START_SECONDS
    try:
        for lane in lanes:
            while not _is_served(sessions, lane):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"nobody works on the lane {lane}")
                time.sleep(0.1)
    finally:
        engine.dispose()


def _is_served(sessions: sessionmaker[Session], lane: str) -> bool:
    with transaction(sessions) as session:
        return is_served(session, lane)


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_answer(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise RuntimeError(f"nothing answers on port {port}: {log.read_text()[-2000:]}")
