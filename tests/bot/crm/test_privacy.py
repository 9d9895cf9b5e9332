"""What is kept of an event about a person: what was asked for, and no mobile number in clear."""

from __future__ import annotations

from sqlalchemy import select, text

from bot.crm import imports
from bot.crm.models import Refund, SourceEvent
from tests.bot.crm.events import KEY, NOW, accept, event, line, member, purchase, the

_NUMBERS = [f"1380000{n:04}" for n in range(6)]


def test_a_mobile_number_under_any_name_stays_out_of_the_database(session):
    extra = {"phone": _NUMBERS[0], "buyer": {"mobile": _NUMBERS[1]}}
    accept(
        session,
        purchase(who={"member_no": "M1", "tel": _NUMBERS[2]}, lines=[line(tel=_NUMBERS[3])])
        | extra,
        event(
            "refund",
            "r1",
            order_no="O1",
            amount_fen=1,
            lines=[line(phone=_NUMBERS[4]), _NUMBERS[4]],
        ),
        member(mobile=_NUMBERS[5], mobile_home=_NUMBERS[0]),
    )
    tables = session.scalars(
        text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    ).all()
    for table in tables:
        words = str(session.execute(text(f'SELECT to_jsonb(t) FROM "{table}" t')).all())
        assert not [number for number in _NUMBERS if number in words], table


def test_what_an_event_is_described_by_is_kept_as_it_came(session):
    told = purchase(store="S1", guide="g1", channel="门店", coupon="K1")
    accept(session, told | {"note": "?"})
    assert the(session, SourceEvent).body == told
    accept(session, event("refund", "r1", order_no="O1", amount_fen=1, lines=[line()]))
    assert the(session, Refund).lines == [line()]


def test_the_id_of_an_imported_row_cannot_be_tried_out_without_the_key(sessions, tmp_path):
    def ids(key):
        path = tmp_path / "file.csv"
        path.write_text(f"会员号,手机号\nM1,{_NUMBERS[0]}\n", encoding="utf-8")
        rejects = tmp_path / "rejects.csv"
        imports.import_file(sessions, "members", path, rejects, now=NOW, secret_key=key)
        with sessions() as session:
            return set(session.scalars(select(SourceEvent.event_id)))

    assert len(ids(KEY)) == len(ids(KEY)) == 1
    assert len(ids("another key")) == 2
