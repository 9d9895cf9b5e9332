"""Rhythm, yearly sums and the warning before a customer leaves."""

from __future__ import annotations

import random
from datetime import date, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from bot.crm.models import ContactActivity
from tagging import scores
from tagging.models import ContactScore, ScoreBasis
from tests.factories import TODAY, Make


def score(session: Session, contact) -> ContactScore:
    session.expire_all()
    return session.get_one(ContactScore, contact.id)


def warned(session: Session, contact) -> tuple[str | None, date | None]:
    row = score(session, contact)
    return row.risk, row.at_risk_since


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.mark.parametrize(
    ("bought", "rhythm"),
    [
        ([], None),
        ([10], None),
        ([10, 50], None),
        ([10, 50, 50], None),
        ([10, 50, 80], 30),
        ([10, 50, 80, 180], 40),
        ([0, 1, 101, 301, 601], 100),
    ],
)
def test_the_rhythm_is_the_median_gap_between_different_days(session, bought, rhythm) -> None:
    make = Make(session)
    contact = make.contact(make.guide())
    for days in bought:
        make.purchase(contact, on=ago(days))
    # Given back whole: no purchase.
    make.purchase(contact, on=ago(5), amount_fen=100, refunded_fen=100)
    scores.refresh(session, TODAY)
    assert score(session, contact).rhythm_days == rhythm


def test_the_years_end_on_their_days_and_are_net(session: Session) -> None:
    make = Make(session)
    contact = make.contact(make.guide())
    for days, fen in ((0, 1), (364, 10), (365, 100), (729, 1_000), (730, 10_000)):
        make.purchase(contact, on=ago(days), amount_fen=fen * 2, refunded_fen=fen)
    scores.refresh(session, TODAY)
    row = score(session, contact)
    assert (row.spent_year_fen, row.spent_year_before_fen) == (11, 1_100)
    scores.refresh(session, TODAY + timedelta(days=1))
    row = score(session, contact)
    assert (row.spent_year_fen, row.spent_year_before_fen) == (1, 110)


@pytest.mark.parametrize(
    ("bought", "expected"),
    [
        # Every 40 days: more than 80 days are a warning.
        ([80, 120, 160], (None, None)),
        ([81, 121, 161], ("gap", 0)),
        ([100, 140, 180], ("gap", 19)),
        # Every 10 days: 60 days are the least.
        ([60, 70, 80], (None, None)),
        ([61, 71, 81], ("gap", 0)),
        # Dormant is no risk any more.
        ([366, 400, 440], (None, None)),
        # Two purchases are no rhythm.
        ([200, 240], (None, None)),
    ],
)
def test_a_pause_longer_than_her_own_rhythm_warns(session, bought, expected) -> None:
    make = Make(session)
    contact = make.contact(make.guide())
    for days in bought:
        make.purchase(contact, on=ago(days), amount_fen=1000)
    scores.refresh(session, TODAY)
    risk, since = expected
    assert warned(session, contact) == (risk, since if since is None else ago(since))


def test_spending_that_falls_by_half_warns_from_the_day_it_is_seen(session: Session) -> None:
    make = Make(session)
    contact, loyal = make.contact(make.guide()), make.contact(make.guide())
    make.purchase(contact, on=ago(400), amount_fen=600_000)
    make.purchase(contact, on=ago(100), amount_fen=299_999)
    make.purchase(loyal, on=ago(400), amount_fen=600_000)
    make.purchase(loyal, on=ago(100), amount_fen=300_000)
    scores.refresh(session, TODAY)
    assert warned(session, contact) == ("spend", TODAY)
    assert warned(session, loyal) == (None, None)

    scores.refresh(session, TODAY + timedelta(days=5))
    scores.refresh(session, TODAY + timedelta(days=5), [contact.id])
    assert warned(session, contact) == ("spend", TODAY)

    make.purchase(contact, on=TODAY + timedelta(days=6), amount_fen=100)
    scores.refresh(session, TODAY + timedelta(days=6), [contact.id])
    assert warned(session, contact) == (None, None)
    # Still half of last year's when the pause has grown long again.
    scores.refresh(session, TODAY + timedelta(days=67))
    assert warned(session, contact) == (None, None)


def test_a_small_year_is_no_loss(session: Session) -> None:
    make = Make(session)
    contact = make.contact(make.guide())
    make.purchase(contact, on=ago(400), amount_fen=499_999)
    make.purchase(contact, on=ago(100), amount_fen=1)
    scores.refresh(session, TODAY)
    assert warned(session, contact) == (None, None)


def leave(session, relation, on: date, by: str = "customer") -> None:
    relation.state, relation.ended_on, relation.ended_by = "ended", on, by
    session.flush()


