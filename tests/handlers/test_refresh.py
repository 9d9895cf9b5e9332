"""A changed customer is refreshed soon, once, and never forgotten."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.engine import Engine

from bot.bot import Bot
from bot.clock import business_day
from bot.crm import changes
from bot.crm.models import ChangedContact
from handlers.refresh import refresh_changed
from handlers.worker import settle
from tagging.models import ContactScore
from tests.factories import Make
from tests.fixtures_db import counting


@pytest.fixture
def buyers(bot: Bot) -> Callable[[int], list[int]]:
    """Customers who bought yesterday and are marked as changed."""

    def buy(count: int) -> list[int]:
        with bot.sessions.begin() as session:
            make = Make(session)
            guide = make.guide()
            yesterday = business_day(bot.clock.now()) - timedelta(days=1)
            ids = []
            for _ in range(count):
                contact = make.contact()
                make.follow(guide, contact)
                make.purchase(contact, on=yesterday, amount_fen=5_000_00)
                ids.append(contact.id)
            changes.mark(session, ids)
        return ids

    return buy


def waiting(bot: Bot) -> int:
    with bot.sessions() as session:
        return session.scalar(select(func.count()).select_from(ChangedContact)) or 0


def test_a_purchase_is_in_the_scores_after_one_refresh(bot, buyers):
    (contact_id,) = buyers(1)

    assert refresh_changed(bot) == 1
    with bot.sessions() as session:
        score = session.get(ContactScore, contact_id)
    assert (score.purchase_count, score.total_spend_fen) == (1, 5_000_00)
    assert waiting(bot) == 0
    assert refresh_changed(bot) == 0


def test_more_customers_do_not_cost_more_statements(bot, buyers, engine: Engine):
    counts = []
    for many in (2, 40):
        buyers(many)
        with counting(engine) as seen:
            assert refresh_changed(bot) == many
        counts.append(seen.count)

    assert counts[0] == counts[1]


def test_a_refresh_that_fails_gives_everybody_back(bot, buyers):
    buyers(3)
    with bot.sessions.begin() as session:
        session.execute(text("ALTER TABLE contact_score RENAME TO contact_score_away"))

    with pytest.raises(Exception, match="contact_score"):
        refresh_changed(bot)
    assert waiting(bot) == 3


def test_the_events_lane_refreshes_by_itself(bot, buyers):
    buyers(2)
    settle(bot)

    assert waiting(bot) == 0
