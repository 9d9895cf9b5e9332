"""A lead goes to whoever should have it, and moves on when nobody touches it."""

from __future__ import annotations

from datetime import time, timedelta

import pytest
from sqlalchemy import select

from bot.clock import at
from bot.crm.models import GuideDayOff
from sop import lead_assignment, leads
from sop import tasks as actions
from sop.models import Lead
from tests.fixtures_db import counting
from tests.sop.plans import TODAY, night, publish, spec, tasks

NOW = at(TODAY, 11)  # a Saturday


def lead_of(session, contact, *, now=NOW, intent="定制"):
    """A lead of this customer, given to whoever is right."""
    key = f"said:{contact.id}:{now.timestamp()}"
    lead_id = leads.raise_intent(session, contact.id, intent, "想看看", now, dedupe_key=key)
    session.commit()
    return session.get_one(Lead, lead_id, populate_existing=True)


def pos_only(make, **member):
    """A customer whom nobody follows."""
    contact = make.contact(external_userid=None)
    if member:
        make.member(contact, **member)
    return contact


def test_the_guide_who_is_responsible_comes_first(session, make):
    guide = make.guide()
    make.guide()
    lead = lead_of(session, make.contact(guide))
    assert (lead.guide_id, lead.store_id, lead.assigned_by) == (
        guide.id,
        guide.store_id,
        "relation",
    )


@pytest.mark.parametrize("how", ["weekday", "day"])
def test_a_customer_stays_her_guides_on_the_guides_day_off(session, make, how):
    guide, other = make.guide(), make.guide()
    contact = make.contact(guide)
    make.follow(other, contact)
    if how == "weekday":
        guide.rest_weekdays = [6]
    else:
        session.add(GuideDayOff(guide_id=guide.id, day=TODAY))
    session.flush()

    lead = lead_of(session, contact)
    assert (lead.guide_id, lead.assigned_by) == (guide.id, "relation")


def test_a_guide_who_left_is_passed_over_for_another_who_knows_her(session, make):
    guide, other = make.guide(), make.guide()
    contact = make.contact(guide)
    make.follow(other, contact)
    guide.is_active = False
    # Even on her day off she is no stranger.
    other.rest_weekdays = [6]
    session.flush()

    assert lead_of(session, contact).guide_id == other.id


def test_a_customer_nobody_knows_goes_to_the_store_next_to_her_home(session, make):
    far = make.store(latitude=39.9042, longitude=116.4074)
    near = make.store(latitude=31.2304, longitude=121.4737)
    next_door = make.store(latitude=31.2, longitude=121.4)
    make.guide(far)
    make.guide(next_door)
    guide = make.guide(near)
    contact = pos_only(make, home_latitude=31.2310, home_longitude=121.4740)

    lead = lead_of(session, contact)

    assert (lead.guide_id, lead.store_id, lead.assigned_by) == (guide.id, near.id, "store")


def test_without_a_home_nearby_the_store_of_the_last_purchase_counts(session, make):
    bought, make_other = make.store(), make.store()
    make.guide(make_other)
    guide = make.guide(bought)
    contact = pos_only(make, home_latitude=0.0, home_longitude=0.0)
    make.purchase(contact, store_id=bought.id, on=TODAY - timedelta(days=9))

    assert lead_of(session, contact).guide_id == guide.id


def test_leads_of_one_store_are_dealt_out_evenly(session, make):
    store = make.store(latitude=31.0, longitude=121.0)
    guides = [make.guide(store) for _ in range(3)]
    people = [pos_only(make, home_latitude=31.0, home_longitude=121.0) for _ in range(6)]
    for person in people:
        session.add(Lead(contact_id=person.id, state="open", raised_at=NOW, raised_on=TODAY))
    session.flush()

    assert lead_assignment.assign(session, TODAY, NOW) == 6
    assert lead_assignment.assign(session, TODAY, NOW) == 0

    owners = session.scalars(select(Lead.guide_id).order_by(Lead.id)).all()
    assert sorted(owners) == sorted([guide.id for guide in guides] * 2)


def test_the_region_of_the_code_comes_before_anybody(session, make):
    here, elsewhere = make.region(), make.region()
    busy = make.guide(make.store(region_id=here.id))
    free = make.guide(make.store(region_id=here.id))
    make.guide(make.store(region_id=elsewhere.id))
    lead_of(session, make.contact(busy))
    code = make.channel_code(busy)
    contact = make.contact(channel_code_id=code.id)

    lead = lead_of(session, contact)

    assert (lead.guide_id, lead.assigned_by) == (free.id, "load")


