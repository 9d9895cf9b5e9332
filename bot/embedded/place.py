"""Where the servers keep their things, and the lock that lets one starter in (存放位置).

`VAR_DIR/run` holds the lock, `servers.json` (how to reach what runs) and one `<name>.pid` per
process. `home` holds the data: VAR_DIR itself, or, when we are root and the servers' user cannot
get into VAR_DIR, a folder beside the system's other data. No permission of a parent is changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import secrets
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from bot.embedded.account import Account
from bot.errors import SettingsError

log = logging.getLogger("daogou.embedded")

_SYSTEM_HOME = Path("/var/lib/daogou")
# A socket's path may have 107 bytes on Linux and 103 on macOS; the name in it takes up to 20.
_SOCKET_FOLDER_BYTES = 80


class Place:
    """The folders of one VAR_DIR."""

    def __init__(self, var_dir: Path) -> None:
        self.var_dir = var_dir
        self.run = var_dir / "run"
        self.log = var_dir / "log"
        try:
            self.run.mkdir(parents=True, exist_ok=True)
            # Private: an error in a server's log may quote a customer's data.
            self.log.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"VAR_DIR must be a directory this user can write to: {var_dir}: {error.strerror}"
            ) from error
        # Resolved, because /proc names the real path of a process's folder.
        self.var_dir = var_dir.resolve()
        self.run = self.var_dir / "run"
        self.log = self.var_dir / "log"
        self._lock: IO[str] | None = None
        self._joined: IO[str] | None = None
        self._sockets: Path | None = None

    def lock(self) -> bool:
        """Become the one who starts servers here; False when another process is."""
        try:
            handle = (self.run / "lock").open("a+", encoding="ascii")
        except OSError as error:
            raise SettingsError(f"VAR_DIR belongs to another user: {error}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            return False
        self._lock = handle
        return True

    def unlock(self) -> None:
        """Let the next starter in."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def join(self) -> None:
        """Be counted among those who use servers that another process started."""
        if self._joined is None:
            self._joined = (self.run / "users").open("a+", encoding="ascii")
            fcntl.flock(self._joined, fcntl.LOCK_SH)

    def leave(self) -> None:
        """Not be counted any more."""
        if self._joined is not None:
            self._joined.close()
            self._joined = None

    def wait_for_users(self, seconds: float) -> None:
        """Wait until all who joined have left, at most so long."""
        deadline = time.monotonic() + seconds
        with (self.run / "users").open("a+", encoding="ascii") as handle:
            while time.monotonic() < deadline:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                time.sleep(0.05)

    def write_run_file(self, facts: dict[str, Any]) -> None:
        """Say how to reach what runs; complete or not there at all."""
        path = self.run / "servers.json"
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        draft.chmod(0o600)
        draft.replace(path)

    def read_run_file(self) -> dict[str, Any]:
        """What `write_run_file` said, or nothing."""
        try:
            facts = json.loads((self.run / "servers.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    def remove_run_file(self) -> None:
        """Nothing runs here any more."""
        (self.run / "servers.json").unlink(missing_ok=True)

    def home(self, account: Account | None) -> Path:
        """The folder for server data; `account` can get into it."""
        if account is None or account.can_enter(self.var_dir):
            return self.var_dir
        pointer = self.var_dir / "home"
        with contextlib.suppress(OSError):
            kept = Path(pointer.read_text(encoding="utf-8").strip())
            if kept.is_dir() and account.can_enter(kept):
                return kept
        # A fresh name each time: removing VAR_DIR must really start anew.
        home = _system_folder() / f"{self.var_dir.name}-{secrets.token_hex(6)}"
        home.mkdir(mode=0o755)
        home.chmod(0o755)
        if not account.can_enter(home):
            raise SettingsError(
                f"VAR_DIR must be a directory that the user {account.name!r} can reach"
                f" (PostgreSQL cannot run as root): {self.var_dir}"
            )
        pointer.write_text(f"{home}\n", encoding="utf-8")
        return home

    def sockets(self, account: Account | None) -> Path:
        """The folder for unix sockets, short enough in its path; only the servers' user gets in."""
        if self._sockets is None:
            folder = self.home(account) / "sock"
            if len(os.fsencode(folder)) > _SOCKET_FOLDER_BYTES:
                self.remove_old_sockets()
                folder = Path(tempfile.mkdtemp(prefix="daogou-"))
                (self.run / "sock").symlink_to(folder)
            folder.mkdir(mode=0o700, exist_ok=True)
            if account is not None:
                account.own(folder)
            self._sockets = folder
        return self._sockets

    def remove_old_sockets(self) -> None:
        """Clear away the temporary socket folder of an earlier start, if there was one."""
        link = self.run / "sock"
        if not link.is_symlink():
            return
        folder = link.readlink()
        if folder.name.startswith("daogou-"):
            with contextlib.suppress(OSError):
                for path in folder.iterdir():
                    path.unlink()
                folder.rmdir()
        link.unlink()


def _system_folder() -> Path:
    with contextlib.suppress(OSError):
        _SYSTEM_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
    if os.access(_SYSTEM_HOME, os.W_OK):
        return _SYSTEM_HOME
    folder = Path(tempfile.gettempdir())
    log.warning("the data is kept in %s and may be lost at a restart of the machine", folder)
    return folder
