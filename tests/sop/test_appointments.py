"""Customers are invited, book a time, come or do not; each step happens once."""

from __future__ import annotations

from datetime import time, timedelta

import pytest
from sqlalchemy import select

from bot.clock import at, business_day
from bot.crm.models import Contact, ContactActivity, TimelineEntry, Visit
from bot.errors import UserError
from sop import appointments
from sop import tasks as actions
from sop.funnel import Funnel, funnel
from sop.models import Appointment, Intent, Lead
from tests.fixtures_db import counting
from tests.sop.plans import TODAY
from tests.sop.work import step_of, task_of

NOW = at(TODAY, 9)
TOMORROW = TODAY + timedelta(days=1)
SLOT = at(TOMORROW, 15)


@pytest.fixture
def store(make):
    return make.store(name="南京路店", opens_at=time(10), closes_at=time(22))


@pytest.fixture
def guide(make, store):
    return make.guide(store)


@pytest.fixture
def invited(session, make, guide):
    """An invitation that a task made."""
    contact = make.contact(guide, name="王女士")
    task_of(session, step_of(session, kind="invite", gift="小样一份"), contact, guide)
    appointments.invite_for_open(session, TODAY, NOW)
    return session.scalars(select(Appointment)).one()


def booked(session, row, *, slot_at=SLOT, store_id=None, now=NOW):
    return appointments.book(
        session,
        row.id,
        slot_at=slot_at,
        store_id=store_id or row.store_id,
        by="guide:a",
        now=now,
    )


def test_each_task_that_invites_is_one_invitation(session, make, guide, invited):
    task_of(session, step_of(session, kind="call"), make.contact(guide), guide)
    assert appointments.invite_for_open(session, TODAY, NOW) == 0
    assert (invited.state, invited.gift, invited.guide_id) == ("invited", "小样一份", guide.id)
    assert invited.store_id == guide.store_id


def test_a_time_is_booked_changed_and_told(session, invited):
    first = booked(session, invited)
    assert booked(session, invited) == first
    assert (first.state, first.slot_at, first.store_name) == ("booked", SLOT, "南京路店")
    later = booked(session, invited, slot_at=at(TOMORROW, 16))
    assert later.slot_at == at(TOMORROW, 16)
    told = session.scalars(select(TimelineEntry.text).order_by(TimelineEntry.id)).all()
    assert told == [
        "预约 11月22日（周日）15:00 到 南京路店",
        "预约 11月22日（周日）16:00 到 南京路店",
    ]


@pytest.mark.parametrize(
    ("slot_at", "said"),
    [
        (NOW, "现在以后"),
        (at(TODAY + timedelta(days=91), 15), "90 天"),
        (at(TOMORROW, 9, 59), "10:00-22:00"),
        (at(TOMORROW, 22), "营业时间"),
    ],
)
def test_a_time_that_cannot_be_is_refused(session, invited, slot_at, said):
    with pytest.raises(UserError, match=said):
        booked(session, invited, slot_at=slot_at)
    session.refresh(invited)
    assert (invited.state, invited.slot_at) == ("invited", None)


def test_one_customer_has_one_appointment_a_day(session, make, guide, invited):
    booked(session, invited)
    contact_id = invited.contact_id
    other = Appointment(
        contact_id=contact_id, guide_id=guide.id, store_id=guide.store_id, state="invited"
    )
    session.add(other)
    session.flush()
    with pytest.raises(UserError, match="已经有预约"):
        booked(session, other, slot_at=at(TOMORROW, 18))


def test_an_unknown_store_or_appointment_is_refused(session, invited):
    with pytest.raises(UserError, match="没有这家门店"):
        booked(session, invited, store_id=10**9)
    with pytest.raises(UserError, match="没有找到这个预约"):
        appointments.cancel(session, 10**9, "x", by="a", now=NOW)


def test_a_visit_at_the_store_on_the_day_is_the_arrival(session, make, invited):
    booked(session, invited)
    elsewhere = make.store()
    for store, on, kind in (
        (elsewhere, TOMORROW, "到店"),
        (None, TODAY, "到店"),
        (None, TOMORROW, "线上"),
    ):
        session.add(
            Visit(
                contact_id=invited.contact_id,
                store_id=store.id if store else invited.store_id,
                store_code="x",
                kind=kind,
                visited_at=at(on, 12),
                visited_on=on,
            )
        )
    session.flush()
    assert appointments.settle(session, TOMORROW) == 0
    visit = Visit(
        contact_id=invited.contact_id,
        store_id=invited.store_id,
        store_code="x",
        kind="到店",
        visited_at=at(TOMORROW, 15, 20),
        visited_on=TOMORROW,
    )
    session.add(visit)
    session.flush()

    assert appointments.settle(session, TOMORROW) == 1
    assert appointments.settle(session, TOMORROW) == 0

    session.refresh(invited)
    session.refresh(visit)
    assert (invited.state, invited.arrived_at) == ("arrived", at(TOMORROW, 15, 20))
    assert visit.appointment_id == invited.id


