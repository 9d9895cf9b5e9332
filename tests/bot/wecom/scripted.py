"""A small real HTTP server that answers as a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    method: str
    api: str
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Platform  # type: ignore[assignment]

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def answer_json(self, **fields: Any) -> None:
        self.answer(json.dumps({"errcode": 0, "errmsg": "ok", **fields}).encode())

    def drip(self, body: bytes, seconds: float) -> None:
        """Headers at once, then a byte at a time."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.server.closing.wait(seconds):
                return

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        size = int(self.headers.get("Content-Length") or 0)
        asked = Asked(
            self.command,
            parts.path.removeprefix("/cgi-bin/"),
            {name: values[0] for name, values in parse_qs(parts.query).items()},
            self.rfile.read(size),
            dict(self.headers.items()),
        )
        with self.server.lock:
            self.server.asked.append(asked)
        with suppress(OSError):
            self.server.answer_for(asked)(self)

    do_GET = do_POST = _serve


class Platform(ThreadingHTTPServer):
    """Tokens are t1, t2 …; a call with another token than the live one is refused."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.asked: list[Asked] = []
        self.answers: dict[str, Callable[[Handler], None]] = {}
        self.tokens = 0
        self.live: str | None = None
        self.dead_errcode = 40014

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that gave up, or a reset that a test asked for.
        pass

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def calls(self, api: str) -> list[Asked]:
        return [one for one in self.asked if one.api == api]

    def on(self, api: str, answer: Callable[[Handler], None]) -> None:
        self.answers[api] = answer

    def kill_tokens(self) -> None:
        with self.lock:
            self.live = None

    def answer_for(self, asked: Asked) -> Callable[[Handler], None]:
        if asked.api in self.answers and asked.api == "gettoken":
            return self.answers[asked.api]
        if asked.api == "gettoken":
            with self.lock:
                if self.live is None:
                    self.tokens += 1
                    self.live = f"CANARY-token-{self.tokens}"
                token = self.live
            time.sleep(0.01)
            return lambda h: h.answer_json(access_token=token, expires_in=7200)
        if asked.query.get("access_token") != self.live:
            code = self.dead_errcode
            return lambda h: h.answer_json(errcode=code, errmsg="invalid access_token")
        return self.answers.get(asked.api, lambda h: h.answer_json())


@contextmanager
def running() -> Iterator[Platform]:
    platform = Platform()
    thread = threading.Thread(target=platform.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield platform
    finally:
        platform.closing.set()
        platform.shutdown()
        platform.server_close()
        thread.join(5)


@dataclass
class Waited:
    """How long a block took."""

    seconds: float = 0.0
    started: float = field(default_factory=time.monotonic)


@contextmanager
def timed() -> Iterator[Waited]:
    waited = Waited()
    yield waited
    waited.seconds = time.monotonic() - waited.started
