"""Every task of every lived day is the one the plain model expects, and there is none besides."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from bot.clock import at
from tests.world import World
from tests.year.driver import Driver, presets
from tests.year.model import calendar, facts, triggers
from tests.year.model.planner import Planner

#: A leap day, a festival after a leap month, and new year with valentine's day: what lies between
#: is not lived, as when a server was away.
DAYS = [
    first + timedelta(days=number)
    for first, days in (
        (date(2028, 2, 29), 1),
        (date(2028, 8, 26), 1),
        (date(2029, 2, 13), 2),
    )
    for number in range(days)
]


def test_the_model_knows_every_trigger_and_its_almanac_is_the_printed_one() -> None:
    kinds = {sop["trigger"]["kind"] for sop in presets()["sops"]}
    assert kinds - {"every"} == triggers.KNOWN
    for name, printed in calendar.PRINTED.items():
        for day in map(date.fromisoformat, printed):
            assert calendar.festival(name, day.year) == day


def test_every_task_of_every_lived_day_is_expected(tmp_path: Path, database_url: str) -> None:
    planner = Planner(presets(), facts.town(20260214, DAYS, people=110, guides=6))
    world = World(tmp_path, database_url, None, start=at(DAYS[0] - timedelta(days=1), 20))
    try:
        driver = Driver(world, planner)
        driver.begin(DAYS[0])
        for day in DAYS:
            driver.night(day)
            driver.expect_night(day)
            assert driver.difference(day) is None
            driver.live(day)
            assert driver.difference(day) is None
    finally:
        world.stop()
    # Leads, the lost and appointments are among them.
    assert {"线索跟进", "告别致意", "到店前提醒"} <= {
        planner.sops[task.sop]["name"] for task in planner.tasks
    }
