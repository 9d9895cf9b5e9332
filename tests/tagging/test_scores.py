"""Totals, RFM and lifecycle stages."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy import Text, cast, literal_column, select
from sqlalchemy.orm import Session

from bot.crm.models import FollowRelation, Purchase
from tagging import scores
from tagging.models import ContactScore, RfmThreshold
from tests.factories import TODAY, Make
from tests.fixtures_db import counting


def score(session: Session, contact) -> ContactScore:
    session.expire_all()
    return session.get_one(ContactScore, contact.id)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def test_totals_are_net_of_refunds_and_an_order_given_back_whole_does_not_count(
    session: Session,
) -> None:
    make = Make(session)
    contact = make.contact(make.guide())
    make.purchase(contact, on=ago(300), amount_fen=900_000, category="项链")
    make.purchase(contact, on=ago(100), amount_fen=500_000, refunded_fen=200_000, category="对戒")
    make.purchase(contact, on=ago(5), amount_fen=700_000, refunded_fen=700_000, category="手链")
    make.purchase(contact, on=ago(4), amount_fen=0, category="赠品")

    scores.refresh(session, TODAY)

    row = score(session, contact)
    assert (row.purchase_count, row.total_spend_fen, row.average_order_fen) == (
        2,
        1_200_000,
        600_000,
    )
    assert (row.first_purchased_on, row.last_purchased_on) == (ago(300), ago(100))
    assert (row.bought_categories, row.favourite_category) == (["对戒", "项链"], "项链")


def test_a_refund_of_everything_takes_the_whole_story_back(session: Session) -> None:
    make = Make(session)
    contact = make.contact(make.guide())
    purchase = make.purchase(contact)
    scores.refresh(session, TODAY)
    assert score(session, contact).stage == "active"

    session.get_one(Purchase, purchase.id).refunded_fen = purchase.amount_fen
    session.flush()
    scores.refresh(session, TODAY, [contact.id])

    row = score(session, contact)
    assert (row.purchase_count, row.total_spend_fen, row.bought_categories) == (0, 0, [])
    assert (row.last_purchased_on, row.favourite_category, row.recency) == (None, None, None)
    assert row.stage == "new"


def test_a_second_refresh_writes_nothing(session: Session) -> None:
    make = Make(session)
    guide = make.guide()
    for number in range(6):
        contact = make.contact(guide)
        make.purchase(contact, on=ago(number * 90), amount_fen=100_000 * (number + 1))
        make.purchase(contact, on=ago(number * 90 + 1), amount_fen=33_333 * (number + 1))
    assert scores.refresh(session, TODAY) > 0
    # Every UPDATE, even of equal values, moves a row to another place.
    versions = select(ContactScore.contact_id, cast(literal_column("ctid"), Text))
    before = session.execute(versions).all()
    assert scores.refresh(session, TODAY) == 0
    after = session.execute(versions).all()
    assert sorted(before) == sorted(after)


def test_every_contact_gets_a_row_and_only_the_named_ones_after_an_event(
    session: Session,
) -> None:
    make = Make(session)
    one, other = make.contact(), make.contact()
    for contact in (one, other):
        session.delete(session.get_one(ContactScore, contact.id))
        make.purchase(contact)
    session.flush()
    scores.refresh(session, TODAY, [one.id])
    assert score(session, one).purchase_count == 1
    assert session.get(ContactScore, other.id) is None
    assert scores.refresh(session, TODAY, []) == 0
    scores.refresh(session, TODAY)
    assert score(session, other).purchase_count == 1


def test_an_event_gives_the_scores_the_night_would_give(session: Session) -> None:
    make = Make(session)
    guide = make.guide()
    people = [make.contact(guide) for _ in range(10)]
    for number, contact in enumerate(people):
        make.purchase(contact, on=ago(10 + number * 30), amount_fen=100_000 * (number + 1))
    make.purchase(people[0], on=ago(400))
    scores.refresh(session, TODAY)

    night = {one.id: _grades(score(session, one)) for one in people}
    for contact in people:
        scores.refresh(session, TODAY, [contact.id])
    assert {one.id: _grades(score(session, one)) for one in people} == night

    assert night[people[0].id] == (5, 5, 5)
    assert night[people[9].id][0] == 1
    # Nine of ten bought once: equal counts, equal scores.
    assert {night[one.id][1] for one in people[1:]} == {1}
    assert session.query(RfmThreshold).count() == 12


def test_without_a_night_there_are_no_grades(session: Session) -> None:
    make = Make(session)
    contact = make.contact()
    make.purchase(contact)
    scores.refresh(session, TODAY, [contact.id])
    assert _grades(score(session, contact)) == (None, None, None)
    scores.refresh(session, TODAY)
    assert _grades(score(session, contact)) == (5, 1, 1)


def _grades(row: ContactScore) -> tuple[int | None, int | None, int | None]:
    return row.recency, row.frequency, row.monetary


@pytest.mark.parametrize(
    ("followed", "bought", "stage", "since"),
    [
        (0, [], "new", 0),
        (180, [], "new", 180),
        (181, [], "dormant", 0),
        (730, [], "dormant", 549),
        (731, [], "churned", 0),
        (800, [], "churned", 69),
        (None, [], "new", None),
        (900, [0], "active", 0),
        (900, [365], "active", 365),
        (900, [366], "dormant", 0),
        (900, [400], "dormant", 34),
        (900, [730], "dormant", 364),
        (900, [731], "churned", 0),
        (900, [10, 100], "active", 10),
        (900, [10, 100, 800], "loyal", 10),
        (900, [365, 366, 367], "loyal", 365),
        (900, [366, 367, 368], "dormant", 0),
        (5, [366], "dormant", 0),
        (None, [10], "active", 10),
    ],
)
def test_each_stage_begins_and_ends_on_its_day(session, followed, bought, stage, since) -> None:
    make = Make(session)
    if followed is None:
        contact = make.contact()
    else:
        contact = make.contact(make.guide(), followed_on=ago(followed))
    for days in bought:
        make.purchase(contact, on=ago(days))
    scores.refresh(session, TODAY)
    row = score(session, contact)
    assert row.stage == stage
    if since is not None:
        assert row.stage_since_on == ago(since)


def test_who_is_left_by_everybody_is_churned_and_comes_back_with_a_new_follow(
    session: Session,
) -> None:
    make = Make(session)
    guide = make.guide()
    contact = make.contact(guide)
    make.purchase(contact, on=ago(20))
    scores.refresh(session, TODAY)
    relation = contact_relation(session, contact)
    relation.state, relation.ended_on = "ended", ago(2)
    contact.guide_id = contact.followed_on = None
    session.flush()

    assert scores.refresh(session, TODAY, [contact.id]) == 1
    row = score(session, contact)
    assert (row.stage, row.stage_since_on) == ("churned", ago(2))

    relation.state, relation.ended_on = "active", None
    contact.guide_id, contact.followed_on = guide.id, TODAY
    session.flush()
    scores.refresh(session, TODAY, [contact.id])
    assert score(session, contact).stage == "active"


def contact_relation(session: Session, contact):
    return session.scalars(
        select(FollowRelation).where(FollowRelation.contact_id == contact.id)
    ).one()


def test_the_brands_own_limits_decide(session: Session) -> None:
    make = Make(session)
    make.brand(
        lifecycle={
            "active_days": 10,
            "dormant_days": 20,
            "churned_days": 40,
            "loyal_purchases": 2,
        }
    )
    guide = make.guide()
    fresh, cold = make.contact(guide, followed_on=ago(10)), make.contact(guide)
    make.purchase(cold, on=ago(21))
    scores.refresh(session, TODAY)
    assert score(session, fresh).stage == "new"
    assert score(session, cold).stage == "dormant"


def test_a_refresh_takes_as_many_statements_for_a_thousand_contacts_as_for_ten(
    engine, session: Session
) -> None:
    make = Make(session)
    guide = make.guide()
    make.purchase(make.contact(guide))
    counts = []
    for extra in (10, 1000):
        ids = []
        for _ in range(extra):
            ids.append(make.contact(guide).id)
        with counting(engine) as seen:
            scores.refresh(session, TODAY, ids)
        counts.append(seen.count)
    assert counts[0] == counts[1] <= 5
