"""Merged member cards: both numbers are one person from then on, whatever order it is told in."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from bot.crm import unmerging
from bot.crm.models import (
    AuditEntry,
    ContactMerge,
    Member,
    MemberMerge,
    Purchase,
    TimelineEntry,
)
from tests.bot.crm.events import (
    NOW,
    accept,
    error_of,
    live_contacts,
    member,
    merged,
    purchase,
    rows,
    the,
)


def spent(session):
    """Kept money by live contact."""
    sums = select(Purchase.contact_id, func.sum(Purchase.amount_fen)).group_by(Purchase.contact_id)
    return dict(session.execute(sums).all())


def test_what_came_under_either_number_is_one_persons(session):
    accept(session, purchase("p1", "O1", 1_000, {"member_no": "A"}), member("m1", "A", name="王芳"))
    accept(session, purchase("p2", "O2", 2_000, {"member_no": "B"}))
    accept(session, merged("x1", "B", "A", at=1))
    accept(
        session, purchase("p3", "O3", 4_000, {"member_no": "A"}), member("m2", "A", level="金卡")
    )
    (person,) = live_contacts(session)
    assert spent(session) == {person.id: 7_000}
    row = the(session, Member)
    assert (row.member_no, row.name, row.level) == ("B", "王芳", "金卡")
    trail = the(session, ContactMerge)
    assert trail.reason == "member_merged"
    assert the(session, MemberMerge).contact_merge_id == trail.id


def test_a_person_with_two_numbers_still_meets_her_other_ids(session):
    accept(session, merged("x1", "B", "A"))
    accept(session, purchase("p1", who={"member_no": "A", "mobile": "13800001234"}))
    accept(session, purchase("p2", "O2", who={"external_userid": "wm1", "member_no": "B"}))
    (person,) = live_contacts(session)
    assert person.external_userid == "wm1"


def test_numbers_of_two_people_whom_wecom_tells_apart_are_left_to_a_person(session):
    accept(session, purchase("p1", "O1", who={"external_userid": "wm1", "member_no": "A"}))
    accept(session, purchase("p2", "O2", who={"external_userid": "wm2", "member_no": "B"}))
    accept(session, merged("x1", "B", "A"))
    assert len(live_contacts(session)) == 2
    entry = the(session, AuditEntry)
    assert (entry.action, entry.detail) == (
        "member_merge_needs_person",
        {"kept_no": "B", "gone_no": "A"},
    )
    told = session.scalars(select(TimelineEntry.text).where(TimelineEntry.kind == "member_merged"))
    assert "需要人工确认" in told.one()


def test_a_card_cannot_go_into_one_that_went_into_it(session):
    accept(session, merged("x1", "B", "A"), merged("x2", "C", "B"))
    assert error_of(session, merged("x3", "A", "C")) == "会员 A 已经并入 C，不能再反过来合并。"
    assert len(rows(session, MemberMerge)) == 2
    # The refused one may come again, corrected, under the same id.
    accept(session, merged("x3", "D", "C"))
    assert len(live_contacts(session)) == 1


def test_an_undone_merge_no_longer_makes_the_numbers_one(session):
    accept(session, purchase("p1", "O1", 1_000, {"member_no": "A"}))
    accept(session, purchase("p2", "O2", 2_000, {"member_no": "B"}))
    accept(session, merged("x1", "B", "A"))
    unmerging.unmerge(session, the(session, ContactMerge).id, at=NOW)
    accept(session, purchase("p3", "O3", 4_000, {"member_no": "A", "mobile": "13800001234"}))
    accept(session, purchase("p4", "O4", 8_000, {"member_no": "B", "mobile": "13800001234"}))
    assert sorted(spent(session).values()) == [5_000, 10_000]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (merged("x1", "A", "A"), "member_no 和 merged_member_no 不能是同一个。"),
        (merged("x1", "A", None), "merged_member_no 不能为空。"),
        (merged("x1", "", "A"), "member_no 不能为空。"),
        (merged("x1", "A", "B") | {"who": "王芳"}, "who 要是对象。"),
    ],
)
def test_a_malformed_merge_is_refused_with_one_sentence(session, wrong, sentence):
    assert error_of(session, wrong) == sentence
    assert rows(session, MemberMerge) == []
