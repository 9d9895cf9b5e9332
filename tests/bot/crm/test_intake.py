"""Intake: once each, in any order, to the fen; one bad event hurts no other."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from sqlalchemy import func, select, text

from bot.crm import identity, intake, mobiles, purchase_moves, unmerging
from bot.crm.contact_details import apply_detail
from bot.crm.models import (
    Contact,
    ContactIdentity,
    ContactMerge,
    Member,
    Purchase,
    PurchaseLine,
    Refund,
    SourceEvent,
    TimelineEntry,
)
from bot.db import transaction
from tests.bot.crm.test_roster import add, detail, follow
from tests.factories import Make
from tests.fixtures_db import counting

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
KEY = "a secret key of the tests"


def event(kind, id, who=None, *, at=0, **given):
    moment = NOW - timedelta(days=30) + timedelta(minutes=at)
    return {
        "id": id,
        "source": "pos",
        "type": kind,
        "occurred_at": moment.isoformat(),
        "who": who or {"member_no": "M1"},
        **given,
    }


def purchase(id="e1", order_no="O1", amount=128_000, who=None, **given):
    lines = [{"name": "对戒", "category": "对戒", "quantity": 1, "amount_fen": amount}]
    return event(
        "purchase",
        id,
        who,
        **({"order_no": order_no, "lines": lines, "amount_fen": amount} | given),
    )


def refund(id="r1", order_no="O1", amount=28_000, **given):
    return event("refund", id, order_no=order_no, amount_fen=amount, **given)


def member(id="m1", member_no="M1", **given):
    return event("member", id, {"member_no": member_no}, member_no=member_no, **given)


def receive(session, *events):
    return intake.receive(session, list(events), now=NOW, secret_key=KEY)


def the(session, model):
    session.expire_all()
    return session.scalars(select(model)).one()


def live_contacts(session):
    session.expire_all()
    return session.scalars(
        select(Contact).where(Contact.merged_into_id.is_(None)).order_by(Contact.id)
    ).all()


def test_every_order_of_arrival_gives_the_same_totals_and_member(session):
    events = [
        purchase(),
        refund(),
        member("m1", name="王芳", level="银卡", points=10, at=1),
        member("m2", level="金卡", mobile="13800001234", at=2),
        purchase("e2", "O2", 50_000, who={"mobile": "+86 138-0000-1234"}, at=3),
    ]
    seen = set()
    for order in permutations(events):
        for one in order:
            assert receive(session, one).accepted == 1
        assert receive(session, *order).duplicate == len(order)
        (person,) = live_contacts(session)
        row = the(session, Member)
        sums = session.execute(
            select(func.sum(Purchase.amount_fen), func.sum(Purchase.refunded_fen)).where(
                Purchase.contact_id == person.id
            )
        ).one()
        seen.add((*sums, row.contact_id == person.id, row.name, row.level, row.points))
        session.rollback()
    assert seen == {(178_000, 28_000, True, "王芳", "金卡", 10)}


def test_one_batch_and_single_events_end_the_same(session):
    result = receive(session, refund(), purchase(), member(level="金卡"), purchase())
    assert (result.accepted, result.duplicate, result.rejected) == (3, 1, [])
    order = the(session, Purchase)
    assert (order.amount_fen, order.refunded_fen) == (128_000, 28_000)
    line = the(session, PurchaseLine)
    assert (line.name, line.amount_fen) == ("对戒", 128_000)
    told = session.scalars(select(TimelineEntry.text).order_by(TimelineEntry.kind)).all()
    assert told == ["购买 对戒，¥1,280", "退款 ¥280"]


def test_two_events_about_one_order_are_one_order_and_the_later_one_holds(session):
    later = purchase("e2", "O1", 90_000, at=5)
    for order in ([purchase(), later], [later, purchase()]):
        for one in order:
            receive(session, one)
        assert the(session, Purchase).amount_fen == 90_000
        assert the(session, PurchaseLine).amount_fen == 90_000
        session.rollback()


BAD = [
    ("no object", 7, "对象"),
    ("no id", purchase() | {"id": ""}, "id"),
    ("a number for an id", purchase() | {"id": 5}, "id"),
    ("a long id", purchase() | {"id": "x" * 129}, "id"),
    ("unknown type", purchase() | {"type": "wedding"}, "wedding"),
    ("an unknown type", purchase() | {"type": "exchange"}, "exchange"),
    ("naive time", purchase() | {"occurred_at": "2026-11-01T10:00:00"}, "occurred_at"),
    ("the future", purchase() | {"occurred_at": "2027-01-01T10:00:00+08:00"}, "occurred_at"),
    ("nobody", purchase() | {"who": {}}, "who"),
    ("a list for who", purchase() | {"who": []}, "who"),
    ("no mobile", purchase(who={"mobile": "12345"}), "mobile"),
    ("a float", purchase() | {"amount_fen": 12.5}, "amount_fen"),
    ("a truth", purchase() | {"amount_fen": True}, "amount_fen"),
    ("negative", purchase() | {"amount_fen": -1}, "amount_fen"),
    ("too much", purchase() | {"amount_fen": 10**13}, "amount_fen"),
    ("NUL", purchase() | {"store": "S\x001"}, "无法保存"),
    ("half a character", purchase() | {"extra": "\ud800"}, "无法保存"),
    ("deep", purchase() | {"extra": [[[[[[[[[[]]]]]]]]]]}, "层级"),
    ("not finite", purchase() | {"extra": float("inf")}, "数字"),
    ("large", purchase() | {"extra": "长" * 30_000}, "64 KB"),
    ("a bad line", purchase() | {"lines": [{"name": "戒指", "amount_fen": "1"}]}, "第 1 行"),
    ("a line below any", purchase() | {"lines": [{"name": "折", "amount_fen": -(10**13)}]}, "第 1"),
    ("many lines", purchase() | {"lines": [{}] * 201}, "lines"),
    ("no day", member(birthday="2025-02-29"), "birthday"),
    ("a word for true", member(birthday="05-20", birthday_is_lunar="yes"), "birthday_is_lunar"),
    ("half a place", member(home_latitude=31.2), "home_latitude"),
    ("two numbers", member() | {"who": {"member_no": "M9"}}, "member_no"),
]


@pytest.mark.parametrize(("bad", "named"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_event_gets_one_sentence_and_hurts_no_other(session, bad, named):
    result = receive(session, purchase("good-1", "O8"), bad, purchase("good-2", "O9"))
    assert result.accepted == 2
    (rejection,) = result.rejected
    assert rejection.index == 1
    assert named in rejection.error
    assert rejection.error.endswith("。")
    assert session.scalar(select(func.count()).select_from(Purchase)) == 2


def test_half_a_character_in_an_id_is_rejected_and_can_be_sent_back(session):
    bad = purchase() | {"id": "e\ud800\x00"}
    result = receive(session, purchase("good", "O8"), bad)
    assert result.accepted == 1
    (rejection,) = result.rejected
    assert rejection.id == "e\ufffd\ufffd"
    assert json.dumps([rejection.id, rejection.error], ensure_ascii=False).encode()


def test_a_discount_is_a_line_below_zero_and_lines_need_not_add_up(session):
    lines = [
        {"name": "对戒", "category": "对戒", "amount_fen": 100_000},
        {"name": "会员折扣", "amount_fen": -12_000},
    ]
    assert receive(session, purchase(amount=85_000, lines=lines)).rejected == []
    assert the(session, Purchase).amount_fen == 85_000
    kept = session.scalars(select(PurchaseLine.amount_fen).order_by(PurchaseLine.line_no)).all()
    assert kept == [100_000, -12_000]


def test_a_refund_larger_than_the_order_leaves_nothing_and_not_less(session):
    events = [purchase(), refund("r1", amount=100_000), refund("r2", amount=100_000, at=1)]
    for order in permutations(events):
        for one in order:
            assert receive(session, one).accepted == 1
        row = the(session, Purchase)
        assert (row.amount_fen, row.refunded_fen) == (128_000, 128_000)
        assert sorted(session.scalars(select(Refund.amount_fen))) == [100_000, 100_000]
        session.rollback()


def test_a_corrected_order_shows_the_whole_refund_again(session):
    receive(session, purchase(amount=50_000), refund(amount=80_000))
    assert the(session, Purchase).refunded_fen == 50_000
    receive(session, purchase("e2", amount=90_000, at=5))
    assert the(session, Purchase).refunded_fen == 80_000


def test_the_stored_event_holds_no_mobile(session):
    receive(session, member(mobile="13800001234") | {"who": {"mobile": "13800001234"}})
    assert "1380000" not in str(the(session, SourceEvent).body)
    row = the(session, Member)
    assert b"1380000" not in row.mobile_sealed
    assert mobiles.open_mobile(row.mobile_sealed, KEY) == "13800001234"
    assert mobiles.mask_mobile("13800001234") == "138****1234"
    values = session.scalars(select(ContactIdentity.value)).all()
    assert not any("1380000" in value for value in values)


def test_a_member_number_of_somebody_else_is_refused_and_may_be_sent_again(session):
    receive(session, member("m1", "M1") | {"who": {"external_userid": "wm1"}})
    wrong = member("m2", "M1") | {"who": {"external_userid": "wm2"}}
    (rejection,) = receive(session, wrong).rejected
    assert "member_no" in rejection.error
    right = member("m2", "M2") | {"who": {"external_userid": "wm2"}}
    assert receive(session, right).accepted == 1


def test_a_familys_mobile_does_not_make_two_members_one(session):
    receive(session, member("m1", "M1", mobile="13800001234"))
    receive(session, member("m2", "M2", mobile="13800001234"))
    assert len(live_contacts(session)) == 2


def test_an_order_without_a_known_store_gets_it_later(session):
    receive(session, purchase(store="S77"))
    store = Make(session).store(code="S77")
    assert purchase_moves.adopt_stores(session) == 1
    assert the(session, Purchase).store_id == store.id


def test_a_member_meets_the_guide_and_everything_is_counted_once(session):
    receive(session, member(mobile="13800001234", level="金卡"), purchase())
    add(session, 0)
    reading = detail("wm1", follow(n=0, remark_mobiles=("138 0000 1234", "call me")))
    for _ in range(2):
        apply_detail(session, reading, NOW, secret_key=KEY)
    (person,) = live_contacts(session)
    assert person.external_userid == "wm1"
    assert the(session, Purchase).contact_id == person.id
    assert the(session, Member).contact_id == person.id
    trail = the(session, ContactMerge)
    assert trail.kept_contact_id == person.id
    receive(session, refund(), purchase("e3", "O3", 1))
    total = session.scalar(
        select(func.sum(Purchase.amount_fen - Purchase.refunded_fen)).where(
            Purchase.contact_id == person.id
        )
    )
    assert total == 100_001

    unmerging.unmerge(session, trail.id, at=NOW)
    kept, gone = (session.get(Contact, one) for one in (person.id, trail.gone_contact_id))
    session.expire_all()
    assert gone.merged_into_id is None
    owners = set(session.scalars(select(Purchase.contact_id)))
    assert owners == {gone.id}
    assert the(session, Member).contact_id == gone.id
    assert kept.external_userid == "wm1"
    assert receive(session, purchase("e4", "O4")).accepted == 1
    assert session.scalar(select(Purchase.contact_id).where(Purchase.order_no == "O4")) == gone.id


def test_a_unionid_joins_the_mall_with_wecom(session):
    receive(session, purchase(who={"unionid": "U1"}))
    add(session, 0)
    apply_detail(session, detail("wm1", follow(n=0), unionid="U1"), NOW, secret_key=KEY)
    (person,) = live_contacts(session)
    assert (person.external_userid, person.unionid) == ("wm1", "U1")
    assert the(session, Purchase).contact_id == person.id


def test_a_contact_is_found_by_whatever_is_typed(session):
    receive(session, member(mobile="13800001234") | {"who": {"external_userid": "wm1"}})
    (person,) = live_contacts(session)
    for wanted in ("wm1", "M1", "138-0000-1234", str(person.id)):
        assert identity.find(session, wanted, secret_key=KEY) is person
    assert identity.find(session, "nobody", secret_key=KEY) is None


def test_a_thousand_events_take_as_many_statements_as_ten(engine, session):
    def batch(n):
        out = []
        for i in range(n):
            who = {"member_no": f"M{n}-{i}"}
            out.append(
                (
                    purchase(f"e{n}-{i}", f"O{n}-{i}", who=who),
                    refund(f"r{n}-{i}", f"O{n}-{i}", who=who),
                    member(f"m{n}-{i}", f"M{n}-{i}", mobile=f"138{n:04}{i:04}"),
                )[i % 3]
            )
        return out

    counts = []
    for n in (10, 1000):
        with counting(engine) as ran:
            assert receive(session, *batch(n)).accepted == n
        counts.append(ran.count)
    assert counts[0] == counts[1] < 30


def test_two_batches_with_the_same_new_people_at_once_make_each_person_once(sessions):
    people = 60
    ready = threading.Barrier(4)
    failures = []

    def send(number):
        batch = [
            purchase(f"{number}-{i}", f"O{number}-{i}", 100, who={"member_no": f"M{i}"})
            for i in range(people)
        ]
        batch += [member(f"{number}-m{i}", f"M{i}", mobile=f"1380000{i:04}") for i in range(people)]
        if number % 2:
            batch.reverse()
        ready.wait()
        try:
            with transaction(sessions) as session:
                assert receive(session, *batch).accepted == 2 * people
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    with sessions() as session:
        assert len(live_contacts(session)) == people
        sums = session.execute(
            text("SELECT count(*), sum(amount_fen), count(DISTINCT contact_id) FROM purchase")
        ).one()
        assert tuple(sums) == (4 * people, 400 * people, people)
