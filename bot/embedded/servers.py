"""PostgreSQL and Redis for one VAR_DIR: attach to those that run, or start them (内置服务).

Whoever holds the lock of the place starts the servers, watches them and stops them; everybody else
reads `servers.json` and attaches. A server named by DATABASE_URL or REDIS_URL is never started.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from bot.embedded import postgres, redis
from bot.embedded.account import server_account
from bot.embedded.place import Place
from bot.embedded.postgres import Postgres
from bot.embedded.redis import RedisServer
from bot.errors import SettingsError
from bot.settings import Settings

log = logging.getLogger("daogou.embedded")

_ATTACH_SECONDS = 30.0
_START_SECONDS = 60.0
_USERS_SECONDS = 30.0
_REDIS_SECONDS = 10.0
_LOOK_SECONDS = 0.1


class Servers:
    """The addresses of the servers, and the servers themselves if this process started them."""

    def __init__(self, settings: Settings, options: Mapping[str, str] | None = None) -> None:
        self.database_url = settings.database_url or ""
        self.redis_url = settings.redis_url
        self.place = Place(settings.var_dir)
        self._options = options
        self._needs_database = settings.database_url is None
        self._needs_redis = settings.redis_url is None
        self._postgres: Postgres | None = None
        self._redis: RedisServer | None = None
        self._stop = threading.Event()
        self._started = threading.Event()
        self._failure: Exception | None = None
        self._keeper: threading.Thread | None = None

    @classmethod
    def attach_or_start(
        cls, settings: Settings, *, postgres_options: Mapping[str, str] | None = None
    ) -> Servers:
        """The servers of this VAR_DIR, running; raises `SettingsError` when they cannot.

        `postgres_options` are extra PostgreSQL settings for servers started here.
        """
        servers = cls(settings, postgres_options)
        if not servers._needs_database and not servers._needs_redis:
            return servers
        deadline = time.monotonic() + _ATTACH_SECONDS
        # The lock first: what still answers after its starter was killed is about to stop.
        while not servers.place.lock():
            if servers._attach():
                return servers
            if time.monotonic() > deadline:
                raise SettingsError(
                    f"VAR_DIR is in use, but its servers do not answer: {settings.var_dir}"
                )
            time.sleep(0.05)
        servers.start(role="command")
        return servers

    def start(self, role: str) -> None:
        """Start what is needed; the caller holds the lock, which is given back on failure.

        `role` says in `servers.json` who holds it: `run` for good, `command` for a short time.
        """
        # One thread starts and restarts everything: Linux ties a child's death signal to the
        # thread that made it, so that thread must live as long as the servers.
        self._keeper = threading.Thread(
            target=self._keep, args=(role,), name="daogou-servers", daemon=True
        )
        self._keeper.start()
        try:
            # In small waits, so that Ctrl-C is heard.
            while not self._started.wait(0.1):
                pass
        except BaseException:
            self.close()
            raise
        if self._failure is not None:
            self.close()
            raise self._failure

    def close(self) -> None:
        """Stop what this process started: Redis before PostgreSQL; attached servers stay."""
        self.place.leave()
        if self._keeper is None:
            return
        self._stop.set()
        self._keeper.join()
        self._keeper = None
        self.place.remove_run_file()
        self.place.remove_old_sockets()
        self.place.unlock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._keeper is not None and error is None:
            # Nobody new finds the servers from here on; those who use them may finish.
            self.place.remove_run_file()
            self.place.wait_for_users(_USERS_SECONDS)
        self.close()

    def _attach(self) -> bool:
        # Joined before looking: then the one who started them sees us, or we see nothing.
        self.place.join()
        if self._reach():
            return True
        self.place.leave()
        return False

    def _reach(self) -> bool:
        facts = self.place.read_run_file()
        database_url, redis_url = facts.get("database_url"), facts.get("redis_url")
        if self._needs_database:
            if not isinstance(database_url, str) or not postgres.answers(database_url, 0.0):
                return False
            self.database_url = database_url
        if self._needs_redis:
            if not facts:
                return False
            if isinstance(redis_url, str) and redis.answers(redis_url):
                self.redis_url = redis_url
        return True

    def _keep(self, role: str) -> None:
        try:
            self._start_all(role)
        except Exception as error:
            self._failure = error
            self._stop.set()
        self._started.set()
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                self._look_after()
            except Exception:
                # The servers would die with this thread, so no error may end it.
                log.exception("looking after the embedded servers failed; trying again")
        for server in (self._redis, self._postgres):
            if server is not None:
                server.child.stop()

    def _start_all(self, role: str) -> None:
        self.place.remove_run_file()
        account = server_account() if self._needs_database else None
        if self._needs_database:
            server = self._postgres = Postgres(self.place, account, self._options)
            server.prepare()
            server.child.start()
            self._wait_for(server, _START_SECONDS)
            self.database_url = server.url
        if self._needs_redis:
            self._start_redis(RedisServer.found(self.place, self.place.sockets(account)))
        self.place.write_run_file(
            {
                "pid": os.getpid(),
                "role": role,
                "database_url": self.database_url if self._needs_database else None,
                "redis_url": self.redis_url if self._needs_redis else None,
            }
        )

    def _start_redis(self, server: RedisServer | None) -> None:
        if server is None:
            log.warning(
                "no Redis here: set REDIS_URL or install redis-server 6.2 or newer;"
                " going on without it, work is found by looking every few seconds"
            )
            return
        self._redis = server
        server.prepare()
        server.child.start()
        try:
            self._wait_for(server, _REDIS_SECONDS)
        except SettingsError as error:
            log.warning("%s; starting Redis with empty data", error)
            server.child.stop()
            server.start_empty()
            server.child.start()
            self._wait_for(server, _REDIS_SECONDS)
        self.redis_url = server.url

    def _wait_for(self, server: Postgres | RedisServer, seconds: float) -> None:
        child = server.child
        deadline = time.monotonic() + seconds
        while not server.ready():
            if self._stop.is_set():
                raise SettingsError(f"stopped while {child.name} was starting")
            if not child.alive():
                raise SettingsError(
                    f"the embedded {child.name} does not start: {child.last_words()}"
                )
            if time.monotonic() > deadline:
                raise SettingsError(f"the embedded {child.name} does not answer; see {child.log}")
            time.sleep(0.01)

    def _look_after(self) -> None:
        for server in (self._postgres, self._redis):
            if server is None or server.child.alive():
                continue
            if not server.child.waiting:
                log.warning(
                    "%s ended (%s), starting it", server.child.name, server.child.exit_text()
                )
            if server.child.due():
                server.prepare()
                server.child.restart()
