"""Every task of every night is the one the plain model expects, and there is none besides."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from bot.clock import at
from tests.world import World
from tests.year.driver import Driver, presets
from tests.year.model import calendar, facts, triggers
from tests.year.model.planner import Planner


def test_the_model_knows_every_trigger_and_its_almanac_is_the_printed_one() -> None:
    kinds = {sop["trigger"]["kind"] for sop in presets()["sops"]}
    assert kinds - {"every"} == triggers.KNOWN
    for name, printed in calendar.PRINTED.items():
        for day in map(date.fromisoformat, printed):
            assert calendar.festival(name, day.year) == day


@pytest.mark.parametrize(
    ("first", "nights", "people"),
    [
        pytest.param(date(2029, 2, 9), 8, 70, id="new year, valentine and their holidays"),
        pytest.param(date(2028, 2, 27), 4, 50, id="a leap day"),
        pytest.param(date(2028, 8, 24), 4, 50, id="a festival after a leap month"),
        pytest.param(date(2028, 12, 29), 4, 50, id="the end of the year"),
    ],
)
def test_every_task_of_every_day_is_expected(
    tmp_path: Path, database_url: str, first: date, nights: int, people: int
) -> None:
    last = first + timedelta(days=nights)
    planner = Planner(presets(), facts.town(20260214, first, last, people, guides=6))
    world = World(tmp_path, database_url, None, start=at(first - timedelta(days=1), 20))
    try:
        driver = Driver(world, planner)
        driver.begin(first)
        for day in (first + timedelta(days=n) for n in range(nights)):
            driver.night(day)
            driver.expect_night(day)
            assert driver.difference(day) is None
            driver.live(day)
            assert driver.difference(day) is None
    finally:
        world.stop()
