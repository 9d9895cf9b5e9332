"""The small files by which processes find each other."""

from __future__ import annotations

import sys
import threading

from bot.embedded import house
from bot.embedded.child import write_whole
from bot.settings import Settings


def test_nobody_ever_reads_an_empty_or_half_written_pid_file(tmp_path):
    path = tmp_path / "fast.pid"
    write_whole(path, "1000001\n")
    stop = threading.Event()

    def write() -> None:
        number = 1_000_001
        while not stop.is_set():
            number += 1
            write_whole(path, f"{number}\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        read = {path.read_text() for _ in range(3000)}
    finally:
        stop.set()
        writer.join()

    assert {len(text) for text in read} == {8}
    assert [one.name for one in tmp_path.glob("*.pid")] == ["fast.pid"]


def test_a_restarted_worker_does_not_compile_everything_again(tmp_path, monkeypatch):
    """Containers often forbid to write compiled code beside the code."""
    settings = Settings.from_env({"VAR_DIR": str(tmp_path)})
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert house.bytecode(settings) == {
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode"),
    }
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert house.bytecode(settings) == {}
