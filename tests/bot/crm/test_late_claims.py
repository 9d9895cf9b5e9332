"""An earlier report that is heard late takes a number, and what came under it, where it belongs."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import func, select, text

from bot.crm import identity, intake, merge_desk, unmerging
from bot.crm.models import (
    AuditEntry,
    Cart,
    Contact,
    ContactActivity,
    ContactIdentity,
    Coupon,
    IdentityClaim,
    Member,
    OptOut,
    PointsChange,
    Purchase,
    TimelineEntry,
)
from bot.db import transaction
from tests.bot.crm.events import (
    KEY,
    NOW,
    accept,
    error_of,
    event,
    line,
    live_contacts,
    member,
    merged,
    purchase,
)
from tests.fixtures_db import counting
from tests.locks import wait_for_a_lock

FAMILY = {"mobile": "13800001234"}
ONE, OTHER = {"member_no": "M1"}, {"member_no": "M2"}


def whose(session, typed):
    session.expire_all()
    return identity.find(session, typed, secret_key=KEY)


def spent(session):
    """What was spent by whom, by the card each bears."""
    sums = (
        select(ContactIdentity.value, func.sum(Purchase.amount_fen))
        .join(Purchase, Purchase.contact_id == ContactIdentity.contact_id)
        .where(ContactIdentity.kind == "member_no")
        .group_by(ContactIdentity.value)
    )
    return dict(session.execute(sums).all())


def test_what_was_bought_under_a_familys_mobile_goes_to_who_was_told_with_it_first(session):
    accept(session, purchase("p1", "O1", 1_000, ONE | FAMILY, at=5))
    accept(session, purchase("p2", "O2", 2_000, FAMILY, at=6))
    assert spent(session) == {"M1": 3_000}
    accept(session, purchase("p0", "O0", 4_000, OTHER | FAMILY, at=1))
    assert spent(session) == {"M1": 1_000, "M2": 6_000}
    assert len(live_contacts(session)) == 2
    entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "identity_moved")).one()
    assert entry.object == f"contact:{whose(session, 'M2').id}"


def test_a_later_report_changes_nothing(session):
    accept(session, purchase("p1", "O1", 1_000, ONE | FAMILY, at=5))
    accept(session, purchase("p2", "O2", 2_000, OTHER | FAMILY, at=6))
    accept(session, purchase("p3", "O3", 4_000, FAMILY, at=7))
    assert spent(session) == {"M1": 5_000, "M2": 2_000}


def test_everything_that_came_under_the_number_goes_along(session):
    accept(
        session,
        event("visit", "v", ONE | FAMILY, at=5, store="S1", kind="到店"),
        event("cart", "c", FAMILY, at=6, cart_id="C", state="added", lines=[line()]),
        event("points", "q", FAMILY, at=6, delta=50, balance=50),
        event("coupon", "k", FAMILY, at=6, coupon_no="K", state="issued", template="券"),
        event("coupon", "u", FAMILY, at=7, coupon_no="K", state="redeemed"),
        event("opt_out", "o", FAMILY, at=6, channel="sms"),
        event("view", "w", FAMILY, at=6, material="求婚指南"),
    )
    accept(session, event("visit", "x", OTHER | FAMILY, at=1, store="S1", kind="到店"))
    hers = whose(session, "M2").id
    for owner in (
        Cart.contact_id,
        PointsChange.contact_id,
        Coupon.contact_id,
        Coupon.redeemed_contact_id,
        OptOut.contact_id,
    ):
        assert session.scalars(select(owner)).all() == [hers]
    assert session.get(Member, hers).points == 50
    assert session.get(Member, whose(session, "M1").id) is None
    assert session.get(ContactActivity, hers).viewed_on is not None
    told = select(TimelineEntry.kind).where(TimelineEntry.contact_id != hers)
    assert session.scalars(told).all() == ["visited"]


def test_member_data_stays_with_the_card_when_the_account_beside_it_goes(session):
    accept(session, member("m1", "M1", at=5, mall_id="1", name="王芳", level="金卡"))
    accept(session, event("points", "q1", {"mall_id": "1"}, at=6, delta=9, balance=9))
    accept(session, member("m2", "M2", at=1, mall_id="1", name="李娜"))
    data = {one.member_no: (one.name, one.level, one.points) for one in _members(session)}
    assert data == {"M1": ("王芳", "金卡", None), "M2": ("李娜", None, 9)}


def _members(session):
    session.expire_all()
    return session.scalars(select(Member)).all()


def test_a_number_that_is_freed_joins_whom_it_was_told_with_next(session):
    """The mobile leaves M1 for M2; the account that followed it to M1 follows it to M2."""
    accept(session, purchase("p1", "O1", 1_000, ONE | FAMILY, at=5))
    accept(session, purchase("p2", "O2", 2_000, FAMILY | {"mall_id": "1"}, at=6))
    accept(session, purchase("p3", "O3", 4_000, {"member_no": "M3", "mall_id": "1"}, at=7))
    assert spent(session) == {"M1": 3_000, "M3": 4_000}
    accept(session, purchase("p0", "O0", 8_000, OTHER | FAMILY, at=1))
    assert spent(session) == {"M1": 1_000, "M2": 10_000, "M3": 4_000}


def test_a_customer_of_wecom_keeps_her_row_whatever_leaves_her(session):
    wecom = {"external_userid": "wm1"}
    accept(session, purchase("p1", "O1", 1_000, wecom | FAMILY, at=5))
    accept(session, purchase("p2", "O2", 2_000, OTHER | {"external_userid": "wm2"}, at=4))
    accept(session, purchase("p3", "O3", 4_000, wecom | ONE, at=6))
    known = whose(session, "wm1").id
    accept(session, purchase("p0", "O0", 8_000, OTHER | FAMILY, at=1))
    assert whose(session, "wm1").id == whose(session, "M1").id == known
    assert whose(session, "M2").id != known
    assert spent(session) == {"M1": 5_000, "M2": 10_000}


def test_cards_made_one_late_let_in_what_was_left_out_while_they_were_two(session):
    """Both are told of another customer of WeCom, so the cards themselves stay with two people."""
    accept(session, purchase("p1", "O1", 1_000, ONE | FAMILY, at=1))
    accept(session, purchase("p2", "O2", 2_000, OTHER | FAMILY, at=2))
    accept(session, purchase("p3", "O3", 4_000, ONE | {"external_userid": "wm1"}, at=3))
    accept(session, purchase("p4", "O4", 8_000, OTHER | {"external_userid": "wm2"}, at=4))
    assert whose(session, "M1").id != whose(session, "M2").id
    accept(session, merged("x", "M2", "M1", at=9))
    assert whose(session, "M1").id == whose(session, "M2").id == whose(session, "wm1").id
    assert whose(session, "wm2").id != whose(session, "wm1").id


def test_a_pair_that_is_told_again_writes_nothing_and_an_earlier_report_lowers_it(session):
    accept(session, purchase("p1", "O1", 1, ONE | FAMILY, at=5))
    look = text("SELECT ctid, xmin, said_at FROM identity_claim")
    before = session.execute(look).one()
    accept(session, purchase("p2", "O2", 1, ONE | FAMILY, at=6))
    assert session.execute(look).one() == before
    accept(session, purchase("p3", "O3", 1, ONE | FAMILY, at=1))
    assert session.execute(look).one().said_at < before.said_at


def test_a_refused_report_leaves_none_of_its_numbers_together(session):
    accept(session, member("m1", "M1", at=1) | {"who": {"external_userid": "wm1"}})
    wrong = member("m2", "M1", at=2) | {"who": {"external_userid": "wm2", "mobile": "13800001234"}}
    assert "member_no" in error_of(session, wrong)
    assert whose(session, "wm2").id != whose(session, FAMILY["mobile"]).id
    assert len(_claims(session)) == 1


def _claims(session):
    session.expire_all()
    return session.scalars(select(IdentityClaim)).all()


def test_numbers_told_since_a_merge_go_back_with_whom_they_were_told(session):
    wecom = {"external_userid": "wm1"}
    accept(session, purchase("p1", "O1", 1_000, wecom), purchase("p2", "O2", 2_000, ONE))
    one, other = live_contacts(session)
    made = merge_desk.merge(session, one, other, actor="operator:test", at=NOW)
    accept(session, purchase("p3", "O3", 4_000, ONE | FAMILY, at=3))
    accept(session, purchase("p4", "O4", 8_000, FAMILY, at=4))
    unmerging.unmerge(session, made.merge_id, at=NOW)
    assert whose(session, FAMILY["mobile"]).id == whose(session, "M1").id
    assert spent(session) == {"M1": 14_000}


def test_what_a_person_made_one_stays_one_when_claims_are_gone_through_again(session):
    accept(session, purchase("p1", "O1", 1_000, ONE | FAMILY, at=5))
    accept(session, purchase("p2", "O2", 2_000, {"external_userid": "wm1"}, at=5))
    pair = whose(session, "M1"), whose(session, "wm1")
    merge_desk.merge(session, *pair, actor="operator:test", at=NOW)
    accept(session, purchase("p0", "O0", 4_000, OTHER | FAMILY, at=1))
    assert whose(session, "M1").id == whose(session, "wm1").id
    assert spent(session) == {"M1": 3_000, "M2": 4_000}


@pytest.mark.parametrize("is_late", [False, True])
def test_contradictions_take_as_many_statements_for_a_hundred_families_as_for_one(
    engine, session, is_late
):
    def families(n, first):
        """Each with a card that has the mobile and another that is told with it."""
        told = []
        for i in range(n):
            mobile = {"mobile": f"138{n:04}{i:04}"}
            cards = [{"member_no": f"{name}{n}-{i}"} for name in "AB"]
            told.append(purchase(f"a{n}-{i}", f"A{n}-{i}", 1, cards[0] | mobile, at=3))
            late = 1 if is_late else 5
            told.append(purchase(f"b{n}-{i}", f"B{n}-{i}", 1, cards[1] | mobile, at=late))
        return told[::2] if first else told[1::2]

    counts = []
    for n in (1, 100):
        accept(session, *families(n, True))
        with counting(engine) as ran:
            accept(session, *families(n, False))
        counts.append(ran.count)
    moved = session.scalar(
        select(func.count()).select_from(AuditEntry).where(AuditEntry.action == "identity_moved")
    )
    assert moved == (101 if is_late else 0)
    assert counts[0] == counts[1] < (60 if is_late else 25)


def test_the_next_member_of_a_shared_number_does_not_look_at_all_who_share_it(engine, session):
    """Thousands write the number of the shop; one more, told in order, asks for her own only."""
    crowd = [
        purchase(f"p{n}", f"O{n}", 1, {"member_no": f"C{n}"} | FAMILY, at=n) for n in range(400)
    ]
    accept(session, *crowd)
    with counting(engine) as ran:
        accept(session, purchase("p", "O", 1, ONE | FAMILY, at=500))
    assert not any("RECURSIVE reached (id)" in statement for statement in ran.texts)
    with counting(engine) as ran:
        accept(session, purchase("late", "L", 1, OTHER | FAMILY, at=200))
    assert not any("RECURSIVE reached (id)" in statement for statement in ran.texts)
    assert len(live_contacts(session)) == 402


def test_two_batches_that_claim_one_number_at_once_agree_with_the_order_of_their_events(sessions):
    with transaction(sessions) as session:
        accept(session, purchase("p", "O", 1_000, FAMILY, at=9))
    held = threading.Event()

    def tell_late():
        held.wait(10)
        with transaction(sessions) as late:
            accept(late, purchase("p1", "O1", 2_000, ONE | FAMILY, at=1))

    teller = threading.Thread(target=tell_late)
    teller.start()
    with transaction(sessions) as session:
        accept(session, purchase("p2", "O2", 4_000, OTHER | FAMILY, at=5))
        held.set()
        # It has seen the mobile without an owner, and waits for it.
        wait_for_a_lock(sessions)
    teller.join()
    with sessions() as session:
        assert spent(session) == {"M1": 3_000, "M2": 4_000}
        assert len(_claims(session)) == 2


def test_many_batches_of_one_family_at_once_lose_no_claim_and_end_as_one_after_another(sessions):
    told = [
        purchase(f"e{n}", f"O{n}", 1 << n, {"member_no": f"M{n % 3}"} | mobile, at=(n * 7) % 12)
        for n, mobile in enumerate([FAMILY, {"mobile": "13800005678"}, {"mall_id": "1"}] * 4)
    ]
    told += [purchase(f"f{n}", f"P{n}", 1, FAMILY | {"mall_id": "1"}, at=n) for n in range(3)]
    failed = []

    def tell(part):
        try:
            for one in part:
                with transaction(sessions) as session:
                    result = intake.receive(session, [one], now=NOW, secret_key=KEY)
                    assert result.accepted == 1
        except Exception as error:
            failed.append(error)

    tellers = [threading.Thread(target=tell, args=(told[n::3],)) for n in range(3)]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join(60)
    assert failed == []
    with sessions() as session:
        at_once = _owners(session), len(_claims(session))
    with sessions() as session:
        session.execute(text("TRUNCATE contact, contact_identity, source_event CASCADE"))
        for one in sorted(told, key=lambda one: (one["occurred_at"], one["id"])):
            accept(session, one)
        assert (_owners(session), len(_claims(session))) == at_once
        session.rollback()


def _owners(session):
    """The numbers of each contact with the orders under them."""
    session.expire_all()
    found = {}
    for contact in session.scalars(select(Contact).where(Contact.merged_into_id.is_(None))):
        numbers = session.scalars(
            select(ContactIdentity.value).where(ContactIdentity.contact_id == contact.id)
        )
        orders = session.scalars(select(Purchase.order_no).where(Purchase.contact_id == contact.id))
        found[tuple(sorted(numbers))] = sorted(orders)
    return found
