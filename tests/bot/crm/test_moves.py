"""Orders moved to another guide or store: a move holds against the order, whichever came first."""

from __future__ import annotations

from itertools import permutations

import pytest
from sqlalchemy import delete, select, text

from bot.crm import directory, purchase_moves
from bot.crm.models import ChangedContact, Guide, Purchase, PurchaseMove, TimelineEntry
from bot.wecom.details import Member
from tests.bot.crm.events import accept, error_of, event, purchase, rows, the
from tests.factories import Make


def move(id, at=0, who=None, **given):
    return event("purchase_moved", id, who, at=at, **({"order_no": "O1"} | given))


@pytest.fixture
def places(session):
    make = Make(session)
    first, second = make.store(code="S1"), make.store(code="S2")
    guides = [make.guide(first, userid="Wang"), make.guide(second, userid="li")]
    return [first.id, second.id, *(guide.id for guide in guides)]


def test_the_newest_move_of_each_holds_in_every_order(session, places):
    first, second, wang, li = places
    told = [
        purchase("p1", guide="wang", store="S1", at=5),
        purchase("p2", guide="wang", store="S1", at=9),
        move("x1", 1, guide="li"),
        move("x2", 2, store="S2"),
    ]
    assert wang != li
    assert first != second
    for order in permutations(told):
        before = session.begin_nested()
        for one in order:
            accept(session, one)
        found = the(session, Purchase)
        assert (found.guide_id, found.store_id) == (li, second)
        assert (found.guide_userid, found.store_code) == ("wang", "S1")
        before.rollback()


def test_a_move_of_one_leaves_the_other_as_the_order_said(session, places):
    _, second, wang, _ = places
    accept(session, purchase(guide="wang", store="S1"), move("x1", 1, store="S2"))
    found = the(session, Purchase)
    assert (found.guide_id, found.store_id) == (wang, second)


def test_whoever_is_loaded_later_finds_the_order(session):
    accept(session, purchase(guide="wang", store="S1"), move("x1", 1, guide="NEW", store="S9"))
    assert (the(session, Purchase).guide_id, the(session, Purchase).store_id) == (None, None)
    make = Make(session)
    make.guide(make.store(code="S1"), userid="wang")
    assert (purchase_moves.adopt_stores(session), purchase_moves.adopt_guides(session)) == (0, 0)
    guide = make.guide(make.store(code="S9"), userid="new")
    assert (purchase_moves.adopt_stores(session), purchase_moves.adopt_guides(session)) == (1, 1)
    found = the(session, Purchase)
    assert (found.guide_id, found.store_id) == (guide.id, guide.store_id)


def test_the_story_tells_of_a_move_with_the_names_people_use(session):
    make = Make(session)
    make.guide(make.store(code="S2", name="静安店"), userid="Li", name="李丽")
    told = [move("x1", 1, guide="li", store="S2"), move("x2", 2, store="S9")]
    accept(session, purchase(), *told)
    query = select(TimelineEntry.text).where(TimelineEntry.kind == "purchase_moved")
    assert session.scalars(query.order_by(TimelineEntry.occurred_at)).all() == [
        "订单 O1 的归属改为：导购 李丽，门店 静安店",
        "订单 O1 的归属改为：门店 S9",
    ]


def test_a_moves_buyer_is_looked_at_again(session, places):
    accept(session, purchase())
    buyer = the(session, Purchase).contact_id
    session.execute(text("DELETE FROM changed_contact"))
    accept(session, move("x1", 1, {"member_no": "M2"}, guide="li"))
    marked = session.scalars(text("SELECT contact_id FROM changed_contact")).all()
    assert buyer in marked


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({}, "要写新的 guide 或 store。"),
        ({"order_no": None, "guide": "li"}, "order_no 不能为空。"),
        ({"guide": 5}, "guide 要是文字。"),
    ],
)
def test_a_malformed_move_is_refused_with_one_sentence(session, wrong, sentence):
    assert error_of(session, move("x1") | wrong) == sentence
    assert rows(session, PurchaseMove) == []


def test_a_guide_whom_only_wecom_tells_of_gets_the_orders_that_came_before_her(session):
    accept(session, purchase(guide="LiSi"), purchase("p2", "O2"))
    session.execute(delete(ChangedContact))
    member = Member("lisi", "李四", (), 0, (), "", 1)
    assert directory.keep(session, [], [member]) == 1
    guide = the(session, Guide)
    owners = {one.order_no: one.guide_id for one in rows(session, Purchase)}
    assert owners == {"O1": guide.id, "O2": None}
    buyer = session.scalars(select(Purchase.contact_id).distinct()).one()
    assert the(session, ChangedContact).contact_id == buyer
