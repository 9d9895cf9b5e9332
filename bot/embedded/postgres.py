"""The embedded PostgreSQL (内置数据库): data folder, settings, proof that it may be started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg

from bot.embedded.account import Account
from bot.embedded.binaries import postgres_folder
from bot.embedded.child import Child
from bot.embedded.orphans import clear_folder
from bot.embedded.place import Place
from bot.errors import SettingsError

DATABASE = "daogou"
_USER = "postgres"
_MEBI = 1024 * 1024
# No setting of the caller's shell may change what the server does.
# Not plain C where the system has better: pg_trgm finds nothing in Chinese text there.
_CTYPES = ("C.UTF-8", "en_US.UTF-8", "C")
_LINUX = sys.platform == "linux"
_PLAIN_ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


class Postgres:
    """One cluster under `home/postgresql`, reached through a unix socket only."""

    def __init__(
        self, place: Place, account: Account | None, options: Mapping[str, str] | None = None
    ) -> None:
        home = place.home(account)
        self._account = account
        self._durable = (options or {}).get("fsync") != "off"
        self._bin = postgres_folder(home, account)
        self.data = home / "postgresql"
        self._sockets = place.sockets(account)
        self.url = self._url(DATABASE)
        self.child = Child(
            name="postgres",
            argv=self._argv({**_options(self._sockets), **(options or {})}),
            log=place.log / "postgres.log",
            pid_file=place.run / "postgres.pid",
            env=_PLAIN_ENV,
            account=account,
            # SIGINT is PostgreSQL's fast shutdown, SIGQUIT its emergency one.
            ends=((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0)),
            # Its processes notice a dead postmaster themselves and must not be killed by us.
            sweeps_group=False,
        )

    def prepare(self) -> None:
        """Make the cluster if there is none, and prove that nothing else uses it."""
        if not (self.data / "global" / "pg_control").exists():
            self._make_cluster()
        pid_file = self.data / "postmaster.pid"
        clear_folder(self.data, signal.SIGINT, pid_file=pid_file)
        # Proven stale: we hold the lock and no process lives in the folder.
        pid_file.unlink(missing_ok=True)
        for path in self._sockets.glob(".s.PGSQL.*"):
            path.unlink()

    def ready(self) -> bool:
        """Whether it takes connections; the product's database exists afterwards."""
        try:
            with psycopg.connect(self._url("postgres"), autocommit=True, connect_timeout=2) as conn:
                found = conn.execute("select 1 from pg_database where datname = %s", (DATABASE,))
                if found.fetchone() is None:
                    conn.execute(f'create database "{DATABASE}"')
        except psycopg.OperationalError:
            return False
        return True

    def _url(self, database: str) -> str:
        return f"postgresql://{_USER}@/{database}?host={self._sockets}"

    def _argv(self, options: Mapping[str, str]) -> list[str]:
        argv = [str(self._bin / "postgres"), "-D", str(self.data)]
        for name, value in options.items():
            argv += ["-c", f"{name}={value}"]
        return argv

    def _make_cluster(self) -> None:
        # Into a draft that is renamed at the end: a killed initdb never leaves half a cluster.
        draft = self.data.with_name("postgresql.new")
        words = ""
        for ctype in _CTYPES:
            clear_folder(draft, signal.SIGTERM)
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(mode=0o700)
            if self._account is not None:
                self._account.own(draft)
            words = self._initdb(draft, ctype)
            if not words:
                break
        if words:
            raise SettingsError(f"the embedded PostgreSQL cannot be set up: {words}")
        if self.data.is_dir():
            self.data.rmdir()
        draft.rename(self.data)

    def _initdb(self, folder: Path, ctype: str) -> str:
        argv = [str(self._bin / "initdb"), "-D", str(folder), "-U", _USER, "-E", "UTF8"]
        argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        argv += ["--locale=C", f"--lc-ctype={ctype}", "--auth=trust", "--no-instructions"]
        argv += ["--sync-method=syncfs"] if self._durable and _LINUX else []
        argv += [] if self._durable else ["--no-sync"]
        account = self._account
        done = subprocess.run(
            argv,
            cwd=folder,
            env=_PLAIN_ENV,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        if done.returncode == 0:
            return ""
        return (done.stderr.strip() or "initdb failed without a word").split("\n")[-1]


def _options(sockets: Path) -> dict[str, str]:
    memory = _memory_bytes()
    # Idle memory grows with it (20 to 35 MB over this range), so small machines get little.
    shared = min(max(memory // 64, 32 * _MEBI), 256 * _MEBI) // _MEBI
    return {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "max_connections": "150",
        "shared_buffers": f"{shared}MB",
        "effective_cache_size": f"{max(memory // 2 // _MEBI, 128)}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": "128MB",
        "max_wal_size": "2GB",
        "random_page_cost": "1.1",
        "jit": "off",
        "io_workers": "1",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 2048 * _MEBI


def answers(url: str, seconds: float = 2.0) -> bool:
    """Whether a PostgreSQL answers at this address within some seconds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
            return True
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
