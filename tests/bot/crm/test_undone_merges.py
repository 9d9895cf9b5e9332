"""A merge that was undone leaves the book as if it had never been made, whatever came meanwhile."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from bot.crm import merge_desk
from tests.bot.crm import test_any_order as stories
from tests.bot.crm.events import NOW, accept, event, line, live_contacts, member, purchase

WECOM, CARD = {"external_userid": "wm1"}, {"member_no": "M1"}
_facts = st.tuples(
    stories.EVENTS.filter(lambda one: one[0] != "opt_out"),
    st.sampled_from([WECOM, CARD]),
    st.integers(0, 6),
)
_members = st.tuples(st.none(), stories.MEMBERS, st.integers(0, 6))
_STORY = text(
    """
    SELECT c.external_userid, t.dedupe_key, t.text
    FROM timeline_entry t JOIN contact c ON c.id = t.contact_id ORDER BY 1, 2
    """
)


def _event(number, what, who, at):
    if what is None:
        return member(f"e{number}", "M1", at=at, **who[1])
    kind, fields = what
    return event(kind, f"e{number}", who, at=at, **fields)


def _book(session, events, merged_at=None, undone_at=None):
    """The book and its story after these events, with a merge made and undone on the way."""
    before = session.begin_nested()
    accept(session, purchase("w", "OW", 1, WECOM), purchase("c", "OC", 1, CARD))
    made = None
    for number in range(len(events) + 1):
        if number == merged_at:
            made = merge_desk.merge(session, *live_contacts(session), actor="test", at=NOW)
        if number == undone_at:
            merge_desk.unmerge(session, made.merge_id, actor="test", at=NOW)
        if number < len(events):
            accept(session, events[number])
    people = [dict(row) for row in session.execute(stories.DUMP).mappings()]
    for person in people:
        # A row in which nothing is written says as much as no row.
        for name in ("member", "activity"):
            if person[name] and not any(person[name].values()):
                person[name] = None
    story = session.execute(_STORY).all()
    before.rollback()
    return people, story


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    told=st.lists(st.one_of(_facts, _facts, _members), min_size=1, max_size=12),
    moments=st.tuples(st.integers(0, 12), st.integers(0, 12)),
)
def test_a_merge_that_was_undone_leaves_the_book_as_if_it_had_never_been(session, told, moments):
    stories.places(session)
    events = [_event(number, *one) for number, one in enumerate(told)]
    merged_at, undone_at = (min(one, len(events)) for one in sorted(moments))
    assert _book(session, events, merged_at, undone_at) == _book(session, events)


def test_an_order_corrected_to_be_the_others_while_they_were_one_stays_the_others(session):
    events = [
        purchase("a", "O1", 1_000, CARD),
        event("cart", "b", CARD, cart_id="C", state="added", lines=[line()]),
        event("coupon", "d", CARD, coupon_no="K", state="issued", template="券"),
        purchase("e", "O1", 2_000, WECOM, at=5),
        event("cart", "f", WECOM, at=5, cart_id="C", state="added", lines=[line()]),
        event("coupon", "g", WECOM, at=5, coupon_no="K", state="issued", template="券"),
    ]
    parted = _book(session, events, 3, 6)
    assert parted == _book(session, events)
    owners = {
        tuple(person["known_by"]): [len(person[name]) for name in ("purchases", "carts", "coupons")]
        for person in parted[0]
    }
    assert owners == {("external_userid=wm1",): [2, 1, 1], ("member_no=M1",): [1, 0, 0]}
