"""Many rules in one look: the same tags as one by one, in a few statements."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm.models import Contact
from tagging import differences, rules
from tagging.models import TagAssignment
from tests.factories import TODAY, Make
from tests.fixtures_db import counting
from tests.tagging.worlds import reading, town

DAY = date(2027, 3, 1)


def test_rules_asked_together_find_whom_a_plain_reading_finds(session: Session) -> None:
    here = town.Town(session)

    # A world does not become simpler in any useful time.
    @settings(
        max_examples=40,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.lists(town.persons(), min_size=4, max_size=8),
        st.lists(reading.conditions(), min_size=3, max_size=6),
        st.booleans(),
    )
    def compare(world, wanted, is_night):
        try:
            ids = here.settle(session, world, DAY)
            make = Make(session)
            # Their own tags; conditions ask for those of the town, which no rule changes.
            made = [make.rule(make.tag(f"量测/{n}"), one) for n, one in enumerate(wanted)]
            rules.apply(session, DAY, None if is_night else ids)
            found = {
                (row.tag_id, row.contact_id)
                for row in session.execute(
                    select(TagAssignment.tag_id, TagAssignment.contact_id).where(
                        TagAssignment.source == "rule", TagAssignment.is_on
                    )
                )
            }
            assert found == {
                (rule.tag_id, id_)
                for rule in made
                for id_, one in zip(ids, world, strict=True)
                if reading.matches(here, one, rule.when, DAY)
            }
            assert rules.apply(session, DAY) == 0
        finally:
            session.rollback()

    compare()


def test_more_rules_than_one_look_can_ask_are_all_asked(engine, session: Session) -> None:
    make = Make(session)
    many = differences.MOST_RULES + 10
    for n in range(many):
        make.rule(
            make.tag(f"价值/档{n}"), {"field": "total_spend_fen", "op": ">=", "value": n * 100}
        )
    contact = make.contact()
    make.score(contact, total_spend_fen=6_450)
    with counting(engine) as seen:
        assert rules.apply(session, TODAY) == 65
    # The turn, the rules and what has none; eight for each of two looks, not one for each rule.
    assert seen.count <= 20
    make.score(contact, total_spend_fen=100)
    assert rules.apply(session, TODAY) == 63
    assert rules.apply(session, TODAY) == 0


def test_a_rule_that_asks_for_a_tag_sees_what_the_other_rules_decide_tonight(
    session: Session,
) -> None:
    make = Make(session)
    rich, cared_for = make.tag("价值/高净值"), make.tag("服务/专属")
    make.rule(cared_for, {"field": "has_tag", "op": "=", "value": "价值/高净值"})
    make.rule(rich, {"field": "total_spend_fen", "op": ">=", "value": 100})
    contact = make.contact()
    make.score(contact, total_spend_fen=100)
    assert rules.apply(session, TODAY) == 2
    make.score(contact, total_spend_fen=0)
    assert rules.apply(session, TODAY + timedelta(days=1)) == 2
    assert not session.scalars(select(TagAssignment.tag_id).where(TagAssignment.is_on)).all()


def test_a_merged_contact_keeps_no_tag_of_a_rule(session: Session) -> None:
    make = Make(session)
    tag = make.tag()
    make.rule(tag, {"field": "total_spend_fen", "op": ">=", "value": 0})
    contact, kept = make.contact(), make.contact()
    assert rules.apply(session, TODAY) == 2
    session.get_one(Contact, contact.id).merged_into_id = kept.id
    session.flush()
    assert rules.apply(session, TODAY) == 1
    on = select(TagAssignment.contact_id).where(TagAssignment.is_on)
    assert session.scalars(on).all() == [kept.id]


def test_of_two_rules_that_match_the_older_one_is_the_giver(session: Session) -> None:
    make = Make(session)
    tag = make.tag()
    older = make.rule(tag, {"field": "purchase_count", "op": ">=", "value": 2})
    newer = make.rule(tag, {"field": "total_spend_fen", "op": ">=", "value": 100})
    both, one = make.contact(), make.contact()
    make.score(both, purchase_count=2, total_spend_fen=100)
    make.score(one, total_spend_fen=100)
    assert rules.apply(session, TODAY) == 2
    givers = dict(session.execute(select(TagAssignment.contact_id, TagAssignment.rule_id)).all())
    assert givers == {both.id: older.id, one.id: newer.id}
