"""A year of days (模拟一年): every preset, every day, each task compared with the plain model.

Run from the root of the repository: `python -m benchmarks.year --people 3000 --days 366`. One
installation with its sandbox is lived in: people add guides, tills report, guides write to the app,
machines send, and every night plans by the timetable. It ends on the first task that is not the
expected one, and names it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

from benchmarks.ground.installation import installed
from benchmarks.ground.table import show
from bot.clock import Clock, at, business_day
from tests.world import World
from tests.year.driver import Driver, presets
from tests.year.model import facts
from tests.year.model.planner import Planner

SEED = 20260101
_PEOPLE_A_GUIDE = 50


def main() -> int:
    """Live the days; 1 when one of them differs."""
    given = _arguments()
    days = [given.first + timedelta(days=number) for number in range(given.days)]
    guides = max(given.people // _PEOPLE_A_GUIDE, 2)
    planner = Planner(presets(), facts.town(given.seed, days, given.people, guides=guides))
    with installed() as install, tempfile.TemporaryDirectory() as folder:
        servers, start = install.servers, at(days[0] - timedelta(days=1), 20)
        world = World(Path(folder), servers.database_url, servers.redis_url, start=start)
        try:
            driver = Driver(world, planner)
            spent = _live(driver, days)
        finally:
            world.stop()
    if spent is None:
        return 1
    show("the year", ("", ""), _rows(given.people, days, driver, spent))
    return 0


def _live(driver: Driver, days: list[date]) -> Counter[str] | None:
    """Seconds spent by what they were spent on; None: a day differed, and it was said how."""
    spent: Counter[str] = Counter()
    driver.begin(days[0])
    for day in days:
        began = time.monotonic()
        driver.night(day)
        planned = time.monotonic()
        driver.expect_night(day)
        expected = time.monotonic()
        told = driver.difference(day)
        if told is None:
            driver.live(day)
            told = driver.difference(day)
        if told is not None:
            print(told, flush=True)
            return None
        whole = time.monotonic() - began
        spent += Counter(night=planned - began, model=expected - planned, day=whole)
        counts = f"{len(driver.planner.tasks):,} tasks · night {planned - began:.1f} s"
        print(f"{day} · as expected · {counts} · day {whole:.1f} s", flush=True)
    return spent


def _rows(
    people: int, days: list[date], driver: Driver, spent: Counter[str]
) -> list[tuple[str, str]]:
    planner, counts = driver.planner, driver.counts
    sent = sum(one.state == "done" and not one.is_by_hand for one in planner.tasks)
    of_contacts = [one for one in planner.sops if one["trigger"]["kind"] != "every"]
    return [
        ("people", f"{people:,}"),
        ("nights", f"{len(days):,}"),
        ("tasks, each as expected", f"{len(planner.tasks):,}"),
        ("of them done by guides", f"{counts['done']:,}"),
        ("of them sent by machines, in mass messages", f"{sent:,}"),
        ("SOPs with tasks", f"{len({task.sop for task in planner.tasks})} of {len(of_contacts)}"),
        ("SOPs of moments and groups", f"{len(planner.sops) - len(of_contacts)}"),
        ("seconds a night", f"{spent['night'] / len(days):.2f}"),
        ("seconds a whole day", f"{spent['day'] / len(days):.2f}"),
        ("seconds of the model", f"{spent['model']:.0f}"),
    ]


def _arguments() -> argparse.Namespace:
    # Calls to WeCom fall due by the database's clock: the days lie ahead of it.
    coming = business_day(Clock().now()).replace(day=1) + timedelta(days=32)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=3_000)
    parser.add_argument("--days", type=int, default=366)
    parser.add_argument("--first", type=date.fromisoformat, default=coming.replace(day=1))
    parser.add_argument("--seed", type=int, default=SEED)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
