"""Rules give and take tags; people's tags stay."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Text, cast, literal_column, select
from sqlalchemy.orm import Session

from bot.crm.models import Purchase
from tagging import rules, scores, tags
from tagging.models import TagAssignment, TagSource
from tests.factories import NOON, TODAY, Make
from tests.fixtures_db import counting

RICH = {"field": "total_spend_fen", "op": ">=", "value": 5_000_000}
FREQUENT = {"field": "purchase_count", "op": ">=", "value": 2}


def on(session: Session, tag) -> dict[int, str]:
    """contact id → source of those who have the tag."""
    rows = session.execute(
        select(TagAssignment.contact_id, TagAssignment.source).where(
            TagAssignment.tag_id == tag.id, TagAssignment.is_on
        )
    )
    return {contact_id: source for contact_id, source in rows}  # noqa: C416 - rows are no pairs


def test_a_rule_tags_whom_it_matches_and_a_second_night_writes_nothing(session: Session) -> None:
    make = Make(session)
    tag = make.tag()
    rule = make.rule(tag, RICH)
    rich, poor = make.contact(make.guide()), make.contact()
    make.score(rich, total_spend_fen=6_000_000)

    assert rules.apply(session, TODAY) == 1
    assert on(session, tag) == {rich.id: "rule"}
    row = session.get_one(TagAssignment, (rich.id, tag.id))
    assert (row.rule_id, row.assigned_on, row.mark_state) == (rule.id, TODAY, "pending")
    assert poor.id not in on(session, tag)

    versions = select(TagAssignment.contact_id, cast(literal_column("ctid"), Text))
    before = session.execute(versions).all()
    assert rules.apply(session, TODAY + timedelta(days=1)) == 0
    assert session.execute(versions).all() == before


def test_a_rule_that_no_longer_holds_takes_its_tag_away_and_gives_it_back(
    session: Session,
) -> None:
    make = Make(session)
    tag = make.tag()
    make.rule(tag, RICH)
    contact = make.contact(make.guide())
    purchase = make.purchase(contact, amount_fen=6_000_000)
    scores.refresh(session, TODAY, [contact.id])
    assert rules.apply(session, TODAY, [contact.id], now=NOON) == 1

    session.get_one(Purchase, purchase.id).refunded_fen = 6_000_000
    session.flush()
    scores.refresh(session, TODAY, [contact.id])
    assert rules.apply(session, TODAY, [contact.id]) == 1
    assert on(session, tag) == {}

    session.get_one(Purchase, purchase.id).refunded_fen = 0
    session.flush()
    scores.refresh(session, TODAY, [contact.id])
    assert rules.apply(session, TODAY, [contact.id]) == 1
    assert on(session, tag) == {contact.id: "rule"}


def test_a_persons_or_channels_tag_is_never_taken_away(session: Session) -> None:
    make = Make(session)
    tag = make.tag()
    make.rule(tag, RICH)
    people = {source: make.contact() for source in TagSource}
    for source, contact in people.items():
        make.assignment(contact, tag, source=source.value)
    assert rules.apply(session, TODAY) == 1
    assert set(on(session, tag).values()) == {"channel", "guide", "wecom", "import"}


def test_a_person_who_sets_a_rules_tag_again_owns_it(session: Session) -> None:
    make = Make(session)
    tag = make.tag()
    make.rule(tag, RICH)
    contact = make.contact()
    make.score(contact, total_spend_fen=6_000_000)
    rules.apply(session, TODAY - timedelta(days=9))
    tags.assign(session, [contact.id], [tag.id], TagSource.GUIDE, NOON)
    make.score(contact, total_spend_fen=0)

    assert rules.apply(session, TODAY) == 0
    assert on(session, tag) == {contact.id: "guide"}
    row = session.get_one(TagAssignment, (contact.id, tag.id), populate_existing=True)
    assert (row.rule_id, row.assigned_on) == (None, TODAY - timedelta(days=9))


def test_two_rules_of_one_tag_keep_it_while_either_holds(session: Session) -> None:
    make = Make(session)
    tag = make.tag()
    make.rule(tag, FREQUENT)
    make.rule(tag, RICH)
    contact = make.contact()
    make.score(contact, total_spend_fen=6_000_000)
    assert rules.apply(session, TODAY) == 1
    make.score(contact, total_spend_fen=0, purchase_count=3)
    assert rules.apply(session, TODAY) == 0
    assert on(session, tag) == {contact.id: "rule"}
    make.score(contact, purchase_count=0)
    assert rules.apply(session, TODAY) == 1
    assert on(session, tag) == {}


def test_the_tags_of_a_rule_that_was_switched_off_or_changed_its_tag_go(session: Session) -> None:
    make = Make(session)
    old, new, other = make.tag("价值/甲"), make.tag("价值/乙"), make.tag("价值/丙")
    moved, off = make.rule(old, RICH), make.rule(other, RICH)
    contact = make.contact()
    make.score(contact, total_spend_fen=6_000_000)
    rules.apply(session, TODAY)
    moved.tag_id, off.is_active = new.id, False
    session.flush()
    rules.apply(session, TODAY)
    assert (on(session, old), on(session, other)) == ({}, {})
    assert on(session, new) == {contact.id: "rule"}


def test_a_broken_or_empty_rule_touches_nobody_and_stops_no_other(session: Session) -> None:
    make = Make(session)
    good, bad, empty = make.tag("价值/甲"), make.tag("价值/乙"), make.tag("价值/丙")
    make.rule(bad, {"field": "gone", "op": "=", "value": 1})
    make.rule(empty, {"all": []})
    make.rule(good, RICH)
    contact, tagged = make.contact(), make.contact()
    make.score(contact, total_spend_fen=6_000_000)
    make.assignment(tagged, bad, source="rule")
    assert rules.apply(session, TODAY) == 1
    assert on(session, good) == {contact.id: "rule"}
    assert on(session, empty) == {}
    assert on(session, bad) == {tagged.id: "rule"}


def test_rules_leave_out_merged_contacts_deleted_tags_and_everybody_else(
    session: Session,
) -> None:
    make = Make(session)
    tag, dead = make.tag(), make.tag("价值/旧", is_active=False)
    make.rule(tag, RICH)
    make.rule(dead, RICH)
    kept = make.contact()
    gone, unasked = make.contact(merged_into_id=kept.id), make.contact()
    for contact in (kept, gone, unasked):
        make.score(contact, total_spend_fen=6_000_000)
    assert rules.apply(session, TODAY, []) == 0
    assert rules.apply(session, TODAY, [kept.id, gone.id]) == 1
    assert on(session, tag) == {kept.id: "rule"}
    assert on(session, dead) == {}


def test_rules_take_as_many_statements_for_a_thousand_contacts_as_for_ten(
    engine, session: Session
) -> None:
    make = Make(session)
    make.rule(make.tag(), {"not": RICH})
    make.rule(make.tag("价值/常客"), FREQUENT)
    counts = []
    for number in (10, 1000):
        ids = [make.contact().id for _ in range(number)]
        with counting(engine) as seen:
            assert rules.apply(session, TODAY, ids) == number
        counts.append(seen.count)
    # The rules, then one that gives and one that takes per rule, and one for what has no rule.
    assert counts == [6, 6]
