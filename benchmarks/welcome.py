"""From scan to welcome call (扫码到欢迎语): real web, fast worker and worker, a slow platform.

New customers come at a steady rate beside other callbacks; every call to the platform takes
100 ms, also the look-up of the name that stands in the words. Each add must be welcomed once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from ground import letters
from ground.installation import Installation, free_port, installed, running
from ground.load import Job, Load, Report
from ground.platform import platform
from ground.table import percentile, show
from sqlalchemy import text

from bot.crm.models import Guide
from bot.db import create_sessions, transaction
from content_library.models import WelcomeMessage

_GUIDES = 600
_KNOWN = 3_000
_WORDS = "{客户称呼}，您好！我是{导购名}，看中哪款随时找我。"
_PROGRAMS = (("-m", "app", "web"), ("-m", "app", "worker", "fast"), ("-m", "app", "worker"))
_LAST_SECONDS = 25.0


def main() -> int:
    """Measure and judge; the exit status says whether a welcome was lost or sent twice."""
    given = _arguments()
    port = free_port()
    with installed(f"http://127.0.0.1:{port}") as install:
        _book(install)
        kept = install.folder / "platform.json"
        with (
            platform(port, given.latency, kept),
            running(install, *_PROGRAMS, port=install.port, lanes=("fast", "events")),
        ):
            due, report = _send(install, given)
            _wait_until_sent(install, len(due))
        return _judge(due, report, kept, _ends(install))


def _book(install: Installation) -> None:
    """Guides, customers known before, and the default welcome."""
    engine = install.engine()
    with transaction(create_sessions(engine)) as session:
        session.add(WelcomeMessage(name="默认", text=_WORDS, is_default=True))
        session.add_all(
            Guide(userid=f"guide{n:06}", name=f"导购{n}") for n in range(1, _GUIDES + 1)
        )
        session.flush()
        session.execute(
            text(
                "INSERT INTO contact (external_userid, name, guide_id, followed_on, fetched_at)"
                " SELECT 'known' || n, '老客户' || n, 1 + n % :guides, current_date, now()"
                " FROM generate_series(1, :known) AS n"
            ),
            {"guides": _GUIDES, "known": _KNOWN},
        )
        session.execute(
            text(
                "INSERT INTO follow_relation"
                " (guide_id, contact_id, state, followed_at, followed_on, changed_at)"
                " SELECT guide_id, id, 'active', now(), current_date, now() FROM contact"
            )
        )
    engine.dispose()


def _send(install: Installation, given: argparse.Namespace) -> tuple[dict[str, float], Report]:
    """All callbacks in one open loop; returns when each code was due (monotonic seconds)."""
    warm = [letters.entered("guide000001", n) for n in range(20)]
    Load(Job(install.port, letters.sealed(warm).requests, 4, None, 10.0), install.folder).wait()
    rate = given.adds + given.others
    total = int(rate * given.seconds)
    # A code lives 20 seconds from the time in its message, so each message says when it is due.
    begins, clock_ahead = time.monotonic() + 3 + total / 2000, time.time() - time.monotonic()
    due = [begins + place / rate for place in range(total)]
    messages = [_message(given, place, int(due[place] + clock_ahead)) for place in range(total)]
    sealed = letters.sealed(messages)
    if time.monotonic() > begins:
        raise RuntimeError("sealing took longer than thought; try again")
    job = Job(install.port, sealed.requests, 64, rate, given.seconds, begins=begins)
    report = Load(job, install.folder).wait()
    return {_code(place): due[place] for place in range(total) if _is_add(given, place)}, report


def _is_add(given: argparse.Namespace, place: int) -> bool:
    rate = given.adds + given.others
    return place * given.adds % rate < given.adds


def _code(place: int) -> str:
    return f"CODE{place:08}"


def _message(given: argparse.Namespace, place: int, at: int) -> bytes:
    """An add, an edit of somebody known, or a guide who opens the app."""
    userid = f"guide{1 + place % _GUIDES:06}"
    if _is_add(given, place):
        code = _code(place)
        return letters.contact_event(
            "add_external_contact", userid, f"new{place}", at=at, WelcomeCode=code
        )
    if place % 3:
        known = place % _KNOWN + 1
        userid = f"guide{1 + known % _GUIDES:06}"
        return letters.contact_event("edit_external_contact", userid, f"known{known}", at=at)
    return letters.entered(userid, place)


def _wait_until_sent(install: Installation, wanted: int) -> None:
    """Until every add has ended one way or the other, or nothing can come any more."""
    last = time.monotonic() + _LAST_SECONDS
    with install.connect() as connection:
        while time.monotonic() < last:
            row = connection.execute(
                "SELECT count(*) FROM welcome_send WHERE state <> 'queued'"
            ).fetchone()
            if row is not None and row[0] >= wanted:
                return
            time.sleep(0.5)


def _ends(install: Installation) -> list[tuple[str, int]]:
    with install.connect() as connection:
        return connection.execute(
            "SELECT state || COALESCE(' ' || reason, ''), count(*) FROM welcome_send"
            " GROUP BY 1 ORDER BY 2 DESC"
        ).fetchall()


def _judge(due: dict[str, float], report: Report, kept: Path, ends: list[tuple[str, int]]) -> int:
    arrived = json.loads(kept.read_text())
    first: dict[str, float] = {}
    for code, at in arrived["welcomes"]:
        first.setdefault(code, at)
    times = Counter(code for code, _ in arrived["welcomes"])
    lags = sorted((first[code] - due[code]) * 1000 for code in due if code in first)
    lost = len(due) - len(lags)
    doubled = sum(count > 1 for count in times.values())
    answers = report.latencies()
    rows = []
    for name, values, goal in (
        ("scan to welcome call", lags, "<= 1000"), ("callback answered", answers, ""),
    ):  # fmt: skip
        parts = (f"{percentile(values, share):.0f}" for share in (0.5, 0.9, 0.99, 1.0))
        rows.append((name, len(values), *parts, goal))
    header = ("", "count", "p50 ms", "p90 ms", "p99 ms", "max ms", "p99 goal")
    show("welcome lane", header, rows)
    refused = sum(one.status != 200 for one in report.outcomes)
    print(f"  {len(due):,} adds: {lost} lost, {doubled} doubled; {refused} callbacks not 200")
    print("  ends: " + ", ".join(f"{state} {count:,}" for state, count in ends))
    print("  calls: " + ", ".join(f"{path[9:]} {n:,}" for path, n in arrived["calls"].items()))
    return 1 if lost or doubled else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adds", type=int, default=50, help="new customers a second")
    parser.add_argument("--others", type=int, default=300, help="other callbacks a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--latency", type=int, default=100, help="of the platform, milliseconds")
    parser.add_argument("--quick", action="store_true", help="20 and 100 a second for 10 seconds")
    given = parser.parse_args()
    if given.quick:
        given.adds, given.others, given.seconds = 20, 100, 10.0
    return given


if __name__ == "__main__":
    sys.exit(main())
