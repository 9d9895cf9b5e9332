"""A night sends the same statements however many customers there are (语句数)."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections import Counter
from datetime import date

from bot.bot import Bot
from bot.db import create_database_engine, create_sessions
from bot.embedded import Servers
from handlers.brand_pack import starter
from tests.compiled import share_statements
from tests.databases import Databases
from tests.fixtures_db import counting
from tests.servers import named
from tests.year.driver import Driver, presets
from tests.year.model import facts
from tests.year.model.planner import Planner

_PEOPLE, _GUIDES = 40, 6
_PLACES = re.compile(r"(%\(\w+\)s(::\w+)?(, )?)+|__\[POSTCOMPILE_\w+\]")


def _many(first: date, times: int) -> facts.Town:
    """The same people and guides `times` over, so that only their number differs."""
    town = facts.town(20260214, first, first.replace(day=28), _PEOPLE, _GUIDES)
    guides = [
        dataclasses.replace(one, number=one.number + _GUIDES * n)
        for n in range(times)
        for one in town.guides
    ]
    people = []
    for n in range(times):
        for one in copy.deepcopy(town.people):
            one.number, one.guide = one.number + _PEOPLE * n, one.guide + _GUIDES * n
            for thing, key in (
                *((order, "order_no") for order in one.purchases),
                *((cart, "cart_id") for cart in one.carts),
                *((change, "id") for change in one.points),
                *((coupon, "coupon_no") for coupon in one.coupons),
            ):
                setattr(thing, key, f"{getattr(thing, key)}x{n}")
            people.append(one)
    return facts.Town(guides, people)


def test_a_night_takes_as_many_statements_for_four_times_the_customers(
    bot: Bot, servers: Servers, databases: Databases
) -> None:
    first = date(2026, 2, 14)
    sent: list[Counter[str]] = []
    opened = []
    for times in (1, 4):
        name = databases.take()
        engine = share_statements(create_database_engine(named(servers, name)))
        own = dataclasses.replace(bot, engine=engine, sessions=create_sessions(engine))
        driver = Driver(own, starter.pack_text(), Planner(presets(), _many(first, times)))
        driver.begin(first)
        with counting(engine) as seen:
            driver.night(first)
        sent.append(Counter(_PLACES.sub("?", words) for words in seen.texts))
        opened.append(sum(task[1] == "open" for task in driver.found(first).values()))
        engine.dispose()
        databases.give_back(name)
    assert opened[1] == 4 * opened[0] > 0
    assert sent[1] - sent[0] == sent[0] - sent[1] == Counter()
