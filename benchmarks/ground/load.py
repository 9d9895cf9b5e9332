"""The load generator (压测发生器), a process of its own: `python -m ground.load JOB`.

Keep-alive connections on one epoll loop, requests made beforehand: it takes a small part of the
time the server takes. Open loop: a request is due at its moment, and the time it then waits for a
free connection counts as its latency. Closed loop: each connection asks again when answered.
"""

from __future__ import annotations

import pickle
import select
import socket
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

_LATEST_SECONDS = 20.0
_HERE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Job:
    """What to send. `rate` per second for an open loop; None for a closed one."""

    port: int
    requests: list[bytes]
    connections: int
    rate: float | None
    seconds: float
    #: Begin again with the first request when all are sent (for a server that keeps nothing).
    repeats: bool = False
    #: When the first request is due (monotonic seconds); None: at once.
    begins: float | None = None


@dataclass(frozen=True)
class Outcome:
    """One request: which, when it was due (monotonic seconds), how long it took, the status."""

    index: int
    due: float
    took: float
    status: int


@dataclass(frozen=True)
class Report:
    """All outcomes, the seconds it went on, and the processor seconds the generator used."""

    outcomes: list[Outcome]
    seconds: float
    cpu_seconds: float

    def rate(self) -> float:
        """Answers with 200 a second."""
        return sum(one.status == 200 for one in self.outcomes) / self.seconds

    def latencies(self) -> list[float]:
        """Sorted, in milliseconds."""
        return sorted(one.took * 1000 for one in self.outcomes)


class Load:
    """A generator at work; `wait` gives its report."""

    def __init__(self, job: Job, folder: Path) -> None:
        self._answer = folder / f"load-{time.monotonic_ns()}"
        question = self._answer.with_suffix(".job")
        question.write_bytes(pickle.dumps(job))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ground.load", str(question), str(self._answer)], cwd=_HERE
        )

    def wait(self) -> Report:
        """The report, when the generator has ended."""
        if self._process.wait() != 0:
            raise RuntimeError("the load generator failed")
        report: Report = pickle.loads(self._answer.read_bytes())
        return report


def post(path: str, body: bytes) -> bytes:
    """A whole keep-alive POST request."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Line:
    """One connection and the request under way on it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.index = -1
        self.due = 0.0
        self._received = b""
        self.socket = self.connect()

    def connect(self) -> socket.socket:
        self.socket = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        return self.socket

    def ask(self, index: int, due: float, request: bytes) -> None:
        self.index, self.due = index, due
        self.socket.sendall(request)

    def read(self) -> int | None:
        """The status, once the whole answer is there."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return None
        place = head.lower().find(b"content-length:")
        length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(body) < length:
            return None
        self._received = b""
        return int(head[9:12])


def run(job: Job) -> Report:
    """Send the requests of a job; ends when all are answered or much too late."""
    lines = {
        line.socket.fileno(): line for line in (_Line(job.port) for _ in range(job.connections))
    }
    poll = select.epoll()
    for number in lines:
        poll.register(number, select.EPOLLIN)
    idle = deque(lines.values())
    outcomes: list[Outcome] = []
    began = job.begins or time.monotonic() + 0.05
    time.sleep(max(0.0, began - time.monotonic()))
    ends = began + job.seconds
    total = len(job.requests)
    wanted = int(job.rate * job.seconds) if job.rate else (10**9 if job.repeats else total)
    sent = 0
    cpu = time.process_time()
    while True:
        now = time.monotonic()
        while idle and sent < wanted:
            due = began + sent / job.rate if job.rate else now
            if due > now or (job.rate is None and now >= ends):
                break
            idle.popleft().ask(sent, due, job.requests[sent % total])
            sent += 1
        finished = sent >= wanted or (job.rate is None and now >= ends)
        if (finished and len(idle) == len(lines)) or now > ends + _LATEST_SECONDS:
            break
        wait = 0.05
        if idle and job.rate and sent < wanted:
            wait = max(0.0, min(wait, began + sent / job.rate - now))
        for number, _ in poll.poll(wait):
            _hear(poll, lines, number, outcomes, idle)
    return Report(outcomes, max(time.monotonic() - began, 1e-9), time.process_time() - cpu)


def _hear(
    poll: select.epoll,
    lines: dict[int, _Line],
    number: int,
    outcomes: list[Outcome],
    idle: deque[_Line],
) -> None:
    line = lines[number]
    try:
        status = line.read()
    except OSError:
        status = 0
    if status is None:
        return
    outcomes.append(Outcome(line.index, line.due, time.monotonic() - line.due, status))
    if status == 0:
        poll.unregister(number)
        del lines[number]
        line.socket.close()
        line.connect()
        lines[line.socket.fileno()] = line
        poll.register(line.socket.fileno(), select.EPOLLIN)
    idle.append(line)


def main() -> None:
    """Do the job in the first file, leave the report in the second."""
    # The job's classes are those of this module by its name, not of `__main__`.
    from ground import load

    job = pickle.loads(Path(sys.argv[1]).read_bytes())
    Path(sys.argv[2]).write_bytes(pickle.dumps(load.run(job)))


if __name__ == "__main__":
    main()
