"""Spool (暂存): what arrived while PostgreSQL was away, on disk, until it can be stored.

One append-only file per process: a record is its length, its CRC and its bytes, and is on the
disk (fsync) before `append` returns. Records hold requests as they came, so what people wrote
stays encrypted. Whoever drains takes a file away by renaming it under its lock; an appender then
sees that its file is gone and begins a new one.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import struct
import threading
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

CAP_BYTES = 256 * 1024 * 1024

_HEAD = struct.Struct(">II")


class SpoolFull(OSError):
    """The spool has reached its cap; nothing more can be promised."""


@dataclass(frozen=True)
class Kept:
    """One request as it came."""

    query: dict[str, str]
    body: bytes
    received_at: datetime


class Spool:
    """The spool folder, seen from one process."""

    def __init__(self, folder: Path, *, cap_bytes: int = CAP_BYTES) -> None:
        self.folder = folder
        self._cap = cap_bytes
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._pid = 0

    def append(self, query: Mapping[str, str], body: bytes, received_at: datetime) -> None:
        """Keep one request; durable on return. Raises OSError (SpoolFull at the cap)."""
        record = _encode(query, body, received_at)
        with self._lock:
            if self.size() + len(record) > self._cap:
                raise SpoolFull("the spool is full")
            fd = self._locked_file()
            try:
                _write_whole(fd, record)
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)

    def size(self) -> int:
        """Bytes in the folder, all processes together."""
        total = 0
        for path in self._files():
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def drain(self, keep: Callable[[list[Kept]], None], *, batch: int = 200) -> int:
        """Hand every record to `keep`, batch by batch, and forget a file when all of it is kept.

        Files that another process drains are left to it. An exception of `keep` leaves the file
        for the next time; `keep` must therefore bear a record twice. Returns the records kept.
        """
        return sum(self._drain_file(path, keep, batch) for path in self._files())

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.spool*")) if self.folder.is_dir() else []

    def _path(self) -> Path:
        return self.folder / f"{os.getpid()}.spool"

    def _locked_file(self) -> int:
        while True:
            if self._fd is None or self._pid != os.getpid():
                self._fd = self._open()
                self._pid = os.getpid()
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                if os.stat(self._path()).st_ino == os.fstat(self._fd).st_ino:
                    return self._fd
            except FileNotFoundError:
                pass
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path(), os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        # The name must survive a crash as surely as the bytes.
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return fd

    def _drain_file(self, path: Path, keep: Callable[[list[Kept]], None], batch: int) -> int:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0
        with os.fdopen(fd, "rb") as file:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Between listing and locking, another process may have taken it away.
                if path.stat().st_ino != os.fstat(fd).st_ino:
                    return 0
                taken = path.with_name(f"{path.stem}.spool-{uuid.uuid4().hex}")
                path.rename(taken)
            except (BlockingIOError, FileNotFoundError):
                return 0
            count = 0
            waiting: list[Kept] = []
            for record in _records(file.read()):
                waiting.append(record)
                if len(waiting) == batch:
                    keep(waiting)
                    count += len(waiting)
                    waiting = []
            if waiting:
                keep(waiting)
                count += len(waiting)
            taken.unlink()
            return count


def _encode(query: Mapping[str, str], body: bytes, received_at: datetime) -> bytes:
    payload = json.dumps(
        {
            "query": dict(query),
            "body": base64.b64encode(body).decode("ascii"),
            "at": received_at.isoformat(),
        }
    ).encode()
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def _write_whole(fd: int, record: bytes) -> None:
    before = os.fstat(fd).st_size
    try:
        if os.write(fd, record) != len(record):
            raise OSError("the disk took only part of a record")
        os.fsync(fd)
    except OSError:
        # Half a record would hide those behind it.
        os.ftruncate(fd, before)
        raise


def _records(content: bytes) -> Iterator[Kept]:
    place = 0
    while place + _HEAD.size <= len(content):
        length, crc = _HEAD.unpack_from(content, place)
        payload = content[place + _HEAD.size : place + _HEAD.size + length]
        # A record cut off by a crash was never promised to anybody; nothing stands behind it.
        if len(payload) != length or zlib.crc32(payload) != crc:
            return
        read = json.loads(payload)
        yield Kept(
            read["query"], base64.b64decode(read["body"]), datetime.fromisoformat(read["at"])
        )
        place += _HEAD.size + length
