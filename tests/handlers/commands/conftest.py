"""`daogou(...)`: one command in this process, on a real database, as a terminal would run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from app import build_bot, create_app, sandbox_config
from handlers.commands import Roof, main

NAMES = ("WECOM_CORP_ID", "WECOM_API_BASE_URL", "SECRET_KEY", "EVENTS_SECRET", "PUBLIC_BASE_URL")


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it wrote."""

    status: int
    out: str
    err: str

    def refused(self, *said: str) -> str:
        """The one line of a refusal, which says all of this."""
        assert self.status == 2, self
        assert self.out == ""
        assert self.err.count("\n") == 1, self.err
        for words in said:
            assert words in self.err
        assert "Traceback" not in self.err
        return self.err


Run = Callable[..., Ended]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis_url: str) -> None:
    """Outside servers, so that no command starts its own."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("REDIS_URL", redis_url)


@pytest.fixture
def daogou(
    environment: None,
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    monkeypatch.setenv("DATABASE_URL", database_url)
    return runner(capsys)


def runner(capsys: pytest.CaptureFixture[str]) -> Run:
    """What a command does in the environment as it stands."""

    def run(*argv: str) -> Ended:
        capsys.readouterr()
        try:
            status = main(list(argv), Roof(build_bot, create_app, sandbox_config))
        except SystemExit as ended:
            status = int(ended.code or 0)
        written = capsys.readouterr()
        return Ended(status, written.out, written.err)

    return run
