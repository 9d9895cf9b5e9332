"""Two whom a person has parted stay two, and each keeps what is hers, whatever tills say next."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select, text

from bot.crm import merge_desk, unmerging
from bot.crm.models import AuditEntry, Contact, ContactIdentity, ContactMerge, Member, Purchase
from bot.db import transaction
from tests.bot.crm.events import (
    NOW,
    accept,
    event,
    live_contacts,
    member,
    merged,
    purchase,
    rows,
    the,
)
from tests.locks import wait_for_a_lock

CARD, MOBILE = {"member_no": "M1"}, {"mobile": "13800001234"}


def owner_of(session, order_no):
    session.expire_all()
    return session.scalars(select(Purchase.contact_id).where(Purchase.order_no == order_no)).one()


@pytest.fixture
def parted(session):
    """A family's number made two people one; somebody undid it."""
    accept(session, purchase("p1", "O1", who=CARD), purchase("p2", "O2", who=MOBILE))
    accept(session, purchase("p3", "O3", who=CARD | MOBILE))
    unmerging.unmerge(session, the(session, ContactMerge).id, at=NOW)
    return {number: owner_of(session, number) for number in ("O1", "O2")}


def test_the_next_order_does_not_make_one_of_two_whom_a_person_parted(session, parted):
    accept(session, purchase("p4", "O4", who=CARD | MOBILE))
    accept(session, purchase("p5", "O5", who=MOBILE), purchase("p6", "O6", who=CARD))
    assert len(live_contacts(session)) == 2
    assert owner_of(session, "O4") == owner_of(session, "O6") == parted["O1"]
    assert owner_of(session, "O5") == parted["O2"]


def test_two_who_were_parted_do_not_meet_over_a_new_number_either(session, parted):
    accept(
        session,
        purchase("p4", "O4", who=CARD | {"openid": "o1"}),
        purchase("p5", "O5", who=MOBILE | {"openid": "o1"}),
    )
    assert len(live_contacts(session)) == 2


def test_they_stay_two_when_one_of_them_was_merged_with_somebody_since(session, parted):
    accept(session, event("visit", "v1", {"external_userid": "wm1"}, store="S1", kind="到店"))
    accept(
        session, event("visit", "v2", CARD | {"external_userid": "wm1"}, store="S1", kind="到店")
    )
    accept(session, purchase("p4", "O4", who=CARD | MOBILE))
    assert owner_of(session, "O4") == owner_of(session, "O1") != owner_of(session, "O2")


def test_a_person_can_still_say_that_they_are_one_after_all(session, parted):
    one, other = live_contacts(session)
    merge_desk.merge(session, one, other, actor="operator:test", at=NOW)
    accept(session, purchase("p4", "O4", who=CARD | MOBILE))
    assert len(live_contacts(session)) == 1


def test_a_till_that_merges_parted_cards_again_asks_for_a_person(session):
    accept(session, purchase("p1", "O1", who={"member_no": "A"}))
    accept(session, purchase("p2", "O2", who={"member_no": "B"}))
    accept(session, merged("x1", "B", "A"))
    unmerging.unmerge(session, the(session, ContactMerge).id, at=NOW)
    accept(session, merged("x2", "B", "A", at=1))
    assert len(live_contacts(session)) == 2
    assert the(session, AuditEntry).action == "member_merge_needs_person"


def test_undoing_the_last_of_a_chain_of_merges_takes_the_whole_chain_along(session):
    for number in "ABCD":
        accept(session, purchase(f"p{number}", f"O{number}", who={"member_no": number}))
    ids = {one.value: one.contact_id for one in rows(session, ContactIdentity)}
    for kept, gone in ("CD", "BC", "AB"):
        pair = [session.get_one(Contact, ids[one]) for one in (kept, gone)]
        made = merge_desk.merge(session, *pair, actor="operator:test", at=NOW)
        session.expire_all()
    unmerging.unmerge(session, made.merge_id, at=NOW)
    session.expire_all()
    assert [session.get_one(Contact, ids[one]).merged_into_id for one in "ABCD"] == [
        None,
        None,
        ids["B"],
        ids["B"],
    ]


def test_a_mobile_goes_back_to_its_member_though_another_source_uses_the_same_event_id(session):
    wecom = {"external_userid": "wm1"}
    accept(session, purchase("p1", who=wecom), member("m1", name="王芳"))
    one, other = live_contacts(session)
    made = merge_desk.merge(session, one, other, actor="operator:test", at=NOW)
    accept(session, member("77", mobile="13800001234", at=3))
    accept(session, event("points", "77", wecom, at=4, delta=5, balance=5) | {"source": "mall"})
    unmerging.unmerge(session, made.merge_id, at=NOW)
    session.expire_all()
    sealed = {m.member_no: m.mobile_sealed is not None for m in session.scalars(select(Member))}
    assert sealed == {"M1": True, None: False}


def test_a_number_written_down_for_a_contact_that_was_merged_meanwhile_follows_it(session):
    accept(session, purchase("p1", who=CARD), purchase("p2", "O2", who={"member_no": "M2"}))
    one, other = live_contacts(session)
    made = merge_desk.merge(session, one, other, actor="operator:test", at=NOW)
    # What a batch leaves that looked up the contact before the merge and wrote after it.
    session.execute(
        text("INSERT INTO contact_identity (kind, value, contact_id) VALUES ('openid', 'o1', :id)"),
        {"id": made.gone},
    )
    accept(session, purchase("p3", "O3", who={"openid": "o1"}))
    assert {one.contact_id for one in rows(session, ContactIdentity)} == {made.kept}


def test_an_order_that_waited_while_a_merge_was_undone_goes_to_the_right_one_of_the_two(sessions):
    with transaction(sessions) as session:
        accept(session, purchase("p1", "O1", who=CARD), purchase("p2", "O2", who=MOBILE))
        accept(session, purchase("p3", "O3", who=CARD | MOBILE))
        merge_id = the(session, ContactMerge).id
    told = purchase("p4", "O4", who=MOBILE)

    def tell():
        with transaction(sessions) as late:
            accept(late, told)

    with transaction(sessions) as session:
        unmerging.unmerge(session, merge_id, at=NOW)
        teller = threading.Thread(target=tell)
        teller.start()
        # It has looked up whose number that is, and waits for the contact.
        wait_for_a_lock(sessions)
    teller.join()
    with sessions() as session:
        assert owner_of(session, "O4") == owner_of(session, "O2") != owner_of(session, "O1")
