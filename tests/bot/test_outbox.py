"""The outbox wants a call once, hands it to one worker, keeps order, and fences late results."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, sessionmaker

from bot import leases, outbox
from bot.outbox import CallState, Delivery, Outbox
from tests.fixtures_db import counting

#: Later than the database's clock, as in a sandbox that runs ahead.
NOW = datetime(2046, 11, 21, 2, 0, tzinfo=UTC)
SOON = timedelta(seconds=0)


def draft(key: str, **more: Any) -> dict[str, Any]:
    return {"kind": "alert", "api": "message/send", "body": b"{}", "dedupe_key": key, **more}


def add(sessions: sessionmaker[Session], key: str, **more: Any) -> int | None:
    with sessions.begin() as session:
        return outbox.add(session, **draft(key, **more))


def claim(
    sessions: sessionmaker[Session], lane: str = "send", now: datetime = NOW
) -> list[Delivery]:
    with sessions.begin() as session:
        return leases.claim(session, lane, now=now, most=10)


def end(
    sessions: sessionmaker[Session], held: Delivery, state: CallState = CallState.DONE, **more: Any
) -> bool:
    with sessions.begin() as session:
        return leases.finish(session, held, state, **more)


def expire(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        session.execute(text("UPDATE outbox SET lease_until = now() - interval '1 second'"))


def state(sessions: sessionmaker[Session], key: str) -> str:
    with sessions() as session:
        return session.scalars(select(Outbox.state).where(Outbox.dedupe_key == key)).one()


def test_the_same_wish_twice_is_one_call(sessions):
    assert add(sessions, "a") is not None
    assert add(sessions, "a", body=b"other") is None

    (held,) = claim(sessions)
    assert held.body == b"{}"


def test_a_thousand_wishes_cost_no_more_statements_than_ten(sessions, engine: Engine):
    counts = []
    for many in (10, 1000):
        drafts = [outbox.Draft(**draft(f"{many}-{n}")) for n in range(many)]
        with counting(engine) as seen, sessions.begin() as session:
            assert len(outbox.add_many(session, drafts)) == many
        counts.append(seen.count)

    assert counts == [1, 1]


def test_wishes_with_and_without_a_morning_can_stand_in_one_batch(sessions):
    later = NOW + timedelta(hours=3)
    with sessions.begin() as session:
        outbox.add_many(
            session,
            [outbox.Draft(**draft("now")), outbox.Draft(**draft("later", not_before=later))],
        )

    assert [held.dedupe_key for held in claim(sessions)] == ["now"]
    assert [held.dedupe_key for held in claim(sessions, now=later)] == ["later"]


def test_a_wish_of_a_transaction_that_failed_is_no_wish(sessions):
    with sessions() as session:
        outbox.add(session, **draft("a"))
        session.rollback()

    assert claim(sessions) == []


def test_a_call_in_one_hand_is_in_no_other(sessions):
    add(sessions, "a")

    assert len(claim(sessions)) == 1
    assert claim(sessions) == []


def test_a_call_whose_worker_died_comes_back_and_says_so(sessions):
    add(sessions, "a")
    claim(sessions)
    expire(sessions)

    (held,) = claim(sessions)
    assert (held.attempts, held.crashes, held.ambiguous) == (2, 1, True)


def test_a_late_result_changes_nothing(sessions):
    add(sessions, "a")
    (late,) = claim(sessions)
    expire(sessions)
    (current,) = claim(sessions)

    assert not end(sessions, late)
    assert not end(sessions, late, CallState.DEAD, error="late")
    assert end(sessions, current, result={"msgid": "m"})
    assert not end(sessions, current)
    assert state(sessions, "a") == CallState.DONE


def test_calls_of_one_order_key_go_one_at_a_time_and_oldest_first(sessions):
    for key in ("a", "b"):
        add(sessions, key, order_key="mark:1")
    add(sessions, "c", order_key="mark:2")

    first = {held.dedupe_key: held for held in claim(sessions)}
    assert set(first) == {"a", "c"}
    with sessions.begin() as session:
        leases.put_back(session, first["a"], wait=timedelta(hours=1), error="busy")
    assert claim(sessions) == [], "b must not overtake a while a waits"
    with sessions.begin() as session:
        session.execute(update(Outbox).values(retry_at=text("now()")))
    (again,) = claim(sessions)
    end(sessions, again, CallState.DEAD, error="no")
    assert [held.dedupe_key for held in claim(sessions)] == ["b"]


def test_a_paused_api_rests_for_everybody_and_others_go_on(sessions):
    add(sessions, "a")
    add(sessions, "b", api="externalcontact/mark_tag")
    with sessions.begin() as session:
        leases.pause_api(
            session, "message/send", wait=timedelta(minutes=1), reason="45009", is_held=False
        )
    assert [held.dedupe_key for held in claim(sessions)] == ["b"]

    with sessions.begin() as session:
        assert leases.resume_api(session, "message/send")
    assert [held.dedupe_key for held in claim(sessions)] == ["a"]


def test_a_shorter_pause_does_not_end_a_longer_one(sessions):
    for minutes in (60, 1):
        with sessions.begin() as session:
            wait = timedelta(minutes=minutes)
            leases.pause_api(session, "message/send", wait=wait, reason="45009", is_held=False)

    with sessions() as session:
        left = session.scalar(text("SELECT until - now() FROM api_pause"))
    assert left > timedelta(minutes=50)


def test_a_call_of_a_paused_api_is_taken_in_hand_when_its_deadline_has_passed(sessions):
    add(sessions, "a", deadline=NOW - timedelta(seconds=1))
    with sessions.begin() as session:
        wait = timedelta(hours=1)
        leases.pause_api(session, "message/send", wait=wait, reason="60020", is_held=True)

    assert [held.dedupe_key for held in claim(sessions)] == ["a"]


def test_waiting_uncounted_takes_the_try_back(sessions):
    add(sessions, "a")
    for _ in range(3):
        (held,) = claim(sessions)
        with sessions.begin() as session:
            leases.put_back(session, held, wait=SOON, error="45009", counted=False)
        assert held.attempts == 1


def test_a_fresh_code_replaces_that_of_a_call_which_has_certainly_not_happened(sessions):
    add(sessions, "w", deadline=NOW)
    with sessions.begin() as session:
        assert outbox.replace(session, "w", body=b"fresh", deadline=NOW + timedelta(seconds=20))
    (held,) = claim(sessions)
    assert held.body == b"fresh"
    with sessions.begin() as session:
        assert not outbox.replace(session, "w", body=b"late", deadline=NOW)
    with sessions.begin() as session:
        leases.put_back(session, held, wait=SOON, error="timeout", ambiguous=True)
    with sessions.begin() as session:
        assert not outbox.replace(session, "w", body=b"double", deadline=NOW)


def test_dead_letters_show_the_reason_and_start_again_by_id_or_reason(sessions):
    for key in ("a", "b", "c"):
        add(sessions, key, deadline=NOW + timedelta(hours=1))
    for held in claim(sessions):
        error = "Refused: 40003" if held.dedupe_key != "c" else "other"
        end(sessions, held, CallState.DEAD, error=error, errcode=40003)

    with sessions.begin() as session:
        assert {one.last_error for one in outbox.dead_letters(session)} == {
            "Refused: 40003",
            "other",
        }
        assert outbox.failure_reasons(session)[0] == ("alert", "dead", "Refused: 40003", 2)
        assert outbox.retry(session, reason="Refused: 40003") == 2
        assert outbox.retry(session) == 0
    assert sorted(held.dedupe_key for held in claim(sessions)) == ["a", "b"]


def test_a_done_call_is_not_started_again_by_a_retry(sessions):
    row = add(sessions, "a")
    (held,) = claim(sessions)
    end(sessions, held)

    with sessions.begin() as session:
        assert outbox.retry(session, [row]) == 0
        assert outbox.cancel(session, ["a"]) == 0


def test_a_call_on_an_unknown_lane_is_a_mistake(sessions):
    with pytest.raises(ValueError, match="events"):
        add(sessions, "a", lane="events")


def test_a_welcome_passes_all_the_alerts_that_wait_on_its_lane(sessions):
    for number in range(20):
        add(sessions, f"alert{number}", lane="fast")
    add(sessions, "welcome", lane="fast", deadline=NOW + timedelta(seconds=19))

    assert "welcome" in {held.dedupe_key for held in claim(sessions, "fast")}
