"""Purchases, refunds and members from outside: kept once, in any order, for the right person."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import select

from bot.crm.models import Contact, Member, Purchase, SourceEvent, TimelineEntry
from tagging.models import ContactScore
from tests.scenarios.packs import pack
from tests.world import EVENTS_SECRET, World

AT = "2030-03-04T15:00:00+08:00"


def _event(number: int, kind: str, **given: Any) -> dict[str, Any]:
    return {
        "id": f"e{number}",
        "source": "pos",
        "type": kind,
        "occurred_at": AT,
        "who": {"external_userid": "wmHanMei"},
        **given,
    }


def _purchase(number: int = 1, amount_fen: int = 1_280_000, **given: Any) -> dict[str, Any]:
    line = {"sku": "K1", "name": "星芒对戒", "category": "对戒", "quantity": 1}
    return _event(
        number,
        "purchase",
        order_no=f"O{number}",
        store="SH001",
        channel="store",
        lines=[{**line, "amount_fen": amount_fen}],
        amount_fen=amount_fen,
        **given,
    )


def _refund(number: int, order: int, amount_fen: int) -> dict[str, Any]:
    return _event(number, "refund", order_no=f"O{order}", amount_fen=amount_fen)


def _member(number: int, **given: Any) -> dict[str, Any]:
    return _event(number, "member", **{"member_no": "M1", **given})


def _state(world: World) -> Any:
    """Everything about the customer that must not depend on the order of arrival."""
    scores = world.rows(
        select(
            ContactScore.purchase_count,
            ContactScore.total_spend_fen,
            ContactScore.stage,
            ContactScore.last_purchased_on,
        )
        .join(Contact, Contact.id == ContactScore.contact_id)
        .where(Contact.external_userid == "wmHanMei")
    )
    members = world.rows(select(Member.member_no, Member.level, Member.points))
    orders = world.rows(
        select(Purchase.order_no, Purchase.amount_fen, Purchase.refunded_fen).order_by(
            Purchase.order_no
        )
    )
    return scores, members, orders


@pytest.fixture
def friends(world: World) -> World:
    world.load(pack())
    world.customer.adds()
    world.settle()
    return world


def test_a_purchase_becomes_a_fact_a_line_of_the_story_and_a_score(friends: World) -> None:
    friends.customer.buys(amount_fen=1_280_000)
    [score] = friends.scalars(select(ContactScore))
    assert (score.purchase_count, score.total_spend_fen) == (1, 1_280_000)
    [line] = friends.scalars(select(TimelineEntry.text).where(TimelineEntry.kind == "purchased"))
    assert "星芒对戒" in line


def test_the_same_event_twice_is_one(friends: World) -> None:
    first = friends.post_events([_purchase()])
    again = friends.post_events([_purchase(), _purchase()])
    assert first == (200, {"accepted": 1, "duplicate": 0, "rejected": []})
    assert again == (200, {"accepted": 0, "duplicate": 2, "rejected": []})
    assert _state(friends)[2] == [("O1", 1_280_000, 0)]


def test_one_bad_event_never_rejects_the_others(friends: World) -> None:
    bad = _purchase(2) | {"amount_fen": "12"}
    status, answer = friends.post_events([_purchase(1), bad, "?", _member(3)])
    assert status == 200
    assert answer["accepted"] == 2
    assert [(one["index"], one["id"]) for one in answer["rejected"]] == [(1, "e2"), (2, None)]
    assert all(one["error"].endswith("。") for one in answer["rejected"])
    assert len(friends.scalars(select(SourceEvent))) == 2


def test_a_wrong_signature_is_401_and_changes_nothing(friends: World) -> None:
    status, _ = friends.post_events([_purchase()], secret=EVENTS_SECRET + "x")
    assert status == 401
    assert friends.scalars(select(SourceEvent)) == []


_STORY = (
    _purchase(1, 1_000_000),
    _purchase(2, 500_000),
    _refund(3, 1, 400_000),
    _member(4, level="金卡", points=880, occurred_at="2030-03-02T10:00:00+08:00"),
    _member(5, level="黑卡", points=990, occurred_at="2030-03-03T10:00:00+08:00"),
)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (2, 4, 3, 1, 0), (4, 2, 0, 3, 1)])
def test_the_order_of_arrival_does_not_matter(friends: World, order: tuple[int, ...]) -> None:
    for position in order:
        assert friends.post_events([_STORY[position]])[1]["accepted"] == 1
    scores, members, orders = _state(friends)
    assert [row[:2] for row in scores] == [(2, 1_100_000)]
    assert members == [("M1", "黑卡", 990)]
    assert orders == [("O1", 1_000_000, 400_000), ("O2", 500_000, 0)]


def test_a_full_refund_is_no_purchase_any_more(friends: World) -> None:
    friends.post_events([_refund(2, 1, 1_280_000), _purchase(1)])
    assert [row[:2] for row in _state(friends)[0]] == [(0, 0)]


@pytest.mark.parametrize("who", ["unionid", "member_no", "mobile", "external_userid"])
def test_a_till_that_knows_any_number_reaches_the_friend(world: World, who: str) -> None:
    world.load(pack())
    person = world.person("林悦", mobile="13900001111", member_no="M77", unionid="oLin")
    person.joins()
    person.adds()
    world.settle()
    person.buys(who=who)
    bought = world.scalars(
        select(Contact.external_userid).join(Purchase, Purchase.contact_id == Contact.id)
    )
    assert bought == [person.id]


@pytest.mark.parametrize("order", list(itertools.permutations(["buys", "joins", "adds"])))
def test_what_was_known_before_joins_the_friend_whatever_came_first(
    world: World, order: tuple[str, ...]
) -> None:
    world.load(pack())
    person = world.person("林悦", mobile="13900001111", member_no="M77", unionid="oLin")
    for name in order:
        if name == "buys":
            person.buys(who="mobile")
            person.buys(who="member_no", amount_fen=900_000)
        else:
            getattr(person, name)()
        world.settle()
    rows = world.rows(
        select(ContactScore.purchase_count, Member.member_no, Contact.external_userid)
        .join(Contact, Contact.id == ContactScore.contact_id)
        .join(Member, Member.contact_id == Contact.id)
        .where(Contact.merged_into_id.is_(None))
    )
    assert rows == [(2, "M77", person.id)]


def test_a_person_not_known_yet_is_kept_without_a_contact_of_wecom(world: World) -> None:
    world.load(pack())
    world.person("林悦", mobile="13900001111").buys(who="mobile")
    assert world.rows(
        select(Contact.external_userid, Purchase.amount_fen).join(
            Purchase, Purchase.contact_id == Contact.id
        )
    ) == [(None, 1_280_000)]
