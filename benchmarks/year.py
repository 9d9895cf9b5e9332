"""A year of nights (模拟一年): every preset, every day, each task compared with the plain model.

Run from the root of the repository: `python -m benchmarks.year --people 3000 --days 366`. It ends
on the first task that is not the expected one, and names it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from datetime import date, timedelta

import yaml

from benchmarks.ground.installation import installed
from benchmarks.ground.table import show
from tests.year.driver import Driver, presets
from tests.year.model import facts
from tests.year.model.planner import Planner

SEED = 20260101


def main() -> int:
    """Run the nights; 1 when one of them differs."""
    given = _arguments()
    first, last = given.first, given.first + timedelta(days=given.days)
    pack = presets()
    town = facts.town(SEED, first, last, given.people, guides=max(given.people // 25, 2))
    planner = Planner(pack, town)
    with installed() as install:
        driver = Driver(install.bot(), yaml.safe_dump(pack, allow_unicode=True), planner)
        driver.begin(first)
        ours, model = 0.0, 0.0
        for day in (first + timedelta(days=number) for number in range(given.days)):
            began = time.monotonic()
            driver.night(day)
            between = time.monotonic()
            planner.night(day)
            ours, model = ours + between - began, model + time.monotonic() - between
            told = driver.difference(day)
            if told is not None:
                print(told)
                return 1
            counts = f"{len(planner.tasks):,} tasks · {between - began:.1f} s"
            print(f"{day} · as expected · {counts}", flush=True)
            driver.end_day(day)
            driver.tell(day, day + timedelta(days=1))
    rows = [
        ("people", f"{given.people:,}"),
        ("nights", f"{given.days:,}"),
        ("tasks, each as expected", f"{len(planner.tasks):,}"),
        ("of them done", f"{Counter(task.state for task in planner.tasks)['done']:,}"),
        ("SOPs with tasks", f"{len({task.sop for task in planner.tasks})} of {len(planner.sops)}"),
        ("seconds a night", f"{ours / given.days:.2f}"),
        ("seconds of the model", f"{model:.0f}"),
    ]
    show("the year", ("", ""), rows)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=3_000)
    parser.add_argument("--days", type=int, default=366)
    parser.add_argument("--first", type=date.fromisoformat, default=date(2026, 1, 5))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
