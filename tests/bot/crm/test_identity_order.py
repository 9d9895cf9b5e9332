"""Numbers that are told of two people are hers with whom they were said first, in any order."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bot.crm import identity, merge_desk, mobiles
from bot.errors import UserError
from tests.bot.crm import test_any_order as stories
from tests.bot.crm.events import KEY, NOW, accept, event, member, merged

A, B = "13800000001", "13800000002"
CARDS, MOBILES, WECOM = ["M1", "M2", "M3"], [A, B], ["wm1", "wm2"]
#: What tills say of families: one mobile for two cards, an account that chains to a mobile.
_WHO = [
    *({"member_no": card} for card in CARDS),
    *({"mobile": mobile} for mobile in MOBILES),
    *({"member_no": card, "mobile": mobile} for card in CARDS for mobile in MOBILES),
    *({"external_userid": wecom} for wecom in WECOM),
    *({"external_userid": wecom, "mobile": A} for wecom in WECOM),
    *({"external_userid": wecom, "member_no": card} for wecom in WECOM for card in CARDS[:2]),
    *({"mall_id": "1", "mobile": mobile} for mobile in MOBILES),
    *({"member_no": card, "mall_id": "1"} for card in CARDS[:2]),
    {"mall_id": "1"},
    {"openid": "o1", "mobile": B},
    {"unionid": "u1", "openid": "o1"},
    {"external_userid": "wm1", "unionid": "u1"},
    {"unionid": "u1", "member_no": "M1", "mobile": A},
]
_who = st.sampled_from(_WHO)
_SETTINGS = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _said(draw, number, with_cards=True):
    what, at = draw(st.integers(0, 9)), draw(st.integers(0, 5))
    if what == 0:
        card, fields = draw(st.sampled_from(CARDS)), draw(stories.MEMBERS)[1]
        mobile = draw(st.sampled_from([{}, {"mobile": A}, {"mobile": B}, {"openid": "o1"}]))
        return member(f"e{number}", card, at=at, **fields, **mobile)
    if what == 1 and with_cards:
        kept, gone = draw(st.sampled_from([("M1", "M2"), ("M2", "M3"), ("M1", "M3")]))
        return merged(f"e{number}", kept, gone, at=at)
    kind, fields = draw(stories.EVENTS)
    if kind == "opt_out" and not with_cards:
        kind, fields = "visit", {"store": "S1", "kind": "到店"}
    return event(kind, f"e{number}", draw(_who), at=at, **fields)


@st.composite
def families(draw):
    """Events about families, another order of them, and how each is cut into batches."""
    events = [_said(draw, number) for number in range(draw(st.integers(3, 14)))]
    return events, draw(st.permutations(events)), draw(st.integers(1, 14))


def _version(one):
    return one["occurred_at"], one["id"]


def _keys(one):
    numbers = dict(one["who"])
    if one["type"] == "member_merged":
        return [("member_no", one["member_no"]), ("member_no", one["merged_member_no"])]
    if one["type"] == "member":
        numbers |= {name: one[name] for name in ("mobile", "openid") if one.get(name)}
    return [(kind, numbers[kind]) for kind in identity.STRENGTH if kind in numbers]


def _persons(events):
    """The numbers of each person by a plain reading: a list of sets, gone through once."""
    same = {}
    for one in events:
        if one["type"] == "member_merged":
            (_, kept), (_, gone) = _keys(one)
            low, high = sorted((same.get(kept, kept), same.get(gone, gone)))
            same |= {card: low for card in CARDS if same.get(card, card) == high}
    persons = [{key} for key in {key for one in events for key in _keys(one)}]

    def tells_apart(numbers):
        said = {(kind, same.get(value, value)) for kind, value in numbers}
        kinds = [kind for kind, _ in said]
        return any(kinds.count(kind) > 1 for kind in ("external_userid", "unionid", "member_no"))

    for one in sorted(events, key=_version):
        first, *others = _keys(one)
        for key in others:
            mine = next(person for person in persons if first in person)
            theirs = next(person for person in persons if key in person)
            if mine is not theirs and not tells_apart(mine | theirs):
                persons.remove(theirs)
                mine |= theirs
    return persons


def _stored(key):
    kind, value = key
    if kind == "mobile":
        value = mobiles.mobile_index(value, KEY)
    return f"{kind}={'pos:' if kind == 'mall_id' else ''}{value}"


def _spent(events, person):
    """What the orders that are hers by their newest word are worth, less what came back."""
    total = 0
    for order_no in ("O1", "O2"):
        about = [one for one in events if one.get("order_no") == order_no]
        said = [one for one in about if one["type"] == "purchase"]
        newest = max(said, key=_version, default=None)
        if newest and _keys(newest)[0] in person:
            back = sum(one["amount_fen"] for one in about if one["type"] == "refund")
            total += max(newest["amount_fen"] - back, 0)
    return total


def _people(session):
    people = [dict(row) for row in session.execute(stories.DUMP).mappings()]
    for person in people:
        # A row in which nothing is written says as much as no row.
        for name in ("member", "activity"):
            if person[name] and not any(person[name].values()):
                person[name] = None
    return people


def _book(session, events, size):
    """The book after these events, in batches of `size`, and with every batch sent twice."""
    before = session.begin_nested()
    for start in range(0, len(events), size):
        batch = events[start : start + size]
        assert accept(session, *batch).accepted == len(batch)
        assert accept(session, *reversed(batch)).duplicate == len(batch)
    people = _people(session)
    before.rollback()
    return people


@_SETTINGS
@given(story=families())
def test_who_a_number_belongs_to_does_not_depend_on_what_came_first(session, story):
    stories.places(session)
    events, again, size = story
    book = _book(session, sorted(events, key=_version), 1)
    persons = _persons(events)
    assert {tuple(one["known_by"]) for one in book} == {
        tuple(sorted(map(_stored, person))) for person in persons
    }
    spent = {
        tuple(one["known_by"]): sum(p["amount_fen"] - p["refunded_fen"] for p in one["purchases"])
        for one in book
    }
    assert spent == {
        tuple(sorted(map(_stored, person))): _spent(events, person) for person in persons
    }
    assert _book(session, again, size) == book


@st.composite
def chapters(draw):
    """Events between which people are merged and parted by hand, and another order of each part."""
    everybody = [
        {"member_no": "M1"},
        {"member_no": "M2"},
        {"mobile": A},
        {"external_userid": "wm1"},
    ]
    met = [
        event("visit", f"v{number}", who, at=number % 3, store="S1", kind="到店")
        for number, who in enumerate(everybody)
    ]
    events, told = [], []
    for chapter in range(draw(st.integers(2, 4))):
        many = range(chapter * 10, chapter * 10 + draw(st.integers(1, 5)))
        part = met + [_said(draw, number, with_cards=False) for number in many]
        met = []
        events.append((part, draw(st.permutations(part)), draw(st.integers(1, 6))))
        one, other, *_ = draw(st.permutations(["M1", "M2", "M3", A, B, "wm1", "o1"]))
        told.append((one, other, draw(st.booleans())))
    return events, told


def _live(session, events, told, canonical):
    """The book after all chapters; at the end of each somebody merges, or undoes the last merge."""
    before = session.begin_nested()
    done, merge_ids = [], []
    for (part, again, size), (one, other, is_undone) in zip(events, told, strict=True):
        ordered, step = (sorted(part, key=_version), 1) if canonical else (again, size)
        for start in range(0, len(ordered), step):
            accept(session, *ordered[start : start + step])
        session.expire_all()
        try:
            if is_undone and merge_ids:
                merge_desk.unmerge(session, merge_ids.pop(), actor="test", at=NOW)
                done.append("unmerged")
                continue
            pair = [identity.find(session, number, secret_key=KEY) for number in (one, other)]
            if None not in pair:
                made = merge_desk.merge(session, *pair, actor="test", at=NOW)
                merge_ids.append(made.merge_id)
                done.append("merged")
        except UserError as error:
            done.append(error.message_zh)
    people = _people(session)
    for person in people:
        # Which of two cards made one by hand is shown depends on which contact is the older.
        if person["member"]:
            person["member"]["member_no"] = None
    before.rollback()
    return people, done


@_SETTINGS
@given(story=chapters())
def test_what_persons_said_in_between_holds_whatever_came_first(session, story):
    stories.places(session)
    events, told = story
    book, canonical = (_live(session, events, told, canonical=one) for one in (False, True))
    # Which of two merges stands on the other depends on which contact is the older.
    assume(not {"请先撤销之后的合并。"} & {*book[1], *canonical[1]})
    assert book == canonical
