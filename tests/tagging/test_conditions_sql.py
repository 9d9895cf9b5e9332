"""Conditions as SQL against a plain-Python reading of the same facts, on random small worlds."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm.models import Contact
from tagging import conditions
from tests.tagging import people

DAYS = st.dates(date(2024, 1, 1), date(2029, 12, 31)) | st.sampled_from(
    [date(2027, 2, 28), date(2028, 2, 28), date(2028, 2, 29), date(2027, 3, 1), date(2026, 12, 31)]
)


def test_sql_says_what_a_plain_reading_says_under_any_nesting(session: Session) -> None:
    town = people.Town(session)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(people.persons(), min_size=4, max_size=8),
        st.lists(people.conditions(), min_size=4, max_size=4),
        DAYS,
    )
    def compare(world, wanted, day):
        try:
            ids = town.settle(session, world, day)
            for condition in wanted:
                found = set(
                    session.scalars(select(Contact.id).where(conditions.clause(condition, day)))
                )
                plain = {
                    id_
                    for id_, one in zip(ids, world, strict=True)
                    if people.matches(town, one, condition, day)
                }
                assert found == plain, condition
        finally:
            session.rollback()

    compare()


def test_readings_hold_together_exactly_when_the_condition_holds(session: Session) -> None:
    town = people.Town(session)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(people.persons(), people.conditions(), DAYS)
    def compare(one, condition, day):
        try:
            (id_,) = town.settle(session, [one], day)
            parts = conditions.readings(session, condition, id_, day)
            assert parts
            assert all(part.label and part.wanted and part.actual for part in parts)
            holds = people.matches(town, one, condition, day)
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