def test_who_did_not_come_by_the_next_day_has_missed_it(session, invited):
    booked(session, invited)
    assert appointments.settle(session, TOMORROW) == 0
    assert appointments.settle(session, TOMORROW + timedelta(days=1)) == 1
    session.refresh(invited)
    assert invited.state == "missed"
    # She came after all, and only the guide saw it.
    appointments.arrive(session, invited.id, at=at(TOMORROW, 20), by="guide:a")
    session.refresh(invited)
    assert invited.state == "arrived"


@pytest.mark.parametrize(("later", "state"), [(7, "arrived"), (8, "missed")])
def test_a_visit_that_is_told_days_later_takes_the_missed_back(session, invited, later, state):
    booked(session, invited)
    appointments.settle(session, TOMORROW + timedelta(days=1))
    session.add(
        Visit(
            contact_id=invited.contact_id,
            store_id=invited.store_id,
            store_code="x",
            kind="到店",
            visited_at=SLOT,
            visited_on=TOMORROW,
        )
    )
    session.flush()

    appointments.settle(session, TOMORROW + timedelta(days=later))

    session.refresh(invited)
    assert invited.state == state
    story = select(TimelineEntry.text).where(TimelineEntry.kind == "appointment")
    told = set(session.scalars(story)) & {"约好了没有来", "如约到店"}
    assert told == {"如约到店" if state == "arrived" else "约好了没有来"}


def visit_of(session, row, moment, *, kind="到店", store_id=None):
    one = Visit(
        contact_id=row.contact_id,
        store_id=store_id or row.store_id,
        store_code="x",
        kind=kind,
        visited_at=moment,
        visited_on=business_day(moment),
    )
    session.add(one)
    session.flush()
    return one


def test_a_till_that_tells_of_a_visit_answers_an_invitation_without_a_time(session, make, invited):
    visit_of(session, invited, at(TODAY, 8))  # before she was asked
    visit_of(session, invited, SLOT, kind="线上")
    visit_of(session, invited, SLOT, store_id=make.store().id)
    assert appointments.settle(session, TOMORROW) == 0
    came = visit_of(session, invited, SLOT)

    appointments.arrive_by_visits(session, TOMORROW, [invited.contact_id])

    session.refresh(invited)
    session.refresh(came)
    assert (invited.state, invited.arrived_at) == ("arrived", SLOT)
    assert came.appointment_id == invited.id
    assert funnel(session, TODAY, TODAY).arrived == 1


def test_one_visit_answers_one_of_two_invitations(session, invited):
    again = Appointment(
        contact_id=invited.contact_id,
        guide_id=invited.guide_id,
        store_id=invited.store_id,
        state="invited",
        created_at=NOW,
    )
    session.add(again)
    visit_of(session, invited, SLOT)
    for _ in range(2):
        appointments.settle(session, TOMORROW)
    # The till tells the same visit once more, under another number.
    visit_of(session, invited, SLOT + timedelta(minutes=5))
    appointments.settle(session, TOMORROW)
    session.refresh(invited)
    session.refresh(again)
    assert sorted([invited.state, again.state]) == ["arrived", "invited"]


def test_an_invitation_nobody_answers_ends_after_a_month_and_still_counts(session, invited):
    appointments.settle(session, TODAY + timedelta(days=30))
    session.refresh(invited)
    assert invited.state == "invited"
    appointments.settle(session, TODAY + timedelta(days=31))
    session.refresh(invited)
    assert (invited.state, invited.outcome) == ("cancelled", "没有回应")
    assert funnel(session, TODAY, TODAY).invited == 1


def test_an_order_is_one_visits_money_however_the_funnel_is_cut(session, make, guide, invited):
    appointments.arrive(session, invited.id, at=at(TODAY, 15), by="guide:a")
    later = Appointment(
        contact_id=invited.contact_id,
        guide_id=guide.id,
        store_id=make.store().id,
        state="arrived",
        arrived_at=at(TOMORROW, 12),
        created_at=at(TOMORROW, 9),
    )
    session.add(later)
    contact = session.get(Contact, invited.contact_id)
    make.purchase(contact, on=TOMORROW, amount_fen=300)
    session.flush()
    cuts = [
        funnel(session, TODAY, TODAY),
        funnel(session, TOMORROW, TOMORROW),
        funnel(session, TODAY, TOMORROW, store_id=invited.store_id),
        funnel(session, TODAY, TOMORROW, store_id=later.store_id),
    ]
    assert [one.money_fen for one in cuts] == [0, 300, 0, 300]


