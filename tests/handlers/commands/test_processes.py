"""`daogou web` on its own, with the embedded servers: it answers, and ends as a whole."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.installation import until, var_dir

__all__ = ["var_dir"]

_ROOT = Path(__file__).parents[3]


def _answers(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def test_the_web_does_not_go_on_serving_when_its_command_is_ended(var_dir: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"VAR_DIR": str(var_dir), "PORT": str(port)}
    command = subprocess.Popen(
        [sys.executable, "-m", "app", "web"],
        cwd=_ROOT,
        env=os.environ | given,
        start_new_session=True,
    )
    try:
        until(lambda: _answers(port), 90)
        command.terminate()
        command.wait(30)
        until(lambda: not _answers(port), 10)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)
