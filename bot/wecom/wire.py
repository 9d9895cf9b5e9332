"""The HTTP wire to WeCom: bounded in time and size, and silent about addresses.

`requests` waits its timeout anew for each byte, so a peer that drips one byte a second would hold
a worker for ever; here the timeout of an answer is one deadline for all of it. Addresses carry the
token and the secret, so no exception and no log line of the layers below may pass with one in it.
"""

from __future__ import annotations

import http.client
import io
import logging
import socket
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

# externalcontact/list of a guide with 20,000 customers is 0.7 MB; the tags of a corp up to 1.3 MB.
RESPONSE_LIMIT = 8 * 1024 * 1024


class _DeadlineReader(io.RawIOBase):
    """Reads a socket; every read gets only what is left of the one deadline."""

    def __init__(self, sock: socket.socket) -> None:
        budget = sock.gettimeout()
        self._sock = sock
        self._raw = socket.SocketIO(sock, "r")
        self._deadline = None if budget is None else time.monotonic() + budget
        # SocketIO.close() tells the socket when its last reader is gone; it must be told once.
        sock._io_refs += 1  # type: ignore[attr-defined]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer took too long")
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _DeadlineSocket:
    """What http.client asks of a socket in order to read an answer."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._sock))


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(_DeadlineSocket(sock), *args, **kwargs)  # type: ignore[arg-type]


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class DeadlineAdapter(HTTPAdapter):
    """A pool as large as the threads that use it; nothing is repeated below our own policy."""

    def __init__(self, pool_size: int) -> None:
        super().__init__(pool_connections=2, pool_maxsize=pool_size, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


class _NoSecrets(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        line = record.getMessage()
        return not any(name in line for name in ("access_token", "secret=", "code="))


_NO_SECRETS = _NoSecrets()


def configure(session: requests.Session, pool_size: int) -> None:
    """Make a session fit for WeCom: no proxies from the environment, no redirects, no gzip."""
    session.trust_env = False
    session.max_redirects = 0
    # A compressed answer could unpack to any size, so none is asked for.
    session.headers = requests.structures.CaseInsensitiveDict(
        {"User-Agent": "daogou", "Accept": "application/json", "Accept-Encoding": "identity"}
    )
    session.adapters.clear()
    adapter = DeadlineAdapter(pool_size)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    # urllib3 writes whole addresses at DEBUG and with some warnings.
    for name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(_NO_SECRETS)


def read_limited(response: requests.Response) -> bytes | None:
    """The body of a streamed answer, or None where it is compressed or too large."""
    if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        return None
    body: bytes = response.raw.read(RESPONSE_LIMIT + 1, decode_content=False)
    return body if len(body) <= RESPONSE_LIMIT else None
