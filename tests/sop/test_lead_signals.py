"""What customers do is a signal once, and none where they want to be left alone."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select

from bot.clock import at
from bot.crm import opt_outs
from bot.crm.models import ContactActivity
from sop import leads
from sop.models import LeadSignal
from tests.locks import wait_for_a_lock
from tests.sop.plans import days_ago
from tests.sop.test_leads import NOW, fills_cart, live, raised, visits


def test_coming_back_counts_once_a_pause_however_often_she_comes(session, make):
    contact, store = make.contact(make.guide()), make.store()
    make.purchase(contact, on=days_ago(200))
    activity = ContactActivity(contact_id=contact.id)
    session.add(activity)
    for ago in (2, 1, 0):
        activity.replied_on = days_ago(ago)
        session.flush()
        raised(session, day=days_ago(ago), now=at(days_ago(ago), 15))
    visits(session, contact, store)
    raised(session)
    told = select(LeadSignal.text).where(LeadSignal.behavior == "returned")
    assert session.scalars(told).all() == ["时隔 198 天再次回复"]


def test_what_the_guide_and_the_till_tell_of_one_visit_is_one_signal(session, make):
    contact, store = make.contact(make.guide()), make.store(name="南京路店")
    visits(session, contact, store, is_told=False)
    assert raised(session) == 1
    visits(session, contact, store)
    assert raised(session) == 0
    visits(session, contact, make.store())
    assert raised(session) == 1


def test_a_visit_online_is_no_visit_to_a_store(session, make):
    contact = make.contact(make.guide())
    make.purchase(contact, on=days_ago(200))
    visits(session, contact, make.store(), kind="线上")
    assert raised(session) == 0


@pytest.mark.parametrize(("channel", "count"), [("all", 0), ("chat", 0), ("sms", 1)])
def test_who_does_not_want_to_be_spoken_to_is_a_lead_only_by_what_she_asks(
    session, make, channel, count
):
    contact = make.contact(make.guide())
    opt_outs.refuse(session, contact.id, channel, source="event", at=NOW)
    fills_cart(session, contact)
    assert raised(session) == count
    assert len(live(session)) == count
    leads.raise_intent(session, contact.id, "定制", "想订做", NOW, dedupe_key="kf:1")
    raised(session)
    assert [one.state for one in live(session)] == ["assigned"]


def test_a_wish_is_kept_while_another_transaction_is_just_raising_the_lead(session, sessions, make):
    contact = make.contact(make.guide())
    session.commit()
    raised = []

    def ask():
        with sessions() as other:
            given = (contact.id, "定制", "想订做", NOW)
            raised.append(leads.raise_intent(other, *given, dedupe_key="second"))
            other.commit()

    first = leads.raise_intent(session, contact.id, "结婚选款", "婚戒", NOW, dedupe_key="first")
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        wait_for_a_lock(sessions)
    finally:
        session.commit()
        asking.join(timeout=10)

    assert raised == [first]
    said = session.scalars(select(LeadSignal.behavior).order_by(LeadSignal.id)).all()
    assert said == ["asked_wedding", "asked_custom"]