def test_without_anybody_on_duty_the_lead_waits(session, make):
    make.guide(rest_weekdays=[6])
    contact = pos_only(make)
    lead = lead_of(session, contact)
    assert (lead.state, lead.guide_id) == ("open", None)
    tomorrow = TODAY + timedelta(days=1)
    assert lead_assignment.assign(session, tomorrow, at(tomorrow, 9)) == 1


def test_only_hours_in_which_the_store_is_open_count(session, make):
    store = make.store(opens_at=time(10), closes_at=time(22))
    lead = lead_of(session, make.contact(make.guide(store)), now=at(TODAY, 20))
    tomorrow = TODAY + timedelta(days=1)

    assert lead_assignment.escalate(session, at(tomorrow, 11, 59), 4) == []
    assert lead_assignment.escalate(session, at(tomorrow, 12, 1), 4) == [lead.id]
    assert lead_assignment.escalate(session, at(tomorrow, 13), 4) == []


def test_after_as_long_again_the_manager_has_it(session, make):
    store = make.store(opens_at=time(10), closes_at=time(22))
    boss = make.guide(store, is_manager=True)
    guide = make.guide(store)
    lead = lead_of(session, make.contact(guide), now=NOW)
    assert lead_assignment.escalate(session, at(TODAY, 15), 4) == [lead.id]
    assert lead_assignment.take_to_managers(session, at(TODAY, 18, 59), 4) == []
    assert lead_assignment.take_to_managers(session, at(TODAY, 19), 4) == [lead.id]
    session.refresh(lead)
    assert (lead.guide_id, lead.assigned_by, lead.alerted_at) == (boss.id, "manager", None)
    later = at(TODAY + timedelta(days=3), 19)
    assert lead_assignment.escalate(session, later, 4) == []
    assert lead_assignment.take_to_managers(session, later, 4) == []


def test_a_task_done_with_the_customer_is_a_touch(session, make):
    guide = make.guide()
    contact = make.contact(guide, followed_on=TODAY)
    publish(session, spec("新客", {"kind": "followed"}))
    night(session)
    lead = lead_of(session, contact)
    [task] = tasks(session)
    assert leads.touch_by_tasks(session, NOW) == 0

    actions.complete(session, task.id, guide.id, NOW + timedelta(hours=1))

    assert leads.touch_by_tasks(session, NOW) == 1
    session.refresh(lead)
    assert (lead.state, lead.touched_at) == ("touched", NOW + timedelta(hours=1))


def test_giving_to_many_takes_as_many_statements_as_to_one(session, make, engine):
    store = make.store(latitude=31.0, longitude=121.0)
    for _ in range(3):
        make.guide(store)

    def counted(people):
        for _ in range(people):
            person = pos_only(make, home_latitude=31.0, home_longitude=121.0)
            session.add(Lead(contact_id=person.id, state="open", raised_at=NOW, raised_on=TODAY))
        session.commit()
        with counting(engine) as seen:
            lead_assignment.assign(session, TODAY, NOW)
        return seen.count

    assert counted(1) == counted(60)


def test_the_lead_of_a_guide_who_left_goes_to_whoever_is_responsible_now(session, make):
    guide, heir = make.guide(), make.guide()
    contact = make.contact(guide)
    lead = lead_of(session, contact)
    leads.touch(session, lead.id, NOW)
    guide.is_active = False
    make.follow(heir, contact)
    contact.guide_id = heir.id
    session.flush()

    leads.raise_due(session, TODAY, NOW + timedelta(hours=1))

    session.refresh(lead)
    assert (lead.guide_id, lead.state, lead.alerted_at) == (heir.id, "assigned", None)


def test_a_stranger_who_becomes_a_friend_of_another_guide_takes_her_lead_along(session, make):
    guide, friend = make.guide(), make.guide()
    contact = pos_only(make)
    lead = lead_of(session, contact)
    first = guide if lead.guide_id == guide.id else friend
    second = friend if first is guide else guide
    make.follow(second, contact)
    contact.guide_id = second.id
    session.flush()

    leads.raise_due(session, TODAY, NOW + timedelta(hours=1))
    session.refresh(lead)
    assert (lead.guide_id, lead.assigned_by) == (second.id, "relation")


def test_a_lead_that_a_person_gave_away_stays_where_it_is(session, make):
    guide, taker = make.guide(), make.guide()
    contact = make.contact(guide)
    lead = lead_of(session, contact)
    lead_assignment.give(session, lead.id, taker.id, NOW)
    leads.raise_due(session, TODAY, NOW + timedelta(hours=1))
    session.refresh(lead)
    assert (lead.guide_id, lead.assigned_by) == (taker.id, "person")