def test_who_deletes_one_guide_while_another_follows_is_at_risk_for_ninety_days(
    session: Session,
) -> None:
    make = Make(session)
    contact = make.contact(make.guide(), followed_on=ago(50))
    gone = make.follow(make.guide(), contact, followed_on=ago(50))
    by_guide = make.contact(make.guide())
    removed = make.follow(make.guide(), by_guide, followed_on=ago(50))
    leave(session, gone, ago(3))
    leave(session, removed, ago(3), by="guide")
    scores.refresh(session, TODAY)
    assert warned(session, contact) == ("deleted", ago(3))
    assert warned(session, by_guide) == (None, None)

    scores.refresh(session, TODAY + timedelta(days=87))
    assert warned(session, contact) == ("deleted", ago(3))
    scores.refresh(session, TODAY + timedelta(days=88))
    assert warned(session, contact) == (None, None)


def test_a_purchase_ends_the_warning_of_a_deletion(session: Session) -> None:
    make = Make(session)
    contact = make.contact(make.guide())
    leave(session, make.follow(make.guide(), contact), ago(3))
    make.purchase(contact, on=ago(2))
    scores.refresh(session, TODAY)
    assert warned(session, contact) == (None, None)


def test_whom_nobody_follows_any_more_is_lost_and_no_risk(session: Session) -> None:
    make = Make(session)
    guide = make.guide()
    contact = make.contact()
    leave(session, make.follow(guide, contact), ago(3))
    contact.guide_id = contact.followed_on = None
    session.flush()
    scores.refresh(session, TODAY)
    assert warned(session, contact) == (None, None)


def test_the_brands_own_limits_decide(session: Session) -> None:
    make = Make(session)
    make.brand(churn={"gap_percent": 300, "least_days": 10})
    contact = make.contact(make.guide())
    for days in (31, 41, 51):
        make.purchase(contact, on=ago(days), amount_fen=1000)
    scores.refresh(session, TODAY)
    assert warned(session, contact) == ("gap", TODAY)


def _plain(bought: list[tuple[date, int]], day: date) -> tuple[int | None, int, int]:
    """Rhythm and yearly sums by counting."""
    days = sorted({on for on, _ in bought})
    gaps = sorted((later - earlier).days for earlier, later in pairwise(days))
    rhythm = gaps[(len(gaps) - 1) // 2] if len(gaps) >= 2 else None
    ages = [((day - on).days, fen) for on, fen in bought]
    return (
        rhythm,
        sum(fen for age, fen in ages if age < 365),
        sum(fen for age, fen in ages if 365 <= age < 730),
    )


_KEPT = (
    "purchase_count", "total_spend_fen", "recency", "frequency", "monetary", "stage",
    "stage_since_on", "tier", "tier_score", "tier_parts", "rhythm_days", "spent_year_fen",
    "spent_year_before_fen", "at_risk_since", "risk",
)  # fmt: skip


def _dump(session: Session) -> list[tuple]:
    columns = [getattr(ContactScore, name) for name in _KEPT]
    rows = session.execute(select(ContactScore.contact_id, *columns))
    return sorted(tuple(row) for row in rows)


def test_nights_that_count_only_whom_something_happened_to_say_what_a_count_of_all_says(
    session: Session,
) -> None:
    """Random customers, many nights at uneven distances, then everybody counted anew."""
    dice = random.Random(20261121)
    make = Make(session)
    guides = [make.guide() for _ in range(2)]
    people = {}
    for _ in range(60):
        contact = make.contact(guides[0], followed_on=ago(dice.randint(0, 900)))
        bought = []
        for _ in range(dice.choice((0, 1, 2, 4, 6))):
            on, fen = ago(dice.randint(0, 900)), dice.randint(1, 900_000)
            make.purchase(contact, on=on, amount_fen=fen)
            bought.append((on, fen))
        if dice.random() < 0.3:
            leave(session, make.follow(guides[1], contact), ago(dice.randint(0, 120)))
        if dice.random() < 0.5:
            seen = {"replied_on": ago(dice.randint(0, 200)), "viewed_on": ago(dice.randint(0, 200))}
            session.add(ContactActivity(contact_id=contact.id, **seen))
        people[contact.id] = bought
    session.flush()
    risks = set()
    for ahead in (0, 1, 2, 3, 10, 31, 62, 63, 100, 190, 191, 300):
        day = TODAY + timedelta(days=ahead)
        scores.refresh(session, day)
        by_night = _dump(session)
        for id_, *values in by_night:
            row = dict(zip(_KEPT, values, strict=True))
            risks.add(row["risk"])
            assert (
                row["rhythm_days"],
                row["spent_year_fen"],
                row["spent_year_before_fen"],
            ) == _plain(people[id_], day)
        session.execute(delete(ScoreBasis))
        scores.refresh(session, day)
        assert _dump(session) == by_night, ahead
    assert risks == {None, "gap", "spend", "deleted"}