def test_an_invitation_whose_task_was_left_out_is_none(session, invited):
    actions.skip(session, invited.task_id, invited.guide_id, NOW)
    assert appointments.settle(session, TOMORROW) == 1
    session.refresh(invited)
    assert invited.state == "cancelled"
    assert funnel(session, TODAY, TODAY).invited == 0


def test_arriving_writes_one_visit(session, invited):
    booked(session, invited)
    for _ in range(2):
        appointments.arrive(session, invited.id, at=SLOT, by="guide:a")
    [visit] = session.scalars(select(Visit)).all()
    assert (visit.visited_on, visit.appointment_id) == (TOMORROW, invited.id)
    assert session.get(ContactActivity, invited.contact_id).visited_on == TOMORROW
    assert not appointments.come(session, invited.contact_id, invited.store_id, at=SLOT)


def test_a_cancelled_one_cannot_arrive(session, invited):
    appointments.cancel(session, invited.id, "出差", by="guide:a", now=NOW)
    appointments.cancel(session, invited.id, "出差", by="guide:a", now=NOW)
    with pytest.raises(UserError, match="已取消"):
        appointments.arrive(session, invited.id, at=SLOT, by="guide:a")


def test_a_strong_wish_is_a_lead(session, invited):
    with pytest.raises(UserError, match="已邀约"):
        appointments.say_intent(session, invited.id, Intent.STRONG, now=NOW)
    appointments.arrive(session, invited.id, at=SLOT, by="guide:a")
    for _ in range(2):
        appointments.say_intent(session, invited.id, Intent.STRONG, now=SLOT)
    [lead] = session.scalars(select(Lead)).all()
    assert (lead.score, lead.guide_id) == (40, invited.guide_id)


def test_by_hand_there_is_one_live_appointment(session, make, guide):
    contact = make.contact(guide)
    first = appointments.by_hand(session, contact.id, guide.id, guide.store_id, NOW)
    again = appointments.by_hand(session, contact.id, guide.id, guide.store_id, NOW)
    assert first.id == again.id
    assert first.task_id is None


def test_the_funnel_counts_each_purchase_once(session, make, guide):
    step = step_of(session, kind="invite")
    people = [make.contact(guide) for _ in range(4)]
    for person in people:
        task_of(session, step, person, guide)
    appointments.invite_for_open(session, TODAY, NOW)
    rows = list(session.scalars(select(Appointment).order_by(Appointment.id)))
    old_buyer, new_buyer, looker, _ = people
    make.purchase(old_buyer, on=TODAY - timedelta(days=30))
    for row in rows[:3]:
        booked(session, row)
        appointments.arrive(session, row.id, at=SLOT, by="guide:a")
    appointments.say_intent(session, rows[0].id, Intent.SOME, now=SLOT)
    # The same customer came twice: her order belongs to the later visit.
    second = Appointment(
        contact_id=old_buyer.id,
        guide_id=guide.id,
        store_id=guide.store_id,
        state="arrived",
        slot_at=SLOT,
        arrived_at=at(TODAY + timedelta(days=3), 12),
        created_at=NOW,
    )
    session.add(second)
    make.purchase(old_buyer, on=TODAY + timedelta(days=5), amount_fen=300)
    make.purchase(new_buyer, on=TOMORROW, amount_fen=500, refunded_fen=100)
    make.purchase(new_buyer, on=TOMORROW + timedelta(days=15), amount_fen=900)
    make.purchase(looker, on=TOMORROW, amount_fen=800, refunded_fen=800)
    session.flush()

    assert funnel(session, TODAY, TODAY) == Funnel(
        invited=5, booked=4, arrived=4, intended=1, bought=2, new_buyers=1, money_fen=700
    )
    assert funnel(session, TODAY, TODAY, store_id=10**9).invited == 0
    assert funnel(session, TOMORROW, TOMORROW).invited == 0


def test_settling_many_takes_as_many_statements_as_one(session, make, guide, engine):
    def counted(people):
        for _ in range(people):
            row = Appointment(
                contact_id=make.contact(guide).id,
                guide_id=guide.id,
                store_id=guide.store_id,
                state="booked",
                slot_at=SLOT,
                slot_on=TOMORROW,
            )
            session.add(row)
        session.commit()
        with counting(engine) as seen:
            appointments.settle(session, TOMORROW + timedelta(days=1))
        return seen.count

    assert counted(1) == counted(30)
