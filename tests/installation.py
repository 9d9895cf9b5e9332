"""Looking at one installation (a VAR_DIR) from outside: its processes, its rows (安装现场)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from bot.embedded.orphans import MARK
from bot.settings import Settings
from tests.servers import reachable_folder


@pytest.fixture
def var_dir() -> Iterator[Path]:
    folder = reachable_folder() / "var"
    yield folder
    for pid in marked(folder) + in_folder(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder.parent)


def settings_of(var_dir: Path) -> Settings:
    return Settings.from_env({"VAR_DIR": str(var_dir)})


def until(true: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def pids(var_dir: Path) -> dict[str, int]:
    return {path.stem: int(path.read_text()) for path in (var_dir / "run").glob("*.pid")}


def in_folder(var_dir: Path) -> list[int]:
    """Processes (not zombies) whose current folder is inside VAR_DIR."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and os.readlink(entry / "cwd").startswith(f"{var_dir}/"):
                found.append(int(entry.name))
    return found


def marked(var_dir: Path) -> list[int]:
    """App processes, and what they started, of this VAR_DIR."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            environ = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
            if f"{MARK}={var_dir}".encode() in environ.split(b"\0"):
                found.append(int(entry.name))
    return found


def addresses(var_dir: Path) -> tuple[str, str]:
    facts = json.loads((var_dir / "run" / "servers.json").read_text())
    return facts["database_url"], facts["redis_url"]


def keep_row(var_dir: Path, number: int) -> None:
    with psycopg.connect(addresses(var_dir)[0]) as connection:
        connection.execute("create table if not exists kept (number int primary key)")
        connection.execute("insert into kept values (%s)", (number,))


def kept_rows(var_dir: Path) -> list[int]:
    with psycopg.connect(addresses(var_dir)[0]) as connection:
        return [row[0] for row in connection.execute("select number from kept order by 1")]


def database_answers(var_dir: Path) -> bool:
    try:
        psycopg.connect(addresses(var_dir)[0], connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
