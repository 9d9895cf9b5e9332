"""Conditions as SQL against a plain-Python reading of the same facts, on random small worlds."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm.models import Contact
from bot.db import Base
from tagging import conditions
from tagging.fields import plans
from tests.tagging.worlds import people, reading, town

DAYS = st.dates(date(2024, 1, 1), date(2029, 12, 31)) | st.sampled_from(
    [date(2027, 2, 28), date(2028, 2, 28), date(2028, 2, 29), date(2027, 3, 1), date(2026, 12, 31)]
)


# A world does not become simpler in any useful time.
WORLDS = {
    "deadline": None,
    "phases": (Phase.explicit, Phase.reuse, Phase.generate),
    "suppress_health_check": list(HealthCheck),
}


def test_sql_says_what_a_plain_reading_says_under_any_nesting(session: Session) -> None:
    here = town.Town(session)

    @settings(max_examples=40, **WORLDS)
    @given(
        st.lists(town.persons(), min_size=4, max_size=8),
        st.lists(reading.conditions(), min_size=4, max_size=4),
        DAYS,
    )
    def compare(world, wanted, day):
        try:
            ids = here.settle(session, world, day)
            for condition in wanted:
                found = set(
                    session.scalars(select(Contact.id).where(conditions.clause(condition, day)))
                )
                plain = {
                    id_
                    for id_, one in zip(ids, world, strict=True)
                    if reading.matches(here, one, condition, day)
                }
                assert found == plain, condition
        finally:
            session.rollback()

    compare()


@pytest.mark.parametrize("noun", town.NOUNS, ids=lambda noun: noun.__name__.rpartition(".")[2])
def test_each_field_says_what_a_plain_reading_says(session: Session, noun) -> None:
    here = town.Town(session)

    @settings(max_examples=25, **WORLDS)
    @given(
        st.lists(town.persons(), min_size=5, max_size=10),
        st.lists(noun.leaves(), min_size=12, max_size=12),
        DAYS,
    )
    def compare(world, leaves, day):
        try:
            ids = here.settle(session, world, day)
            for leaf in leaves:
                found = session.scalars(select(Contact.id).where(conditions.clause(leaf, day)))
                plain = [
                    id_
                    for id_, one in zip(ids, world, strict=True)
                    if reading.matches(here, one, leaf, day)
                ]
                assert sorted(found) == plain, leaf
        finally:
            session.rollback()

    compare()


def test_every_field_has_a_plain_reading() -> None:
    assert set(reading.READ) == set(conditions.FIELDS)


def test_the_tables_of_the_floor_above_are_named_rightly() -> None:
    for named in (plans.TOUCHES, plans.ENROLLMENTS, plans.SOPS):
        real = Base.metadata.tables[named.name]
        for column in named.c:
            assert isinstance(real.c[column.name].type, type(column.type)), column


def test_readings_hold_together_exactly_when_the_condition_holds(session: Session) -> None:
    here = town.Town(session)

    @settings(max_examples=25, **WORLDS)
    @given(town.persons(), reading.conditions(), DAYS)
    def compare(one, condition, day):
        try:
            (id_,) = here.settle(session, [one], day)
            parts = conditions.readings(session, condition, id_, day)
            assert parts
            assert all(part.label and part.wanted and part.actual for part in parts)
            holds = reading.matches(here, one, condition, day)
            assert all(part.holds for part in parts) == holds
        finally:
            session.rollback()

    compare()


@settings(max_examples=120, deadline=None)
@given(
    st.dates(date(2020, 1, 1), date(2060, 1, 1)),
    st.integers(1, 12),
    st.integers(1, 30),
    st.booleans(),
)
@example(date(2028, 2, 29), 2, 29, False)
@example(date(2027, 2, 28), 2, 29, False)
@example(date(2025, 7, 25), 6, 1, True)  # the first day of a leap sixth month
def test_the_days_to_a_birthday_are_counted_right_in_every_year(day, month, number, is_lunar):
    from_table = conditions.members.lunar_days if is_lunar else conditions.members.solar_days
    if not is_lunar:
        number = min(number, 29 if month == 2 else 30)
    assert from_table(day)[(month, number)] == people.days_to((month, number, is_lunar), day)


def test_every_solar_day_of_a_year_has_one_number_of_days(session: Session) -> None:
    for day in (date(2027, 3, 1), date(2028, 2, 29), date(2026, 11, 21)):
        table = conditions.members.solar_days(day)
        assert len(table) == 366
        assert max(table.values()) <= 365
        assert all(
            (day + timedelta(days=ahead)).timetuple()[1:3] in ((pair), (2, 28))
            for pair, ahead in table.items()
        )
