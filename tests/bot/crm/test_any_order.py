"""Whatever order events come in, in batches of any size and twice, the book ends the same."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from bot.crm.models import Guide, Store
from tests.bot.crm.events import accept, event, line, member, merged, purchase
from tests.factories import Make
from tests.fixtures_db import counting

# Each of four people is known by her card, two also by a mobile number; one by WeCom.
_PEOPLE = [
    [{"member_no": "M1"}, {"member_no": "M1", "external_userid": "wm1"}],
    [{"member_no": "M2"}, {"member_no": "M2", "mobile": "13800000002"}],
    [{"member_no": "M3"}, {"mobile": "13800000003"}, {"member_no": "M3", "mobile": "13800000003"}],
    [{"member_no": "M4"}, {"mall_id": "4"}, {"member_no": "M4", "mall_id": "4", "openid": "o4"}],
]
_who = st.sampled_from([who for person in _PEOPLE for who in person])
_card = st.sampled_from(["M1", "M2", "M3", "M4"])
_order = st.sampled_from(["O1", "O2"])
_fen = st.integers(0, 5).map(lambda n: n * 1000)
_day = st.sampled_from([None, "2026-11-01", "2026-12-31", "2027-03-31"])


def _fields(**parts):
    return st.fixed_dictionaries(parts).map(lambda one: {k: v for k, v in one.items() if v != ""})


EVENTS = st.one_of(
    st.tuples(
        st.just("purchase"),
        _fields(
            order_no=_order,
            amount_fen=_fen,
            lines=st.sampled_from([[line(sku="R1")], [line(sku="R1"), line("项链", "项链")]]),
            guide=st.sampled_from(["", "g1"]),
            store=st.sampled_from(["", "S1"]),
            coupon=st.sampled_from(["", "DG0000000000"]),
        ),
    ),
    st.tuples(
        st.just("refund"),
        _fields(
            order_no=_order,
            amount_fen=st.integers(1, 3000),
            lines=st.sampled_from(["", [], [{"sku": "R1", "quantity": 1}], [{"name": "项链"}]]),
        ),
    ),
    st.tuples(
        st.just("purchase_moved"),
        _fields(order_no=_order, guide=st.sampled_from(["g1", "g2"]), store=st.just("S2")),
    ),
    st.tuples(
        st.just("cart"),
        _fields(
            cart_id=st.sampled_from(["C1", "C2"]),
            state=st.sampled_from(["added", "added", "bought", "removed"]),
            lines=st.sampled_from([[line()], [line("项链", "项链", 5), line()]]),
        ),
    ),
    st.tuples(
        st.just("points"),
        _fields(delta=st.integers(1, 9), balance=st.integers(0, 99), expires_on=_day),
    ),
    st.tuples(st.just("points"), _fields(delta=st.integers(-9, -1))),
    st.tuples(
        st.just("coupon"),
        _fields(
            coupon_no=st.sampled_from(["K1", "dg0000000000"]),
            state=st.sampled_from(["issued", "redeemed", "expired"]),
            template=st.sampled_from(["生日券", "到店券"]),
            value_fen=st.sampled_from([None, 100, 200]),
            expires_on=_day,
            order_no=st.sampled_from([None, "O1", "O2"]),
        ),
    ),
    st.tuples(st.just("visit"), _fields(store=st.just("S1"), kind=st.just("到店"))),
    st.tuples(st.just("view"), _fields(material=st.just("求婚指南"))),
    st.tuples(
        st.just("opt_out"),
        _fields(channel=st.sampled_from(["sms", "all"]), is_out=st.booleans()),
    ),
)
MEMBERS = st.tuples(
    _card,
    _fields(
        name=st.sampled_from(["", None, "王芳", "李娜"]),
        level=st.sampled_from(["", "金卡", "银卡"]),
        points=st.sampled_from(["", 5, 7]),
        birthday=st.sampled_from(["", None, "05-20", "1990-02-28"]),
    ),
)
_at = st.integers(0, 4)


@st.composite
def stories(draw):
    """Up to fourteen events, another order of them, and where each order is cut into batches."""
    events = []
    for number in range(draw(st.integers(2, 14))):
        what = draw(st.integers(0, 6))
        if what == 0:
            card, given_fields = draw(MEMBERS)
            events.append(member(f"e{number}", card, at=draw(_at), **given_fields))
        elif what == 1:
            # From a higher number to a lower one: merges of cards that contradict are refused.
            kept, gone = sorted([draw(_card), draw(_card)])
            if kept != gone:
                events.append(merged(f"e{number}", kept, gone, at=draw(_at)))
        else:
            kind, given_fields = draw(EVENTS)
            who = draw(_who)
            events.append(event(kind, f"e{number}", who, at=draw(_at), **given_fields))
    again = draw(st.permutations(events))
    return events, again, draw(st.integers(1, 14)), draw(st.integers(1, 14))


DUMP = text(
    """
    SELECT ARRAY(SELECT kind || '=' || value FROM contact_identity i WHERE i.contact_id = c.id
                 ORDER BY 1) AS known_by,
           (SELECT to_jsonb(m) - ARRAY['contact_id', 'mobile_sealed', 'field_versions']
            FROM member m WHERE m.contact_id = c.id) AS member,
           ARRAY(SELECT to_jsonb(p) - ARRAY['id', 'contact_id', 'identity_id', 'received_at']
                 FROM purchase p WHERE p.contact_id = c.id ORDER BY source, order_no) AS purchases,
           ARRAY(SELECT concat_ws(' ', p.order_no, l.line_no, l.name, l.is_returned)
                 FROM purchase p JOIN purchase_line l ON l.purchase_id = p.id
                 WHERE p.contact_id = c.id ORDER BY 1) AS lines,
           ARRAY(SELECT to_jsonb(k) - ARRAY['id', 'contact_id', 'identity_id']
                 FROM cart k WHERE k.contact_id = c.id ORDER BY source, cart_id) AS carts,
           ARRAY(SELECT to_jsonb(k) - ARRAY['id', 'contact_id', 'identity_id', 'field_versions',
                                            'redeemed_contact_id']
                 FROM coupon k WHERE k.contact_id = c.id ORDER BY issuer, coupon_no) AS coupons,
           ARRAY(SELECT concat(issuer, coupon_no) FROM coupon k
                 WHERE k.redeemed_contact_id = c.id ORDER BY 1) AS redeemed,
           ARRAY(SELECT concat_ws(' ', event_id, delta, remaining) FROM points_change p
                 WHERE p.contact_id = c.id ORDER BY event_id) AS points,
           ARRAY(SELECT concat_ws(' ', channel, is_out, event_key) FROM opt_out o
                 WHERE o.contact_id = c.id ORDER BY 1) AS opt_outs,
           (SELECT to_jsonb(a) - 'contact_id' FROM contact_activity a
            WHERE a.contact_id = c.id) AS activity,
           (SELECT count(*) FROM visit v WHERE v.contact_id = c.id) AS visits,
           (SELECT count(*) FROM material_view v WHERE v.contact_id = c.id) AS views,
           ARRAY(SELECT event_id FROM source_event e WHERE e.contact_id = c.id ORDER BY 1) AS events
    FROM contact c WHERE c.merged_into_id IS NULL ORDER BY 1
    """
)


def _told(session, events, size):
    """The book after these events, in batches of `size`, and with every batch sent twice."""
    before = session.begin_nested()
    for start in range(0, len(events), size):
        batch = events[start : start + size]
        assert accept(session, *batch).accepted == len(batch)
        assert accept(session, *reversed(batch)).duplicate == len(batch)
    dump = [dict(row) for row in session.execute(DUMP).mappings()]
    total = session.scalar(text("SELECT COALESCE(sum(amount_fen - refunded_fen), 0) FROM purchase"))
    before.rollback()
    return dump, total


def _net(events):
    """What the orders are worth by a plain reading: the newest word of each, less its refunds."""
    total = 0
    for order_no in ("O1", "O2"):
        about = [one for one in events if one.get("order_no") == order_no]
        said = [one for one in about if one["type"] == "purchase"]
        if said:
            amount = max(said, key=lambda one: (one["occurred_at"], one["id"]))["amount_fen"]
            back = sum(one["amount_fen"] for one in about if one["type"] == "refund")
            total += max(amount - back, 0)
    return total


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=stories())
def test_any_order_any_batches_and_anything_twice_give_the_same_book(session, story):
    places(session)
    events, again, size, other_size = story
    book, total = _told(session, events, size)
    assert _told(session, again, other_size) == (book, total)
    assert total == _net(events)


def places(session):
    if not session.query(Guide).count():
        make = Make(session)
        for code, userid in (("S1", "g1"), ("S2", "g2")):
            make.guide(make.store(code=code), userid=userid)
        assert session.query(Store).count() == 2


def test_a_chain_of_cards_ends_in_one_person_however_it_is_told(session):
    told = [
        purchase("p1", "O1", 1_000, {"member_no": "A"}),
        purchase("p2", "O2", 2_000, {"member_no": "C"}),
        merged("x1", "B", "A", at=1),
        merged("x2", "C", "B", at=2),
        member("m1", "A", name="王芳", at=3),
    ]
    dumps = []
    for order in (told, told[::-1], told[2:] + told[:2], [told[3], told[0], *told[1:3], told[4]]):
        dumps.append(_told(session, order, 1))
    assert all(dump == dumps[0] for dump in dumps)
    ((person,), total) = dumps[0]
    assert (person["member"]["member_no"], person["member"]["name"], total) == ("C", "王芳", 3_000)


def test_a_hundred_times_as_many_events_of_every_type_take_as_many_statements(engine, session):
    def batch(n):
        made = []
        for i in range(n):
            who, key, at = {"member_no": f"M{n}-{i % 9}"}, f"{n}-{i}", i % 7
            fields = {
                "purchase": {"order_no": key, "amount_fen": 100, "lines": [line()]}
                | {"coupon": f"DG{i:010}"},
                "refund": {"order_no": key, "amount_fen": 1},
                "purchase_moved": {"order_no": key, "guide": "g1"},
                "cart": {"cart_id": key, "state": "added", "lines": [line()]},
                "points": {"delta": 5, "balance": 5},
                "coupon": {"coupon_no": key, "state": "issued", "template": "券"},
                "visit": {"store": "S1", "kind": "到店"},
                "view": {"material": "求婚指南"},
                "opt_out": {"channel": "sms"},
            }
            made += [event(kind, f"{kind}{key}", who, at=at, **f) for kind, f in fields.items()]
            made.append(member(f"m{key}", who["member_no"], at=at, name="王芳"))
            made.append(merged(f"x{key}", f"M{n}-{i % 9}", f"G{key}", at=at))
        return made

    places(session)
    counts = []
    for n in (1, 90):
        with counting(engine) as ran:
            accept(session, *batch(n))
        counts.append(ran.count)
    assert counts[0] == counts[1] < 60
