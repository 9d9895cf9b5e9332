"""The customer tier: made of points anybody can add up, explained as it was made."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm import brand
from bot.crm.models import ContactActivity
from bot.errors import UserError
from tagging import scores, tier
from tagging.models import ContactScore
from tests.factories import TODAY, Make
from tests.fixtures_db import counting


def score(session: Session, contact) -> ContactScore:
    session.expire_all()
    return session.get_one(ContactScore, contact.id)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def seen(session: Session, contact, **days: int) -> None:
    activity = {column: ago(number) for column, number in days.items()}
    session.add(ContactActivity(contact_id=contact.id, **activity))
    session.flush()


def test_every_component_counts_by_its_weight(session: Session) -> None:
    make = Make(session)
    make.brand(tier={"levels": {"钻卡": 80}, "average_order_full_fen": 1_000_000})
    guide = make.guide()
    contact, other = make.contact(guide), make.contact(guide)
    make.purchase(contact, on=ago(5), amount_fen=600_000)
    make.member(contact, level="钻卡")
    seen(session, contact, visited_on=100, replied_on=300)

    scores.refresh(session, TODAY)

    # The only buyer lies above no bound: recency 5, the others 1.
    row = score(session, contact)
    assert (row.recency, row.frequency, row.monetary) == (5, 1, 1)
    assert row.tier_parts == [100, 20, 20, 60, 80, 50]
    # (20*100 + 20*20 + 30*20 + 15*60 + 5*80 + 10*50) / 100
    assert (row.tier_score, row.tier) == (48, "B")
    assert score(session, other).tier_parts == [0, 0, 0, 0, 0, 0]
    assert (score(session, other).tier, score(session, other).tier_score) == ("C", 0)


def test_a_per_cent_of_the_average_order_counts_when_it_is_reached(session: Session) -> None:
    make = Make(session)
    make.brand(tier={"average_order_full_fen": 1_000_000})
    contact = make.contact(make.guide())
    make.purchase(contact, on=ago(5), amount_fen=595_000)

    scores.refresh(session, TODAY)

    assert score(session, contact).tier_parts[3] == 59


def test_the_explanation_adds_up_to_the_score(session: Session) -> None:
    make = Make(session)
    make.brand(tier={"weights": {"monetary": 60}})
    contact = make.contact(make.guide())
    make.purchase(contact, on=ago(5), amount_fen=600_000)
    scores.refresh(session, TODAY)

    found = tier.explain(session, contact.id)

    assert [part.label for part in found.parts] == list(tier.COMPONENTS.values())
    assert round(sum(part.share for part in found.parts)) == found.score
    assert found.parts[0].words == "最近消费评分 5 级，得 100 分，占 15.4% → 15.4 分"
    assert found.tier == score(session, contact).tier


def test_who_was_never_rated_is_told_so(session: Session) -> None:
    contact = Make(session).contact()
    with pytest.raises(UserError, match="还没有评级"):
        tier.explain(session, contact.id)


def test_other_weights_count_for_everybody_from_the_next_night(session: Session) -> None:
    make = Make(session)
    row = make.brand()
    contact = make.contact(make.guide())
    make.purchase(contact, on=ago(5), amount_fen=2_500_000)
    scores.refresh(session, TODAY)
    assert score(session, contact).tier_score == 45

    only_one = dict.fromkeys(tier.COMPONENTS, 0) | {"average_order": 7}
    assert tier.preview(session, only_one) == {"S": 1, "A": 0, "B": 0, "C": 0}
    assert score(session, contact).tier_score == 45

    row.settings = {"tier": {"weights": only_one}}
    session.flush()
    scores.refresh(session, TODAY + timedelta(days=1))
    assert (score(session, contact).tier_score, score(session, contact).tier) == (100, "S")


def test_an_event_gives_the_tier_the_night_would_give(session: Session) -> None:
    make = Make(session)
    guide = make.guide()
    people = [make.contact(guide) for _ in range(10)]
    for number, contact in enumerate(people):
        make.purchase(contact, on=ago(10 + number * 30), amount_fen=300_000 * (number + 1))
    scores.refresh(session, TODAY)
    night = {one.id: (score(session, one).tier, score(session, one).tier_parts) for one in people}
    assert scores.refresh(session, TODAY, [one.id for one in people]) == 0
    assert len({made[0] for made in night.values()}) > 1


def test_new_bounds_of_the_grades_move_the_tier_of_those_nothing_happened_to(
    session: Session,
) -> None:
    make = Make(session)
    guide = make.guide()
    people = [make.contact(guide) for _ in range(10)]
    for number, contact in enumerate(people):
        make.purchase(contact, on=ago(10), amount_fen=100_000 * (number + 1))
    scores.refresh(session, TODAY)
    best = score(session, people[9])
    before = best.tier_score
    assert best.monetary == 5

    # Everybody else buys, and is counted again; the tenth only slips in comparison.
    for contact in people[:9]:
        make.purchase(contact, on=ago(1), amount_fen=9_000_000)
    scores.refresh(session, TODAY, [one.id for one in people[:9]])
    scores.refresh(session, TODAY + timedelta(days=1))

    row = score(session, people[9])
    assert row.monetary == 1
    assert row.tier_score < before
    assert row.tier_parts[:3] == [20 * grade for grade in (row.recency, 1, 1)]
    session.execute(ContactScore.__table__.update().values(tier_score=None))
    scores.refresh(session, TODAY + timedelta(days=1), [people[9].id])
    assert score(session, people[9]).tier_score == row.tier_score


@pytest.mark.parametrize(
    ("days", "points"), [(0, 100), (90, 100), (91, 50), (180, 50), (181, 0), (None, 0)]
)
def test_a_sign_of_life_wears_off_on_its_day(session: Session, days, points) -> None:
    make = Make(session)
    contact = make.contact(make.guide())
    if days is not None:
        seen(session, contact, viewed_on=days)
    scores.refresh(session, TODAY)
    assert score(session, contact).tier_parts[5] == points


def test_what_wears_off_between_two_nights_is_counted_again(session: Session) -> None:
    make = Make(session)
    contact = make.contact(make.guide())
    seen(session, contact, replied_on=88)
    for ahead, points in ((0, 100), (2, 100), (3, 50), (92, 50), (93, 0)):
        scores.refresh(session, TODAY + timedelta(days=ahead))
        assert score(session, contact).tier_parts[5] == points, ahead


def test_the_score_is_the_rounded_mean_of_the_points_whatever_the_weights(session: Session) -> None:
    make = Make(session)
    row, contact = make.brand(), make.contact()
    stored = session.get_one(ContactScore, contact.id)
    weight = st.integers(0, 100)

    @settings(
        max_examples=25,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.tuples(*[weight] * 6).filter(any),
        st.tuples(*[st.integers(0, 100)] * 6),
        st.lists(st.integers(1, 100), min_size=3, max_size=3, unique=True),
    )
    def compare(weights, points, bounds):
        best, good, fair = sorted(bounds, reverse=True)
        given_ = {
            "weights": dict(zip(tier.COMPONENTS, weights, strict=True)),
            "bounds": {"S": best, "A": good, "B": fair},
        }
        limits = brand.validate({"tier": given_}).tier
        made = tier.columns([ContactScore.tier_parts[place] for place in range(1, 7)], limits)
        stored.tier_parts = list(points)
        session.flush()
        found = session.execute(
            select(made["tier_score"], made["tier"]).where(ContactScore.contact_id == contact.id)
        ).one()
        mean = sum(w * p for w, p in zip(weights, points, strict=True)) / sum(weights)
        expected = int(mean + 0.5)
        name = next((key for key, least in limits.bounds.items() if expected >= least), "C")
        assert tuple(found) == (expected, name)

    compare()
    assert row.id == 1


def test_a_preview_takes_as_many_statements_for_a_hundred_as_for_ten(engine, session) -> None:
    make = Make(session)
    counts = []
    for extra in (10, 100):
        for _ in range(extra):
            make.contact()
        scores.refresh(session, TODAY)
        with counting(engine) as seen_:
            tier.preview(session, {"recency": 5})
        counts.append(seen_.count)
    assert counts[0] == counts[1]
