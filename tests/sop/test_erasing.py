"""A contact who is erased leaves nothing behind, whichever keys a table has (抹除)."""

from __future__ import annotations

from sqlalchemy import delete, func, select

from bot.clock import at
from bot.crm.models import Contact, FollowRelation
from bot.db import Base
from sop import enrollment, planning
from tagging import rules, scores
from tests.factories import TODAY
from tests.sop.plans import publish, spec, step


def _left(session, contact_id):
    """Rows that speak of the contact, by table."""
    found = {}
    for table in Base.metadata.sorted_tables:
        if "contact_id" in table.c:
            query = select(func.count()).where(table.c.contact_id == contact_id)
            found[table.name] = session.scalar(query.select_from(table))
    return {name: many for name, many in found.items() if many}


def test_nothing_of_an_erased_contact_is_left(session, make):
    guide = make.guide()
    contact, other = (make.contact(guide, followed_on=TODAY) for _ in range(2))
    make.rule(make.tag(), {"field": "followed_days", "op": "<=", "value": 30})
    publish(session, spec("新客", {"kind": "followed"}, step("问候"), step("关怀")))
    scores.refresh(session, TODAY)
    rules.apply(session, TODAY)
    enrollment.enroll_due(session, TODAY)
    planning.plan(session, TODAY, at(TODAY, 2))
    before = _left(session, contact.id)
    assert {"task", "touch_ledger", "enrollment", "tag_assignment", "contact_score"} <= set(before)
    session.execute(delete(FollowRelation).where(FollowRelation.contact_id == contact.id))
    session.execute(delete(Contact).where(Contact.id == contact.id))
    assert _left(session, contact.id) == {}
    assert _left(session, other.id) == before
