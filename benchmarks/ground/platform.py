"""A platform that answers slowly and says yes (慢平台): `python -m ground.platform PORT MS FILE`.

It keeps when each welcome call arrived (monotonic seconds) and with which code, and writes that to
FILE when it is told to stop. What a call must look like is the sandbox's business, not this one's.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parents[1]
_WELCOME = "/cgi-bin/externalcontact/send_welcome_msg"


@contextmanager
def platform(port: int, milliseconds: int, kept: Path) -> Iterator[None]:
    """The platform as a process of its own; `kept` holds its arrivals afterwards."""
    argv = [sys.executable, "-m", "ground.platform", str(port), str(milliseconds), str(kept)]
    process = subprocess.Popen(argv, cwd=_HERE)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


class _Platform:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.welcomes: list[tuple[str, float]] = []
        self.calls: dict[str, int] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                came = time.monotonic()
                target = head.split(b" ", 2)[1].decode()
                body = await reader.readexactly(_length(head))
                answer = json.dumps(self._answer(target, body, came)).encode()
                await asyncio.sleep(self._seconds)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                    + str(len(answer)).encode() + b"\r\n\r\n" + answer
                )  # fmt: skip
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, target: str, body: bytes, came: float) -> dict[str, Any]:
        path, _, query = target.partition("?")
        self.calls[path] = self.calls.get(path, 0) + 1
        yes: dict[str, Any] = {"errcode": 0, "errmsg": "ok"}
        if path == _WELCOME:
            self.welcomes.append((json.loads(body)["welcome_code"], came))
        elif path.endswith("/gettoken"):
            yes |= {"access_token": f"token{came}", "expires_in": 7200}
        elif path.endswith("/externalcontact/get"):
            yes |= _contact(dict(part.split("=", 1) for part in query.split("&")))
        elif path.endswith("/message/send"):
            yes |= {"msgid": f"m{came}", "response_code": f"r{came}"}
        return yes


def _contact(query: dict[str, str]) -> dict[str, Any]:
    who = query.get("external_userid", "")
    person = {"external_userid": who, "name": f"客户{who[-5:]}", "type": 1, "gender": 2}
    follow = {"userid": "guide000001", "createtime": int(time.time()), "tags": [], "add_way": 1}
    return {"external_contact": person, "follow_user": [follow]}


def _length(head: bytes) -> int:
    place = head.lower().find(b"content-length:")
    return int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0


async def _run(port: int, seconds: float, kept: Path) -> None:
    slow = _Platform(seconds)
    server = await asyncio.start_server(slow.serve, "127.0.0.1", port, backlog=1024)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.close()
    kept.write_text(json.dumps({"welcomes": slow.welcomes, "calls": slow.calls}))


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), int(sys.argv[2]) / 1000, Path(sys.argv[3])))
