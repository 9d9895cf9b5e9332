"""A night counts whom it has to, and comes out as if it had counted everybody."""

from __future__ import annotations

import random
from datetime import date, timedelta

from sqlalchemy import delete, event, select
from sqlalchemy.orm import Session

from bot.crm import changes
from bot.crm.models import Purchase
from tagging import recount, scores
from tagging.models import ContactScore, ScoreBasis
from tests.factories import TODAY, Make
from tests.fixtures_db import counting

# Short enough that a few nights pass all of them.
LIMITS = {"active_days": 3, "dormant_days": 5, "churned_days": 8, "loyal_purchases": 2}


def rows(session: Session) -> list[tuple[object, ...]]:
    """Every score row, whole."""
    table = ContactScore.__table__
    return [tuple(row) for row in session.execute(select(table).order_by(table.c.contact_id))]


def everybody(session: Session, day: date) -> int:
    """Count everybody anew; returns how many rows that changed."""
    session.execute(delete(ScoreBasis))
    return scores.refresh(session, day)


def buy(session: Session, make: Make, contact, day: date, fen: int) -> None:
    """What the intake does: the fact and its mark in one transaction."""
    make.purchase(contact, on=day, amount_fen=fen)
    changes.mark(session, [contact.id])


def test_nights_that_count_a_few_come_out_as_if_they_had_counted_everybody(
    session: Session,
) -> None:
    make, chance = Make(session), random.Random(7)
    make.brand(lifecycle=LIMITS)
    guide = make.guide()
    people = [
        make.contact(guide, followed_on=TODAY - timedelta(days=chance.randint(0, 9)))
        for _ in range(60)
    ] + [make.contact() for _ in range(10)]
    for contact in people[::2]:
        make.purchase(
            contact,
            on=TODAY - timedelta(days=chance.randint(0, 9)),
            amount_fen=chance.randint(1, 9) * 100_000,
        )
    scores.refresh(session, TODAY)
    day = TODAY
    # Two of the nights were missed.
    for passed in (1, 1, 3, 1, 2, 1, 1):
        for contact in chance.sample(people, 4):
            buy(session, make, contact, day + timedelta(days=1), chance.randint(1, 9) * 100_000)
        day += timedelta(days=passed)
        assert scores.refresh(session, day) > 0
        before = rows(session)
        assert everybody(session, day) == 0
        assert rows(session) == before


def test_who_was_not_marked_is_found_within_a_month(session: Session) -> None:
    make = Make(session)
    contact = make.contact(make.guide())
    scores.refresh(session, TODAY)
    make.purchase(contact, on=TODAY)
    nights = [scores.refresh(session, TODAY + timedelta(days=n)) for n in range(1, 31)]
    assert sum(count > 0 for count in nights) == 1
    session.expire_all()
    assert session.get_one(ContactScore, contact.id).purchase_count == 1


def test_other_limits_of_the_brand_count_everybody_anew(session: Session) -> None:
    make = Make(session)
    brand = make.brand(lifecycle=LIMITS)
    contact = make.contact(make.guide(), followed_on=TODAY - timedelta(days=4))
    scores.refresh(session, TODAY)
    assert session.get_one(ContactScore, contact.id).stage == "dormant"
    brand.settings = {"lifecycle": {**LIMITS, "active_days": 4}}
    session.flush()
    assert scores.refresh(session, TODAY) == 1
    session.expire_all()
    assert session.get_one(ContactScore, contact.id).stage == "new"


def test_a_night_for_an_earlier_day_counts_everybody_anew(session: Session) -> None:
    make = Make(session)
    make.brand(lifecycle=LIMITS)
    contact = make.contact(make.guide(), followed_on=TODAY - timedelta(days=3))
    scores.refresh(session, TODAY + timedelta(days=1))
    assert session.get_one(ContactScore, contact.id).stage == "dormant"
    assert scores.refresh(session, TODAY) == 1
    session.expire_all()
    assert session.get_one(ContactScore, contact.id).stage == "new"


def test_what_is_counted_from_newer_facts_meanwhile_is_not_overwritten(
    engine, sessions, session: Session
) -> None:
    make = Make(session)
    contact = make.contact(make.guide())
    make.purchase(contact, on=TODAY)
    session.commit()
    done: list[int] = []

    def meanwhile(conn, cursor, statement, parameters, context, executemany) -> None:
        """Between the night's counting and its writing she buys again and is refreshed."""
        if statement.startswith("UPDATE contact_score") and not done:
            done.append(1)
            with sessions() as other, other.begin():
                Make(other).purchase(contact, on=TODAY)
                scores.refresh(other, TODAY, [contact.id])

    event.listen(engine, "before_cursor_execute", meanwhile)
    try:
        scores.refresh(session, TODAY)
    finally:
        event.remove(engine, "before_cursor_execute", meanwhile)
    session.commit()
    assert done
    assert session.get_one(ContactScore, contact.id, populate_existing=True).purchase_count == 2
    assert session.query(Purchase).count() == 2


def test_a_night_takes_as_many_statements_for_a_thousand_contacts_as_for_ten(
    engine, session: Session
) -> None:
    make = Make(session)
    guide, counts = make.guide(), []
    scores.refresh(session, TODAY)
    for extra in (10, 1000):
        contacts = [make.contact(guide) for _ in range(extra)]
        changes.mark(session, [contact.id for contact in contacts])
        make.purchase(contacts[0])
        with counting(engine) as seen:
            scores.refresh(session, TODAY + timedelta(days=1))
        counts.append(seen.count)
    assert counts[0] == counts[1]


def test_only_the_marked_and_those_whose_day_has_come_are_counted(session: Session) -> None:
    make = Make(session)
    brand = make.brand(lifecycle=LIMITS)
    guide = make.guide()
    scores.refresh(session, TODAY)
    fresh = make.contact(guide, followed_on=TODAY)
    passing = make.contact(guide, followed_on=TODAY - timedelta(days=3))
    marked = make.contact(guide, followed_on=TODAY)
    changes.mark(session, [marked.id])
    day = TODAY + timedelta(days=1)
    recount.gather(session, day, scores.brand.settings(session))
    listed = set(session.scalars(select(recount.TO_COUNT.c.contact_id)))
    of_the_slice = {
        id_ for id_ in (fresh.id, passing.id, marked.id) if id_ % 30 == day.toordinal() % 30
    }
    assert listed == {passing.id, marked.id} | of_the_slice
    assert brand.id == 1
