"""The supervisor: one terminal that starts everything, keeps it running and stops all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bot.embedded import Supervisor
from bot.errors import SettingsError
from bot.settings import Settings, environment_for_children
from tests.installation import (
    database_answers,
    in_folder,
    keep_row,
    kept_rows,
    marked,
    pids,
    until,
    var_dir,
)
from tests.servers import ROOT

__all__ = ["var_dir"]

# What `daogou run` does, with small children: two that live, and one that has a child of its own.
PROGRAM = """
import sys
from bot.embedded import Supervisor
from bot.errors import SettingsError
from bot.settings import Settings
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
parent = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])", *sleep]
try:
    with Supervisor(Settings.from_env()) as supervisor:
        servers = supervisor.start_servers()
        supervisor.spawn("web", parent, {"DATABASE_URL": servers.database_url})
        supervisor.spawn("clock", sleep)
        print("ready", flush=True)
        supervisor.run_until_stopped()
except SettingsError as error:
    print("refused:", error, flush=True)
    sys.exit(2)
"""


Run = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def run(var_dir: Path) -> Iterator[Run]:
    """Starts the program above; what still runs after the test is ended."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        env = environment_for_children({"VAR_DIR": str(var_dir), "PYTHONPATH": str(ROOT)})
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
        )
        started.append(program)
        return program

    yield start
    for program in started:
        program.kill()
        program.communicate()


def said(program: subprocess.Popen[str]) -> str:
    assert program.stdout
    return program.stdout.readline().strip()


def test_ctrl_c_stops_everything_within_seconds(var_dir: Path, run: Run) -> None:
    program = run()
    assert said(program) == "ready"
    assert pids(var_dir).keys() == {"supervisor", "postgres", "redis", "web", "clock"}
    until(lambda: len(marked(var_dir)) == 3)
    started = time.monotonic()
    program.send_signal(signal.SIGINT)
    assert program.wait(15) == 0
    assert time.monotonic() - started < 5
    assert marked(var_dir) + in_folder(var_dir) == []
    assert pids(var_dir) == {}


def test_ctrl_c_during_the_first_start_stops_everything(var_dir: Path, run: Run) -> None:
    program = run()
    until(lambda: (var_dir / "run" / "supervisor.pid").exists())
    time.sleep(0.1)
    program.send_signal(signal.SIGINT)
    assert program.wait(15) == 0
    assert marked(var_dir) + in_folder(var_dir) == []
    again = run()
    assert said(again) == "ready"
    again.send_signal(signal.SIGTERM)
    assert again.wait(15) == 0


def test_a_second_supervisor_says_so_and_leaves(var_dir: Path, run: Run) -> None:
    program = run()
    assert said(program) == "ready"
    second = run()
    assert said(second).startswith(
        f"refused: daogou already runs on this VAR_DIR (process {program.pid})"
    )
    assert second.wait(5) == 2
    assert database_answers(var_dir)
    program.terminate()
    assert program.wait(15) == 0


def test_a_killed_child_is_started_again_and_takes_its_own_children_with_it(
    var_dir: Path, run: Run
) -> None:
    program = run()
    assert said(program) == "ready"
    until(lambda: len(marked(var_dir)) == 3)
    before = marked(var_dir)
    killed = pids(var_dir)["web"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: pids(var_dir)["web"] != killed)
    until(lambda: len(marked(var_dir)) == 3)
    assert len(set(before) & set(marked(var_dir))) == 1, "only the clock is the same as before"
    program.terminate()
    assert program.wait(15) == 0


def test_nothing_survives_a_killed_supervisor_for_long(var_dir: Path, run: Run) -> None:
    program = run()
    assert said(program) == "ready"
    keep_row(var_dir, 1)
    servers = [pids(var_dir)["postgres"], pids(var_dir)["redis"]]
    program.kill()
    program.wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in servers), 5)
    left_behind = marked(var_dir)
    again = run()
    assert said(again) == "ready"
    until(lambda: len(marked(var_dir)) == 3)
    assert not set(left_behind) & set(marked(var_dir))
    assert kept_rows(var_dir) == [1]
    again.terminate()
    assert again.wait(15) == 0


def test_everything_killed_at_once_is_recovered_at_the_next_start(var_dir: Path, run: Run) -> None:
    for round_number in range(3):
        program = run()
        assert said(program) == "ready"
        keep_row(var_dir, round_number)
        for pid in (*pids(var_dir).values(), *in_folder(var_dir)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        program.wait()
    program = run()
    assert said(program) == "ready"
    assert kept_rows(var_dir) == [0, 1, 2]
    until(lambda: len(marked(var_dir)) == 3)
    program.terminate()
    assert program.wait(15) == 0


def test_a_child_that_does_not_start_is_reported_with_its_last_words(var_dir: Path) -> None:
    given = {
        "VAR_DIR": str(var_dir),
        "DATABASE_URL": "postgresql://u@h/d",
        "REDIS_URL": "redis://h",
    }
    failing = [sys.executable, "-c", "raise SystemExit('the port is taken')"]
    with Supervisor(Settings.from_env(given)) as supervisor:
        supervisor.start_servers()
        with pytest.raises(SettingsError, match="web does not start: the port is taken"):
            supervisor.spawn("web", failing, ready=lambda: False)
