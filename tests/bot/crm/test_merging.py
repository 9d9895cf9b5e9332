"""Merging and un-merging: everything moves and comes back, nothing is counted twice or lost."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text

from bot.crm import activity, merge_desk, opt_outs, unmerging
from bot.crm.models import (
    AuditEntry,
    Cart,
    Contact,
    ContactActivity,
    ContactMerge,
    Coupon,
    Member,
    MemberMerge,
    OptOut,
    PointsChange,
    Purchase,
    TimelineEntry,
    Visit,
)
from bot.errors import UserError
from tests.bot.crm.events import (
    NOW,
    START,
    accept,
    event,
    line,
    live_contacts,
    member,
    merged,
    purchase,
    the,
)

#: What each contact has, in a form that knows no ids.
_SHARES = text(
    """
    SELECT c.id,
        (SELECT COALESCE(sum(amount_fen - refunded_fen), 0) FROM purchase p
         WHERE p.contact_id = c.id) AS spent,
        (SELECT count(*) FROM cart k WHERE k.contact_id = c.id) AS carts,
        (SELECT COALESCE(sum(remaining), 0) FROM points_change p
         WHERE p.contact_id = c.id) AS points,
        (SELECT count(*) FROM coupon k WHERE k.contact_id = c.id) AS coupons,
        (SELECT count(*) FROM coupon k WHERE k.redeemed_contact_id = c.id) AS redeemed,
        (SELECT count(*) FROM visit v WHERE v.contact_id = c.id) AS visits,
        (SELECT count(*) FROM material_view v WHERE v.contact_id = c.id) AS views,
        (SELECT count(*) FROM source_event e WHERE e.contact_id = c.id) AS events,
        (SELECT count(*) FROM timeline_entry t WHERE t.contact_id = c.id) AS told,
        (SELECT count(*) FROM opt_out o WHERE o.contact_id = c.id AND o.is_out) AS refused
    FROM contact c ORDER BY c.id
    """
)


def shares(session):
    return {id: rest for id, *rest in session.execute(_SHARES)}


def life(prefix, who, at=0):
    """One of each fact about one person."""
    return [
        purchase(f"{prefix}p", f"{prefix}O", 1_000, who, at=at),
        event("refund", f"{prefix}r", who, at=at, order_no=f"{prefix}O", amount_fen=100),
        event("cart", f"{prefix}c", who, at=at, cart_id=prefix, state="added", lines=[line()]),
        event("points", f"{prefix}q", who, at=at, delta=50, balance=50),
        event("coupon", f"{prefix}k", who, at=at, coupon_no=prefix, state="issued", template="券"),
        event("coupon", f"{prefix}u", who, at=at + 1, coupon_no=prefix, state="redeemed"),
        event("visit", f"{prefix}v", who, at=at, store="S1", kind="到店"),
        event("view", f"{prefix}w", who, at=at, material="求婚指南"),
        event("opt_out", f"{prefix}o", who, at=at, channel="sms"),
    ]


WECOM, CARD = {"external_userid": "wm1"}, {"member_no": "M1"}


@pytest.fixture
def two(session):
    """One person WeCom knows and one the till knows, each with a whole life."""
    accept(session, *life("a", WECOM), *life("b", CARD), member("m1", name="王芳", points=7, at=2))
    one, other = live_contacts(session)
    return (one, other) if one.external_userid else (other, one)


def test_merge_unmerge_merge_counts_nothing_twice_and_loses_nothing(session, two):
    known, carded = two
    apart = shares(session)
    assert apart[known.id][0] == apart[carded.id][0] == 900
    together = [mine + theirs for mine, theirs in zip(*apart.values(), strict=True)]
    # Both refused SMS: that is one refusal of one person.
    together[-1] = 1
    for _ in range(2):
        made = merge_desk.merge(session, known, carded, actor="operator:test", at=NOW)
        session.expire_all()
        assert (made.kept, made.gone) == (known.id, carded.id)
        assert shares(session) == {known.id: together, carded.id: [0] * len(together)}
        assert session.get(Member, known.id).name == "王芳"
        merge_desk.unmerge(session, made.merge_id, actor="operator:test", at=NOW)
        session.expire_all()
        assert shares(session) == apart
        assert (session.get(Member, carded.id).name, session.get(Member, known.id).name) == (
            "王芳",
            None,
        )
        assert session.get(Member, carded.id).points == 7
        assert session.get(Member, known.id).points == 50
    assert (
        session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()
        == [
            "merge",
            "unmerge",
        ]
        * 2
    )


def test_what_comes_after_the_merge_goes_back_to_whom_it_was_about(session, two):
    known, carded = two
    made = merge_desk.merge(session, known, carded, actor="operator:test", at=NOW)
    accept(session, *life("d", CARD, 5), member("m2", level="金卡", mobile="13800001234", at=6))
    accept(session, *life("c", WECOM, 5))
    session.expire_all()
    assert shares(session)[known.id][0] == 4 * 900
    unmerging.unmerge(session, made.merge_id, at=NOW)
    session.expire_all()
    mine, theirs = shares(session)[known.id], shares(session)[carded.id]
    assert mine[0] == theirs[0] == 2 * 900
    # Purchase, refund, cart, coupon twice, visit and view of each life, and the word about SMS.
    assert mine[:-3] == theirs[:-3]
    row = session.get(Member, carded.id)
    assert (row.level, row.member_no, row.mobile_sealed is not None) == ("金卡", "M1", True)
    assert session.get(Member, known.id).level is None


def test_a_later_merge_keeps_its_member_data_when_an_earlier_one_is_undone(session, two):
    known, carded = two
    accept(session, purchase("p9", "O9", who={"mall_id": "7"}))
    third = next(one for one in live_contacts(session) if one.id not in (known.id, carded.id))
    accept(session, event("points", "q9", {"mall_id": "7"}, at=30, delta=1, balance=99))
    first = merge_desk.merge(session, known, carded, actor="operator:test", at=NOW)
    merge_desk.merge(session, known, third, actor="operator:test", at=NOW)
    unmerging.unmerge(session, first.merge_id, at=NOW)
    session.expire_all()
    assert session.get(Member, known.id).points == 99
    assert session.get(Member, carded.id).points == 7


def test_refusals_of_both_hold_and_what_was_refused_together_holds_for_both(session, two):
    known, carded = two
    made = merge_desk.merge(session, known, carded, actor="operator:test", at=NOW)
    later = session.get(ContactMerge, made.merge_id).merged_at
    opt_outs.refuse(session, known.id, "mass_message", source="guide", at=later)
    unmerging.unmerge(session, made.merge_id, at=NOW)
    for contact in (known, carded):
        held = {one.channel for one in opt_outs.of(session, contact.id)}
        assert held == {"sms", "mass_message"}


def test_a_newer_word_of_one_is_the_word_of_the_merged_and_ends_with_the_merge(session, two):
    known, carded = two
    accept(session, event("opt_out", "o9", CARD, at=20, channel="sms", is_out=False))
    made = merge_desk.merge(session, known, carded, actor="operator:test", at=NOW)
    assert opt_outs.of(session, known.id) == []
    unmerging.unmerge(session, made.merge_id, at=NOW)
    session.expire_all()
    assert session.get(OptOut, (known.id, "sms")).is_out
    assert not session.get(OptOut, (carded.id, "sms")).is_out


def test_the_newest_sign_of_life_follows(session, two):
    known, carded = two
    activity.seen(session, {carded.id: NOW.date()}, "replied_on")
    made = merge_desk.merge(session, known, carded, actor="operator:test", at=NOW)
    session.expire_all()
    assert session.get(ContactActivity, known.id).replied_on == NOW.date()
    assert session.get(ContactActivity, carded.id) is None or (
        session.get(ContactActivity, carded.id).visited_on is None
    )
    unmerging.unmerge(session, made.merge_id, at=NOW)
    session.expire_all()
    assert session.get(ContactActivity, known.id).replied_on is None
    found = session.get(ContactActivity, carded.id)
    assert (found.replied_on, found.visited_on) == (NOW.date(), START.date())


def test_points_and_carts_are_added_up_again_on_both_sides(session):
    accept(session, event("points", "q1", WECOM, delta=100))
    accept(session, event("points", "q2", CARD, at=1, delta=-30))
    accept(session, event("cart", "c1", WECOM, cart_id="C", state="added", lines=[line()]))
    accept(session, event("cart", "c2", CARD, at=1, cart_id="C", state="removed"))
    known, carded = sorted(live_contacts(session), key=lambda c: c.external_userid is None)
    made = merge_desk.merge(session, known, carded, actor="operator:test", at=NOW)
    left = select(PointsChange.remaining).where(PointsChange.delta > 0)
    assert session.scalar(left) == 70
    assert the(session, Cart).contact_id == known.id
    unmerging.unmerge(session, made.merge_id, at=NOW)
    assert session.scalar(left) == 100
    assert the(session, Cart).contact_id == carded.id


def test_two_members_made_one_by_hand_have_two_numbers_until_they_are_parted(session):
    accept(session, purchase("p1", who={"member_no": "A"}), purchase("p2", "O2", who=CARD))
    one, other = live_contacts(session)
    made = merge_desk.merge(session, one, other, actor="operator:test", at=NOW)
    assert the(session, MemberMerge).source_event_id is None
    accept(session, purchase("p3", "O3", who={"member_no": "A", "mobile": "13800001234"}))
    accept(session, purchase("p4", "O4", who=CARD | {"mobile": "13800001234"}))
    assert len(live_contacts(session)) == 1
    unmerging.unmerge(session, made.merge_id, at=NOW)
    assert len(live_contacts(session)) == 2


def test_what_cannot_be_merged_or_undone_is_refused_with_one_sentence(session, two):
    known, carded = two
    accept(session, purchase("p8", "O8", who={"external_userid": "wm2"}))
    stranger = session.scalars(select(Contact).where(Contact.external_userid == "wm2")).one()

    def refused(one, other):
        with pytest.raises(UserError) as found:
            merge_desk.merge(session, one, other, actor="operator:test", at=NOW)
        return found.value.message_zh

    assert refused(known, known) == "这是同一位客户。"
    assert refused(known, stranger) == "两位都是企业微信里的客户，不能合并。"
    made = merge_desk.merge(session, carded, known, actor="operator:test", at=NOW)
    session.expire_all()
    assert refused(stranger, carded) == "其中一位刚刚被合并了，请重新查一下。"
    assert [one.id for one in merge_desk.of(session, carded.id)] == [made.merge_id]
    unmerging.unmerge(session, made.merge_id, at=NOW)
    for wrong in (made.merge_id, made.merge_id + 100):
        with pytest.raises(UserError) as found:
            unmerging.unmerge(session, wrong, at=NOW)
        assert found.value.message_zh == "没有这条合并记录，或者已经撤销。"


def test_the_story_of_each_is_her_own_again(session, two):
    known, carded = two
    accept(session, merged("x1", "M1", "M0", at=3))
    made = merge_desk.merge(session, known, carded, actor="operator:test", at=NOW)
    accept(session, event("visit", "v7", CARD, at=9, store="S1", kind="售后"))
    unmerging.unmerge(session, made.merge_id, at=NOW)
    session.expire_all()
    mine = select(TimelineEntry.text).where(TimelineEntry.contact_id == carded.id)
    assert {"售后：S1", "会员号 M0 并入 M1"} <= set(session.scalars(mine))
    assert session.scalars(select(Visit.contact_id).where(Visit.kind == "售后")).one() == carded.id
    assert session.scalars(select(Purchase.contact_id).distinct()).all()
    assert session.scalars(select(Coupon.contact_id).distinct()).all()
