"""The night at scale (夜间批处理): scores, tags, enrollments, plan and digests over a whole brand.

Runs the real steps of the night three times (first night, repeated at once, the next night after a
day of business), and the main statements beside SQL written by hand for the same result.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from ground import content, crowd, processor, reference, rewards
from ground.installation import Installation, installed
from ground.table import show
from sqlalchemy import event
from sqlalchemy.engine import Engine

from bot.clock import at
from bot.db import create_sessions, transaction
from handlers.timetable import NIGHTLY
from sop import digests, leads, planning, postings
from tagging import marks

DAY = date(2026, 3, 12)


@dataclass
class Night:
    """What one night took, step by step."""

    steps: list[tuple[str, int, float]] = field(default_factory=list)
    #: Processor seconds of each step, the database's processes included; 0 where unknown.
    processor: list[float] = field(default_factory=list)
    statements: list[tuple[float, str]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """All steps together."""
        return sum(took for _, _, took in self.steps)


def main() -> None:
    """Measure one size, and a tenth of it for the growth."""
    given = _arguments()
    small = max(given.contacts // 10, 1000)
    nights = {}
    for contacts in [small, given.contacts] if given.growth else [given.contacts]:
        guides = max(given.guides * contacts // given.contacts, 5)
        nights[contacts] = _measure(contacts, guides, given.slowest, presets=given.presets)
    if given.growth:
        rows = [
            (name, *(f"{nights[size][kind].seconds:.1f}" for size in (small, given.contacts)),
             f"{nights[given.contacts][kind].seconds / nights[small][kind].seconds:.1f}")
            for kind, name in enumerate(("first night", "repeated", "next night"))
        ]  # fmt: skip
        show("growth, seconds", ("", f"{small:,}", f"{given.contacts:,}", "ratio"), rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"\npeak Python memory: {peak} MB")


def _measure(contacts: int, guides: int, slowest: int, *, presets: bool) -> list[Night]:
    with installed() as install:
        engine = install.engine()
        sessions = create_sessions(engine)
        began = time.monotonic()
        print(f"\nloading {contacts:,} contacts", flush=True)
        with transaction(sessions) as session:
            content.load(session, guides=guides, day=DAY, presets=presets)
        orders = crowd.load(engine, install, contacts=contacts, guides=guides, day=DAY)
        if presets:
            rewards.load(install, day=DAY)
        took = time.monotonic() - began
        size = install.folder_bytes() / 1e9
        print(
            f"{contacts:,} contacts, {guides:,} guides, {orders:,} orders in {took:.0f} s,"
            f" {size:.1f} GB on disk",
            flush=True,
        )
        nights = [_night(install, engine, sessions, DAY), _night(install, engine, sessions, DAY)]
        next_day = DAY + timedelta(days=1)
        _settle_marks(install)
        crowd.pass_a_day(install, contacts=contacts, guides=guides, day=next_day)
        nights.append(_night(install, engine, sessions, next_day))
        _show(nights)
        for name, night in zip(("first night", "next night"), nights[::2], strict=True):
            _show_statements(name, night, slowest)
        show(
            "beside SQL written by hand, seconds",
            ("", "ours", "by hand", "ratio"),
            reference.compare(sessions, next_day),
        )
        print(f"\n{install.folder_bytes() / 1e9:.1f} GB on disk at the end", flush=True)
        engine.dispose()
        return nights


def _night(install: Installation, engine: Engine, sessions: Any, day: date) -> Night:
    night, night_at = Night(), at(day, 2, 10)
    postmaster = processor.server_in(install.folder)

    def step(name: str, work: Callable[[Any], int]) -> None:
        began, spent = time.monotonic(), processor.seconds(postmaster)
        with transaction(sessions) as session:
            rows = work(session)
        took = time.monotonic() - began
        night.steps.append((name, rows, took))
        night.processor.append(processor.seconds(postmaster) - spent)
        print(
            f"  {day} {name} rows={rows:,} s={took:.2f} cpu={night.processor[-1]:.2f}", flush=True
        )

    with _timed(engine, night.statements):
        for name, work in NIGHTLY:
            if name == "enrollment.enroll_due":
                step("leads.raise_due", lambda session: leads.raise_due(session, day, night_at))
            step(name, lambda session, work=work: work(session, day))
        step("planning.plan", lambda session: planning.plan(session, day, night_at).opened)
        step("postings.plan", lambda session: postings.plan(session, day, night_at))
        step(
            "digests.prepare",
            lambda session: digests.prepare(session, day, at(day, 8, 30), install.settings),
        )
        step("marks.push_pending (5,000)", marks.push_pending)
    return night


class _timed:
    """Notes how long every statement takes."""

    def __init__(self, engine: Engine, kept: list[tuple[float, str]]) -> None:
        self._engine, self._kept, self._began = engine, kept, 0.0

    def __enter__(self) -> None:
        event.listen(self._engine, "before_cursor_execute", self._before)
        event.listen(self._engine, "after_cursor_execute", self._after)

    def __exit__(self, *error: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._before)
        event.remove(self._engine, "after_cursor_execute", self._after)

    def _before(self, *given: Any) -> None:
        self._began = time.monotonic()

    def _after(self, connection: Any, cursor: Any, statement: str, *given: Any) -> None:
        self._kept.append((time.monotonic() - self._began, " ".join(statement.split())))


def _settle_marks(install: Installation) -> None:
    """As if WeCom had been told of every tag, and the tables looked at by autovacuum since."""
    with install.connect() as connection:
        connection.execute("UPDATE tag_assignment SET mark_state = 'marked'")
        connection.execute("VACUUM (ANALYZE)")


def _show(nights: list[Night]) -> None:
    rows = []
    for steps in zip(*(night.steps for night in nights), strict=True):
        rows.append((steps[0][0], *(f"{took:.2f}" for _, _, took in steps),
                     *(f"{done:,}" for _, done, _ in steps)))  # fmt: skip
    rows.append(("all", *(f"{night.seconds:.2f}" for night in nights), "", "", ""))
    header = ("step", "first s", "repeat s", "next s", "first rows", "repeat rows", "next rows")
    show("the night, step by step", header, rows)
    # On a machine with other work the clock says little, and the processor's time still a lot.
    spent = [
        (step[0], *(f"{night.processor[place]:.2f}" for night in nights))
        for place, step in enumerate(nights[0].steps)
    ]
    spent.append(("all", *(f"{sum(night.processor):.2f}" for night in nights)))
    show("processor seconds, this process and the database", header[:4], spent)


def _show_statements(name: str, night: Night, slowest: int) -> None:
    rows = [(text[:110], f"{took:.2f}") for took, text in sorted(night.statements)[::-1][:slowest]]
    if rows:
        show(f"slowest statements, {name}", ("statement", "s"), rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--guides", type=int, default=5_000)
    parser.add_argument("--slowest", type=int, default=0, help="statements to list per night")
    parser.add_argument("--presets", action="store_true", help="with every SOP of the starter pack")
    parser.add_argument("--no-growth", dest="growth", action="store_false")
    parser.add_argument("--quick", action="store_true", help="20,000 contacts, 100 guides")
    given = parser.parse_args()
    if given.quick:
        given.contacts, given.guides = 20_000, 100
    return given


if __name__ == "__main__":
    main()
