"""The user the servers run as (运行账户): PostgreSQL refuses to be run by root."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bot.errors import SettingsError

_SYSTEM_USER = "nobody"


@dataclass(frozen=True)
class Account:
    """Another user than ours."""

    name: str
    uid: int
    gid: int

    def can_enter(self, folder: Path) -> bool:
        """Whether this user gets into a folder; asked of the kernel, not guessed from modes."""
        return self.can_run(["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)])

    def can_run(self, argv: list[str]) -> bool:
        """Whether a command works for this user."""
        try:
            done = subprocess.run(
                argv,
                cwd="/",
                env={"PATH": "/usr/bin:/bin"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                user=self.uid,
                group=self.gid,
                extra_groups=[],
                check=False,
            )
        except PermissionError:
            return False
        return done.returncode == 0

    def own(self, path: Path) -> None:
        """Give one path to this user (never its parents)."""
        os.chown(path, self.uid, self.gid)


def server_account() -> Account | None:
    """`nobody` when we are root, else None: the servers run as we do."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_SYSTEM_USER)
    except KeyError as error:
        raise SettingsError(
            f"PostgreSQL cannot run as root and there is no user {_SYSTEM_USER!r}:"
            " start as another user or set DATABASE_URL"
        ) from error
    account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    if not account.can_enter(Path("/")):
        raise SettingsError(
            "PostgreSQL cannot run as root and changing the user is not permitted here:"
            " start as another user or set DATABASE_URL"
        )
    return account
