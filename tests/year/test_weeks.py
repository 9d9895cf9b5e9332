"""Every task of every night is the one the plain model expects, and there is none besides."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import yaml

from bot.bot import Bot
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
        pytest.param(date(2026, 2, 11), 8, 70, id="valentine, new year and its holidays"),
        pytest.param(date(2028, 2, 27), 4, 50, id="a leap day"),
        pytest.param(date(2025, 8, 27), 4, 50, id="a festival after a leap month"),
        pytest.param(date(2026, 12, 29), 4, 50, id="the end of the year"),
    ],
)
def test_every_task_of_every_night_is_expected(
    bot: Bot, first: date, nights: int, people: int
) -> None:
    pack = presets()
    last = first + timedelta(days=nights)
    planner = Planner(pack, facts.town(20260214, first, last, people, guides=6))
    driver = Driver(bot, yaml.safe_dump(pack, allow_unicode=True), planner)
    driver.begin(first)
    for day in (first + timedelta(days=n) for n in range(nights)):
        driver.night(day)
        planner.night(day)
        assert driver.difference(day) is None
        driver.end_day(day)
        driver.tell(day, day + timedelta(days=1))
