"""A night sends the same statements however many customers there are (语句数)."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from sqlalchemy import func, select

from bot.bot import Bot
from bot.clock import SHANGHAI, Clock, at
from bot.crm import changes, intake
from bot.crm.models import Contact
from bot.db import create_database_engine, create_sessions, transaction
from bot.embedded import Servers
from handlers import brand_pack, timetable
from handlers.brand_pack import starter
from sop.models import Task
from tests.compiled import share_statements
from tests.databases import Databases
from tests.factories import Make
from tests.fixtures_db import counting
from tests.servers import named
from tests.year.doors import event
from tests.year.model import facts
from tests.year.model.facts import IN_CHAT, IN_TOWN, Happening

_PEOPLE, _GUIDES = 40, 6
_DAY = date(2026, 2, 14)
_PLACES = re.compile(r"(%\(\w+\)s(::\w+)?(, )?)+|__\[POSTCOMPILE_\w+\]")
_OWN = ("order_no", "cart_id", "coupon_no", "id")


class _Standing(Clock):
    """A clock that stands at the hour of the night."""

    def now(self) -> datetime:
        return at(_DAY, 2, 10)


def _many(times: int) -> list[Happening]:
    """The same lives `times` over, so that only their number differs."""
    days = [_DAY + timedelta(days=number) for number in range(14)]
    story = facts.town(20260214, days, _PEOPLE, _GUIDES).story
    past = sorted((one for one in story if one.told_at.date() < _DAY), key=lambda one: one.at)
    return [_twin(one, n) for n in range(times) for one in past]


def _twin(one: Happening, n: int) -> Happening:
    body = {key: f"{value}x{n}" if key in _OWN else value for key, value in one.body.items()}
    if "guide" in body:
        body["guide"] += _GUIDES * n
    return dataclasses.replace(one, number=one.number + _PEOPLE * n, body=body)


def _settle_there(bot: Bot, story: Iterable[Happening], times: int) -> None:
    """The presets, and people to whom all of this has happened."""
    with transaction(bot.sessions) as session:
        make = Make(session)
        make.brand()
        guides = [make.guide(make.store()) for _ in range(_GUIDES * times)]
        book = [
            make.contact(external_userid=facts.external_userid(number)).id
            for number in range(_PEOPLE * times)
        ]
        for one in story:
            if one.kind == "adds":
                contact = session.get_one(Contact, book[one.number])
                moment = one.at.replace(tzinfo=SHANGHAI)
                guide = guides[one.body["guide"]]
                make.follow(guide, contact, followed_on=moment.date(), followed_at=moment)
        changes.mark(session, book)
    with transaction(bot.sessions) as session:
        brand_pack.load(session, starter.pack_text(), by="test", now=at(date(2025, 1, 1), 12))
    told = [event(one) for one in story if one.kind not in IN_TOWN | IN_CHAT]
    for start in range(0, len(told), 800):
        with transaction(bot.sessions) as session:
            batch, key = told[start : start + 800], bot.settings.secret_key
            result = intake.receive(session, batch, now=bot.clock.now(), secret_key=key)
        assert result.rejected == []


def test_a_night_takes_as_many_statements_for_four_times_the_customers(
    bot: Bot, servers: Servers, databases: Databases
) -> None:
    sent: list[Counter[str]] = []
    opened = []
    for times in (1, 4):
        name = databases.take()
        engine = share_statements(create_database_engine(named(servers, name)))
        sessions = create_sessions(engine)
        own = dataclasses.replace(bot, engine=engine, sessions=sessions, clock=_Standing())
        _settle_there(own, _many(times), times)
        with counting(engine) as seen:
            timetable.nightly(own, _DAY)
        sent.append(Counter(_PLACES.sub("?", words) for words in seen.texts))
        with sessions() as session:
            is_open = select(func.count()).where(Task.state == "open")
            opened.append(session.scalar(is_open) or 0)
        engine.dispose()
        databases.give_back(name)
    assert opened[1] == 4 * opened[0] > 0
    assert sent[1] - sent[0] == sent[0] - sent[1] == Counter()
