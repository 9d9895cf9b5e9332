"""The inbox keeps a message once, hands it to one worker at a time, and buries what kills."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, sessionmaker

from bot import inbox
from bot.errors import CallbackError
from bot.inbox import Inbox, MessageState
from tests import letters
from tests.fixtures_db import counting

NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
AT_ONCE = timedelta(0)


def receive(sessions: sessionmaker[Session], plaintext: bytes) -> bool:
    return inbox.receive(sessions, letters.key(plaintext), plaintext, {"nonce": "n"}, NOW)


def claim(sessions: sessionmaker[Session], lane: str = "events") -> list[inbox.Message]:
    with sessions.begin() as session:
        return inbox.claim(session, lane, most=10)


def finish(sessions: sessionmaker[Session], held: inbox.Message) -> bool:
    with sessions.begin() as session:
        return inbox.finish(session, [held]) == {held.id}


def only(sessions: sessionmaker[Session]) -> Inbox:
    with sessions() as session:
        return session.scalars(select(Inbox)).one()


def expire(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        session.execute(text("UPDATE inbox SET lease_until = now() - interval '1 second'"))


def test_a_message_delivered_three_times_is_one_row_seen_three_times(sessions):
    assert [receive(sessions, letters.removed()) for _ in range(3)] == [True, False, False]

    assert only(sessions).seen_count == 3


def test_two_customers_in_the_same_second_are_two_messages(sessions):
    assert receive(sessions, letters.removed("wm1"))
    assert receive(sessions, letters.removed("wm2"))

    assert len(claim(sessions)) == 2


def test_a_batch_with_one_message_twice_counts_both_deliveries_in_one_statement(
    sessions, engine: Engine
):
    one, two = letters.removed("wm1"), letters.removed("wm2")
    arrivals = [inbox.arrival(letters.key(p), p, {}, NOW) for p in (one, two, one)]

    with counting(engine) as seen, sessions.begin() as session:
        fresh = inbox.store(session, arrivals)

    assert seen.count == 1
    assert fresh == {letters.key(one): True, letters.key(two): True}
    with sessions() as session:
        assert session.scalar(select(Inbox.seen_count).order_by(Inbox.seen_count.desc())) == 2


def test_what_carries_a_welcome_code_goes_to_the_fast_lane_and_nothing_else_does(sessions):
    receive(sessions, letters.added("wm1"))
    receive(sessions, letters.removed("wm2"))

    assert [m.kind for m in claim(sessions, "fast")] == ["ContactAdded"]
    assert [m.kind for m in claim(sessions, "events")] == ["GuideRemoved"]


def test_a_second_worker_finds_nothing_while_the_first_has_it(sessions):
    receive(sessions, letters.removed())

    assert len(claim(sessions)) == 1
    assert claim(sessions) == []


def test_a_worker_that_lost_its_lease_cannot_finish_what_another_has(sessions):
    receive(sessions, letters.removed())
    (late,) = claim(sessions)
    expire(sessions)
    (current,) = claim(sessions)

    assert not finish(sessions, late)
    assert only(sessions).state == MessageState.RUNNING
    assert finish(sessions, current)
    assert only(sessions).state == MessageState.DONE


def test_the_try_is_counted_before_it_begins_so_a_killer_is_counted_too(sessions):
    receive(sessions, letters.removed())
    for attempt in range(1, 4):
        (held,) = claim(sessions)
        assert held.attempts == attempt
        expire(sessions)


def test_what_fails_five_times_is_dead_with_its_reason_and_can_be_retried(sessions):
    receive(sessions, letters.removed())
    for _ in range(5):
        (held,) = claim(sessions)
        with sessions.begin() as session:
            assert inbox.fail(session, held, "KeyError", wait=AT_ONCE)
    assert claim(sessions) == []

    with sessions.begin() as session:
        (dead,) = inbox.dead_letters(session)
        assert dead.last_error == "KeyError"
        assert inbox.retry(session, reason="another") == 0
        assert inbox.retry(session, [dead.id]) == 1
    assert [m.attempts for m in claim(sessions)] == [1]


def test_a_failure_that_is_not_the_messages_fault_does_not_count(sessions):
    receive(sessions, letters.removed())
    for _ in range(7):
        (held,) = claim(sessions)
        with sessions.begin() as session:
            inbox.fail(session, held, "RateLimited", wait=AT_ONCE, counted=False)

    assert only(sessions).state == MessageState.DUE


def test_a_failed_message_waits_before_it_is_tried_again(sessions):
    receive(sessions, letters.removed())
    (held,) = claim(sessions)
    with sessions.begin() as session:
        inbox.fail(session, held, "KeyError", wait=timedelta(seconds=30))

    assert claim(sessions) == []


def test_an_edit_seen_again_is_read_again_but_a_deletion_is_not(sessions):
    for plaintext in (letters.edited(), letters.removed()):
        receive(sessions, plaintext)
    for held in claim(sessions):
        finish(sessions, held)
    receive(sessions, letters.edited())
    receive(sessions, letters.removed())

    with sessions.begin() as session:
        session.execute(text("UPDATE inbox SET next_at = now()"))
    assert [m.kind for m in claim(sessions)] == ["ContactEdited"]


def test_an_edit_that_comes_while_it_is_handled_is_handled_once_more(sessions):
    receive(sessions, letters.edited())
    (held,) = claim(sessions)
    receive(sessions, letters.edited())
    finish(sessions, held)

    (again,) = claim(sessions)
    finish(sessions, again)
    assert claim(sessions) == []


def test_xml_that_is_no_message_is_refused_before_it_is_stored(sessions):
    with pytest.raises(CallbackError) as caught:
        receive(sessions, b"<html></html>")

    assert caught.value.kind == "unreadable"


def test_the_quarantine_keeps_the_newest_and_forgets_the_oldest(sessions, monkeypatch):
    monkeypatch.setattr(inbox, "QUARANTINE_ROWS", 3)
    for number in range(5):
        with sessions.begin() as session:
            inbox.quarantine(session, b"%d" % number, {}, "wrong key", NOW)

    with sessions() as session:
        kept = session.scalars(select(inbox.Quarantine.body).order_by(inbox.Quarantine.id))
        assert kept.all() == [b"2", b"3", b"4"]
