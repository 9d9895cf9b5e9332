"""An installation under fire (混沌演练): the real processes, a pretend WeCom that outlives them.

`Arena` starts `daogou run` with its own PostgreSQL and Redis against a sandbox in this process,
loads it, and knows how to kill a part. `Load` is what people do meanwhile, and remembers every
message that was answered with 200.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode

import psycopg

from bot.clock import Clock
from bot.sandbox import actors
from bot.sandbox.config import SandboxConfig
from bot.sandbox.serving import RunningSandbox, serve
from bot.settings import environment_for_children
from bot.wecom import callback
from tests import letters
from tests.installation import addresses, database_answers, pids, until
from tests.servers import ROOT

# So many that the alerts of all scans stay under the limit of messages to one member.
GUIDES = tuple(f"guide{number:02}" for number in range(24))
SECRET_KEY = "a key of the drill, long enough to be taken for one"
EVENTS_SECRET = "a secret of the till, long enough to be taken for one"
PROGRAM = (sys.executable, "-m", "app", "run")
VICTIMS = ("web", "fast", "worker", "redis", "postgres")
# How a kill may look to the sender: no connection, a cut one, or an answer that is not 200.
_NO_ANSWER = (OSError, http.client.HTTPException)


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Arena:
    """One installation and one pretend corp; `start` returns when the first answers."""

    def __init__(self, folder: Path, program: Sequence[str] = PROGRAM) -> None:
        self.var_dir = folder / "var"
        self._argv = program
        self.port = free_port()
        self._log: IO[bytes] = (folder / "run.log").open("wb")
        self.sandbox: RunningSandbox = serve(self._sandbox_config(folder))
        for userid in GUIDES:
            self.sandbox.town.add_member(userid, userid)
        self._program: subprocess.Popen[bytes] | None = None

    def _sandbox_config(self, folder: Path) -> SandboxConfig:
        keys = letters.KEYS
        return SandboxConfig(
            db_path=folder / "sandbox.db",
            corp_id=keys.receive_id,
            agent_id=1000002,
            app_secret="app-secret",
            callback_token=keys.token,
            callback_aes_key=keys.aes_key,
            callback_url=f"http://127.0.0.1:{self.port}/wecom/callback",
            events_url=f"http://127.0.0.1:{self.port}/api/v1/events",
            events_secret=EVENTS_SECRET,
            clock=Clock(),
            public_base_url="http://127.0.0.1:8000/sandbox",
            accept_after=None,
        )

    def start(self) -> None:
        """Start everything and wait until the web answers."""
        keys = letters.KEYS
        env = {
            "VAR_DIR": str(self.var_dir),
            "PORT": str(self.port),
            "SECRET_KEY": SECRET_KEY,
            "EVENTS_SECRET": EVENTS_SECRET,
            "WECOM_API_BASE_URL": self.sandbox.platform_url,
            "WECOM_CORP_ID": keys.receive_id,
            "WECOM_AGENT_ID": "1000002",
            "WECOM_APP_SECRET": "app-secret",
            "WECOM_CALLBACK_TOKEN": keys.token,
            "WECOM_CALLBACK_AES_KEY": keys.aes_key,
        }
        self._program = subprocess.Popen(
            self._argv,
            cwd=ROOT,
            env=environment_for_children(env),
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        until(lambda: {"web", "fast", "worker"} <= self.parts().keys(), 240)
        until(self.answers, 60)
        until(self._is_welcoming, 60)

    def stop(self) -> int:
        """Stop as Ctrl-C does; returns the exit status."""
        status = 0
        if self._program is not None:
            self._program.send_signal(signal.SIGTERM)
            status = self._program.wait(60)
        self.sandbox.stop()
        self._log.close()
        return status

    def _is_welcoming(self) -> bool:
        """Whether both workers have come to work: one lock each (bot.presence)."""
        with self.database() as database:
            locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
            found = database.execute(locks).fetchone()
        return found is not None and found[0] >= 2

    def parts(self) -> dict[str, int]:
        """Process ids by name; a file that goes away meanwhile is looked for again."""
        while True:
            try:
                return pids(self.var_dir)
            except FileNotFoundError:
                time.sleep(0.01)

    def answers(self) -> bool:
        """Whether the web process and the database answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200 and database_answers(self.var_dir)
        except _NO_ANSWER:
            return False
        finally:
            connection.close()

    def kill(self, part: str) -> None:
        """kill -9, and nothing else; the installation must help itself."""
        pid = self.parts().get(part)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def recovered(self, killed: dict[str, int]) -> bool:
        """Whether every part runs again under another process id, and the web answers."""
        now = self.parts()
        return all(now.get(part, pid) != pid for part, pid in killed.items()) and self.answers()

    @contextlib.contextmanager
    def database(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection to look with."""
        with psycopg.connect(addresses(self.var_dir)[0], connect_timeout=5) as connection:
            yield connection


@dataclass
class Load:
    """Customers who add guides, and guides who edit remarks, until told to stop."""

    arena: Arena
    seed: int
    acked: set[bytes] = field(default_factory=set)
    refused: int = 0
    scans: list[tuple[str, str]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin."""
        for work in (self._scan, self._edit, self._edit):
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End; whoever is in the middle of a request finishes it."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _scan(self) -> None:
        dice = random.Random(self.seed)
        town = self.arena.sandbox.town
        while not self._stop.wait(0.3):
            customer = town.add_customer(f"客户{len(self.scans)}")
            userid = dice.choice(GUIDES)
            actors.add_directly(town, userid, customer, skip_verify=True)
            self.scans.append((userid, customer))

    def _edit(self) -> None:
        dice = random.Random(threading.get_ident())
        number = 0
        while not self._stop.wait(0.03):
            number += 1
            plaintext = letters.edited(f"wm{threading.get_ident()}x{number}", at=int(time.time()))
            # One in five comes twice, as WeCom's do when an answer is lost.
            for _ in range(2 if dice.random() < 0.2 else 1):
                self._post(plaintext)

    def _post(self, plaintext: bytes) -> None:
        sealed = letters.sealed(plaintext)
        connection = http.client.HTTPConnection("127.0.0.1", self.arena.port, timeout=5)
        try:
            connection.request("POST", f"/wecom/callback?{urlencode(sealed.query)}", sealed.body)
            if connection.getresponse().status == 200:
                self.acked.add(callback.event_key(letters.KEYS.receive_id, plaintext))
            else:
                self.refused += 1
        except _NO_ANSWER:
            self.refused += 1
        finally:
            connection.close()
