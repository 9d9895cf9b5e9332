"""Old letters are let go; what recognizes a duplicate stays longer; what is open stays."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from sqlalchemy import select, text

from bot import inbox, outbox, retention, runs
from bot.crm import intake
from bot.crm.models import Cart, CartChange, ContactActivity, MaterialView
from bot.db import transaction
from bot.inbox import Inbox, Quarantine
from bot.outbox import Outbox
from bot.runs import JobRun
from tests import letters

NOW = datetime(2030, 3, 5, 2, tzinfo=UTC)


def _message(sessions, name: str, *, days: int, state: str = "done") -> None:
    plaintext = letters.removed(name)
    with transaction(sessions) as session:
        inbox.store(session, [inbox.arrival(name.encode(), plaintext, {"nonce": "1"}, NOW)])
        session.execute(
            text(
                "UPDATE inbox SET state = :state, last_error = 'why',"
                " done_at = now() - :age WHERE event_key = :key"
            ),
            {"state": state, "age": timedelta(days=days), "key": name.encode()},
        )


def _call(sessions, name: str, *, days: int, state: str = "done") -> None:
    with transaction(sessions) as session:
        outbox.add(
            session,
            kind="alert",
            api="message/send",
            body=b'{"text":"words"}',
            dedupe_key=name,
            members=["wangfang"],
            subject={"relation_id": 1},
        )
        session.execute(
            text("UPDATE outbox SET state = :state, done_at = now() - :age WHERE dedupe_key = :k"),
            {"state": state, "age": timedelta(days=days), "k": name},
        )


def test_what_wecom_said_goes_after_90_days_and_its_hash_after_400(sessions):
    _message(sessions, "fresh", days=89)
    _message(sessions, "old", days=91)
    _message(sessions, "dead", days=91, state="dead")
    _message(sessions, "ancient", days=401)

    retention.purge(sessions)

    with sessions() as session:
        kept = {bytes(one.event_key): one for one in session.scalars(select(Inbox))}
        assert inbox.dead_letters(session) == []
    assert set(kept) == {b"fresh", b"old", b"dead"}
    assert (bool(kept[b"fresh"].plaintext), bool(kept[b"old"].plaintext)) == (True, False)
    assert (kept[b"old"].query, kept[b"dead"].state) == ({}, "ignored")


def test_an_old_message_that_is_sent_again_after_its_words_are_gone_is_only_counted(sessions):
    plaintext = letters.edited("wm1")
    again = inbox.arrival(b"edit", plaintext, {}, NOW)
    with transaction(sessions) as session:
        inbox.store(session, [again])
        session.execute(text("UPDATE inbox SET state='done', done_at = now() - interval '91 days'"))
    retention.purge(sessions)

    with transaction(sessions) as session:
        assert inbox.store(session, [again]) == {b"edit": False}

    with sessions() as session:
        [row] = session.scalars(select(Inbox)).all()
    assert (row.state, row.seen_count) == ("done", 2)


def test_what_is_still_open_is_kept_however_old_it_is(sessions):
    _message(sessions, "due", days=500, state="due")
    _call(sessions, "due", days=500, state="due")

    assert retention.purge(sessions) == 0


def test_what_we_sent_goes_after_180_days_and_its_key_after_400(sessions):
    _call(sessions, "fresh", days=179)
    _call(sessions, "old", days=181)
    _call(sessions, "failed", days=181, state="dead")
    _call(sessions, "ancient", days=401)

    retention.purge(sessions)

    with transaction(sessions) as session:
        kept = {one.dedupe_key: one for one in session.scalars(select(Outbox))}
        assert set(kept) == {"fresh", "old"}
        old = kept["old"]
        assert (old.body, old.members, old.subject, old.result) == (b"", [], {}, {})
        assert kept["fresh"].body
        # The key still keeps the same call from being wanted twice.
        twice = outbox.add(session, kind="alert", api="a", body=b"{}", dedupe_key="old")
        assert twice is None


def test_runs_and_quarantine_do_not_grow_for_ever(sessions):
    with transaction(sessions) as session:
        for days in (10, 100, 500):
            runs.request(session, "nightly", date(2030, 3, 5) - timedelta(days=days))
        session.execute(
            text(
                "UPDATE job_run SET state = 'failed', last_error = 'why', detail = '{\"a\": 1}',"
                " done_at = now() - (date '2030-03-05' - day) * interval '1 day'"
            )
        )
        for days in (10, 100):
            at = datetime.now(UTC) - timedelta(days=days)
            inbox.quarantine(session, b"sealed", {}, "unreadable", at)

    retention.purge(sessions)

    with sessions() as session:
        left = session.execute(select(JobRun.last_error).order_by(JobRun.day)).scalars().all()
        assert left == [None, "why"]
        assert len(session.scalars(select(Quarantine)).all()) == 1


def test_many_old_rows_go_in_small_transactions(sessions):
    for number in range(7):
        _message(sessions, f"old{number}", days=91)

    assert retention.purge(sessions, chunk=3) == 7
    assert retention.purge(sessions, chunk=3) == 0


def test_what_customers_looked_at_goes_after_400_days_and_the_day_of_it_stays(sessions):
    now = datetime.now(UTC)
    line = {"name": "对戒", "amount_fen": 100}
    told = [
        {"type": "view", "material": "求婚指南", "days": 403},
        {"type": "view", "material": "求婚指南", "days": 398},
        {"type": "cart", "cart_id": "old", "state": "added", "lines": [line], "days": 500},
        {"type": "cart", "cart_id": "old", "state": "removed", "days": 402},
        {"type": "cart", "cart_id": "used", "state": "added", "lines": [line], "days": 500},
        {"type": "cart", "cart_id": "used", "state": "removed", "days": 300},
    ]
    events = [
        {
            **{name: value for name, value in one.items() if name != "days"},
            "id": f"e{number}",
            "source": "mall",
            "occurred_at": (now - timedelta(days=one["days"])).isoformat(),
            "who": {"member_no": "M1"},
        }
        for number, one in enumerate(told)
    ]
    with transaction(sessions) as session:
        assert intake.receive(session, events, now=now, secret_key="a key").accepted == 6

    assert retention.purge(sessions, chunk=1) == 4
    assert retention.purge(sessions) == 0

    with sessions() as session:
        assert len(session.scalars(select(MaterialView)).all()) == 1
        assert session.scalars(select(Cart.cart_id)).all() == ["used"]
        assert len(session.scalars(select(CartChange)).all()) == 2
        assert session.scalars(select(ContactActivity.viewed_on)).one() is not None
