"""Yearly days, festivals of past and coming years, the brand's own days, workdays, store hours."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from sqlalchemy import literal, select

from bot.crm import brand, calendar, hours, prices, workdays, yearly
from bot.crm.models import CalendarDay, FestivalDay, FestivalRule
from bot.errors import UserError

TODAY = date(2026, 11, 21)


def test_a_day_of_the_year_comes_today_exactly_when_there_are_no_days_to_it() -> None:
    """The two directions agree, on every day of years with and without leap days and months."""
    years = (1990, 1995, 2000, 2020, 2025, 2027, 2028, 2033, 2034, 2040)
    for day in (date(year, 1, 1) + timedelta(days=n) for year in years for n in range(365)):
        kept = {(one.month, one.day, one.is_lunar) for one in yearly.kept_between(day, day)}
        counted = {(*pair, False) for pair, ahead in yearly.solar_days(day).items() if ahead == 0}
        counted |= {(*pair, True) for pair, ahead in yearly.lunar_days(day).items() if ahead == 0}
        assert kept == counted, day


def test_a_day_in_a_leap_month_is_kept_once_in_the_ordinary_month() -> None:
    # 2025 has two sixth months; the second one begins on 25 July.
    days = [
        one.on
        for one in yearly.kept_between(date(2025, 1, 29), date(2026, 2, 16))
        if one.is_lunar and (one.month, one.day) == (6, 15)
    ]
    assert days == [date(2025, 7, 9)]


def test_festivals_of_past_years_are_there_and_what_was_held_stays(session) -> None:
    session.add(FestivalDay(name="七夕", held_on=date(2019, 8, 7)))
    calendar.extend(session, TODAY)
    held = session.scalars(
        select(FestivalDay.held_on).where(FestivalDay.name == "七夕").order_by(FestivalDay.held_on)
    ).all()
    assert [one.year for one in held] == [2019, *range(2021, 2030)]
    assert held[1] == date(2021, 8, 14)


def rule(session, **given) -> None:
    session.add(FestivalRule(**given))
    session.flush()
    calendar.extend(session, TODAY)


def days_of(session, name: str) -> list[date]:
    wanted = select(FestivalDay.held_on).where(
        FestivalDay.name == name, FestivalDay.held_on > TODAY
    )
    return list(session.scalars(wanted.order_by(FestivalDay.held_on)))


def test_the_brands_own_days_come_every_year_by_either_calendar_or_once(session) -> None:
    rule(session, name="品牌日", month=8, day=8)
    rule(session, name="家宴", month=12, day=30, is_lunar=True)
    rule(session, name="会员日", held_on=date(2027, 6, 18))
    rule(session, name="闰日", month=2, day=29)
    assert days_of(session, "品牌日") == [date(year, 8, 8) for year in (2027, 2028, 2029)]
    # The last day of the lunar year, be its last month long or short.
    eves = {one.held_on for one in session.scalars(select(FestivalDay).filter_by(name="除夕"))}
    assert {day for day in eves if day > TODAY} == set(days_of(session, "家宴")[:3])
    assert days_of(session, "会员日") == [date(2027, 6, 18)]
    assert days_of(session, "闰日") == [date(2027, 2, 28), date(2028, 2, 29), date(2029, 2, 28)]


def test_a_changed_rule_takes_its_coming_days_back_and_edited_days_stay(session) -> None:
    rule(session, name="会员日", month=12, day=6)
    session.add(FestivalDay(name="会员日", held_on=date(2027, 12, 9), is_edited=True))
    found = session.scalars(select(FestivalRule)).one()
    found.month, found.day = 12, 18
    session.flush()
    calendar.extend(session, TODAY)
    expected = [date(2026, 12, 18), date(2027, 12, 9), date(2028, 12, 18), date(2029, 12, 18)]
    assert days_of(session, "会员日") == expected
    # Those that have been were held.
    past = select(FestivalDay).where(FestivalDay.held_on == date(2025, 12, 6))
    assert session.scalars(past).all()
    session.delete(found)
    session.flush()
    calendar.extend(session, TODAY)
    assert days_of(session, "会员日") == [date(2027, 12, 9)]


def test_a_rule_of_a_usual_festivals_name_takes_its_place(session) -> None:
    calendar.extend(session, TODAY)
    rule(session, name="双十二", month=12, day=10)
    assert days_of(session, "双十二") == [date(year, 12, 10) for year in range(2026, 2030)]


def test_published_days_make_a_sunday_a_workday_and_a_monday_a_holiday(session) -> None:
    workdays.extend(session, TODAY)
    # 春节 2026: 15 to 23 February off, worked on Saturday 14 and Saturday 28.
    assert not workdays.is_workday(session, date(2026, 2, 16))
    assert workdays.is_workday(session, date(2026, 2, 14))
    assert workdays.is_workday(session, date(2026, 2, 28))
    assert not workdays.is_workday(session, date(2026, 11, 21))
    assert workdays.is_workday(session, date(2026, 11, 23))
    assert workdays.extend(session, TODAY) == 0


def test_the_clause_says_what_the_function_says(session) -> None:
    workdays.extend(session, TODAY)
    session.add(CalendarDay(day=date(2027, 2, 10), is_workday=False, name="春节", is_edited=True))
    session.flush()
    for offset in range(500):
        day = date(2026, 1, 1) + timedelta(days=offset)
        said = session.scalar(select(workdays.workday_clause(literal(day))))
        assert said == workdays.is_workday(session, day), day


def test_a_year_nobody_has_published_goes_by_weekdays_and_is_asked_for_from_november(
    session,
) -> None:
    workdays.extend(session, TODAY)
    assert workdays.is_workday(session, date(2027, 2, 8))
    assert workdays.unpublished(session, date(2026, 10, 31)) is None
    assert workdays.unpublished(session, date(2026, 11, 1)) == 2027
    session.add(CalendarDay(day=date(2027, 2, 8), is_workday=False, is_edited=True))
    session.flush()
    assert workdays.unpublished(session, date(2026, 11, 1)) is None
    assert not workdays.is_workday(session, date(2027, 2, 8))


def test_what_hq_wrote_about_a_day_is_not_written_over(session) -> None:
    session.add(CalendarDay(day=date(2026, 2, 16), is_workday=True, is_edited=True))
    session.flush()
    workdays.extend(session, TODAY)
    assert workdays.is_workday(session, date(2026, 2, 16))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("10:00-22:00", (time(10), time(22))),
        ("周一至周日 9:30~21:30", (time(9, 30), time(21, 30))),
        ("10点-22点半", (time(10), time(22, 30))),
        ("周一至周五 10:00–21:00，周末 9:00–22:00", (time(10), time(21))),
        ("0:00-24:00", (time(0), time(23, 59))),
        ("１０：００－２２：００", (time(10), time(22))),
        ("18:00-02:00", None),
        ("请电话咨询", None),
        ("", None),
        (None, None),
    ],
)
def test_opening_hours_are_read_as_people_write_them(text, read) -> None:
    assert hours.parse(text) == read


def test_a_price_is_of_its_day_only_and_the_newest_word_holds(session) -> None:
    now = datetime(2026, 11, 21, 1, tzinfo=UTC)
    prices.write(session, "金价", TODAY, 62_800, now)
    prices.write(session, "金价", TODAY, 63_000, now + timedelta(hours=1))
    prices.write(session, "金价", TODAY, 61_000, now)
    assert prices.of_day(session, "金价", TODAY) == 63_000
    assert prices.of_day(session, "金价", TODAY + timedelta(days=1)) is None
    with pytest.raises(UserError, match="价格"):
        prices.write(session, "金价", TODAY, 0, now)
    with pytest.raises(UserError, match="名称"):
        prices.write(session, " ", TODAY, 1, now)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"tier": {"weights": {"recency": 101}}}, "tier.weights.recency"),
        ({"tier": {"weights": {"size": 1}}}, "tier.weights.size"),
        (
            {
                "tier": {
                    "weights": dict.fromkeys(brand.TierSettings().weights, 0),
                }
            },
            "tier.weights",
        ),
        ({"tier": {"bounds": {"A": 80}}}, "tier.bounds"),
        ({"tier": {"bounds": {"D": 80}}}, "tier.bounds.D"),
        ({"tier": {"levels": {"钻卡": 101}}}, "tier.levels.钻卡"),
        ({"tier": {"levels": {3: 10}}}, "tier.levels"),
        ({"tier": {"levels": ["钻卡"]}}, "tier.levels"),
        ({"churn": {"gap_percent": 50}}, "churn.gap_percent"),
        ({"churn": 3}, "churn"),
        ({"leads": {"scores": {"bought": 5}}}, "leads.scores.bought"),
        ({"leads": {"intents": {"定制": "定制"}}}, "leads.intents.定制"),
        ({"leads": {"hot": True}}, "leads.hot"),
        ({"festival_window_days": -1}, "festival_window_days"),
        ({"survey_url": "javascript:alert(1)"}, "survey_url"),
    ],
)
def test_a_wrong_setting_of_value_churn_and_leads_is_named(given, named) -> None:
    with pytest.raises(UserError, match=named):
        brand.validate(given)


def test_what_is_written_of_a_group_holds_and_the_rest_of_it_is_default() -> None:
    found = brand.validate(
        {
            "tier": {"weights": {"monetary": 50}, "levels": {"钻卡": 100}},
            "leads": {"intents": {"定制": ["刻字"]}, "scores": {"cart": 1, "intended": 80}},
            "survey_url": "https://example.com/s",
        }
    )
    assert found.tier.weights["monetary"] == 50
    assert found.tier.weights["recency"] == 20
    assert found.tier.bounds == {"S": 80, "A": 60, "B": 35}
    assert found.leads.intents["定制"] == ("刻字",)
    assert "求婚" in found.leads.intents["结婚选款"]
    assert (found.leads.scores["cart"], found.leads.scores["viewed"]) == (1, 10)
    assert (found.leads.scores["intended"], brand.LeadSettings().scores["intended"]) == (80, 40)
    assert found.survey_url == "https://example.com/s"
