"""What a guide tells of a customer changes her plans at once, and not only with the night."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from bot.bot import Bot
from bot.clock import at, business_day
from bot.crm.models import Guide, Visit
from bot.db import transaction
from handlers.refresh import refresh_changed
from sop.models import Appointment, Enrollment
from tests.handlers.test_chat_of_leads import a_contact, ask
from tests.sop.plans import publish, spec
from tests.talk import Talk, rows, talk

__all__ = ["talk"]


def _lane(bot: Bot) -> None:
    """The lane of changed customers works until nobody waits any more."""
    while refresh_changed(bot):
        pass


def _published(talk: Talk, **trigger: object) -> int:
    """An SOP with this trigger, and 王女士, of whom nothing waits to be looked at."""
    with talk.sessions() as session:
        publish(session, spec("跟进", trigger))
    contact_id = a_contact(talk, "王女士")
    _lane(talk.bot)
    assert rows(talk.sessions, select(Enrollment.id)) == []
    return contact_id


def _states(talk: Talk) -> list[str]:
    return rows(talk.sessions, select(Enrollment.state).order_by(Enrollment.id))


def test_an_intention_written_by_a_guide_starts_the_plan_for_leads_at_once(talk: Talk) -> None:
    _published(talk, kind="lead_raised")
    ask(talk, "意向 王女士 想定制婚戒")
    _lane(talk.bot)
    assert _states(talk) == ["active"]


def test_a_strong_wish_after_a_visit_starts_the_plan_for_leads_at_once(talk: Talk) -> None:
    _published(talk, kind="lead_raised", behavior="intended")
    ask(talk, "到店 王女士")
    _lane(talk.bot)
    assert _states(talk) == []
    ask(talk, "到店 王女士 意向强")
    _lane(talk.bot)
    assert _states(talk) == ["active"]


def test_a_lead_that_came_to_nothing_leaves_nothing_to_do(talk: Talk) -> None:
    _published(talk, kind="lead_raised")
    ask(talk, "意向 王女士 想定制婚戒")
    _lane(talk.bot)
    ask(talk, "线索 王女士 没成 在别处买了")
    _lane(talk.bot)
    assert _states(talk) == ["withdrawn"]


def test_who_has_arrived_is_not_reminded_of_her_time_even_if_the_till_was_first(
    talk: Talk,
) -> None:
    contact_id = _published(talk, kind="appointment")
    now = talk.clock.now()
    with transaction(talk.sessions) as session:
        store_id = session.get_one(Guide, talk.guide_id).store_id
        session.add(
            Appointment(
                contact_id=contact_id,
                guide_id=talk.guide_id,
                store_id=store_id,
                state="booked",
                slot_at=at(business_day(now), 15),
                slot_on=business_day(now),
            )
        )
    ask(talk, "退订 王女士")
    _lane(talk.bot)
    assert _states(talk) == ["active"]
    with transaction(talk.sessions) as session:
        session.add(
            Visit(
                contact_id=contact_id,
                store_id=store_id,
                store_code="SH001",
                kind="到店",
                visited_at=now - timedelta(minutes=1),
                visited_on=business_day(now),
            )
        )
    ask(talk, "到店 王女士")
    _lane(talk.bot)
    assert _states(talk) == ["withdrawn"]
