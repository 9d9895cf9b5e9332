"""A call is made once, ends as its kind says, and what follows it happens exactly once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from bot import leases, outbox
from bot.bot import Bot
from bot.outbox import ApiPause, CallState, Delivery, Outbox
from bot.wecom.path import TIMEOUT
from handlers.deliver import deliver
from handlers.deliveries import DELIVERIES
from handlers.verdicts import Kind, RetryClass
from tests.bot.wecom.scripted import Handler, Platform

API = "test/call"
OK: dict[str, Any] = {}


@pytest.fixture
def kinds(monkeypatch) -> Callable[..., None]:
    """Adds a kind `test` to the table for the length of a test."""

    def declare(retry: RetryClass, **more: Any) -> None:
        monkeypatch.setitem(DELIVERIES, "test", Kind(retry, **more))

    return declare


def answering(platform: Platform, *replies: dict[str, Any] | Callable[[Handler], None]) -> None:
    """Answer calls of API one after the other; the last one for ever."""
    left = list(replies)

    def answer(handler: Handler) -> None:
        reply = left.pop(0) if len(left) > 1 else left[0]
        if callable(reply):
            reply(handler)
        else:
            handler.answer_json(**reply)

    platform.answers[API] = answer


def calls(platform: Platform) -> list[bytes]:
    return [asked.body for asked in platform.asked if asked.api == API]


def drop(handler: Handler) -> None:
    """The effect happens, the answer never comes."""
    handler.close_connection = True
    handler.connection.close()


def add(bot: Bot, **more: Any) -> None:
    wish = {"kind": "test", "api": API, "body": b'{"n":1}', "dedupe_key": "a", **more}
    with bot.sessions.begin() as session:
        outbox.add(session, **wish)


def once(bot: Bot) -> int:
    """One round: what is due now, and waits are over."""
    with bot.sessions.begin() as session:
        session.execute(text("UPDATE outbox SET retry_at = now()"))
        session.execute(text("UPDATE api_pause SET until = now()"))
    with bot.sessions.begin() as session:
        held = leases.claim(session, "send", now=bot.clock.now(), most=10)
    for one in held:
        deliver(bot, one)
    return len(held)


def row(bot: Bot) -> Outbox:
    with bot.sessions() as session:
        return session.scalars(select(Outbox)).one()


def test_the_frozen_bytes_go_out_and_the_answer_is_kept(bot, platform, kinds):
    kinds(RetryClass.IDEMPOTENT)
    answering(platform, {"msgid": "m1"})
    add(bot, body='{"content":"您好"}'.encode())

    once(bot)

    assert calls(platform) == ['{"content":"您好"}'.encode()]
    assert row(bot).state == CallState.DONE
    assert row(bot).result["msgid"] == "m1"
    assert once(bot) == 0


def test_what_follows_runs_in_the_transaction_that_ends_the_call(bot, platform, kinds):
    seen: list[tuple[Delivery, str | None]] = []

    def after(session, delivery):
        seen.append((delivery, session.scalar(select(Outbox.state))))

    kinds(RetryClass.IDEMPOTENT, after=after)
    answering(platform, {"msgid": "m1"})
    add(bot, subject={"relation_id": 7})
    once(bot)

    ((delivery, state),) = seen
    assert (delivery.subject, delivery.result["msgid"]) == ({"relation_id": 7}, "m1")
    assert (delivery.state, state) == (CallState.DONE, CallState.DONE)


def test_when_what_follows_fails_it_is_tried_again_without_a_second_call(bot, platform, kinds):
    tries: list[int] = []

    def after(session, delivery):
        tries.append(delivery.attempts)
        if len(tries) == 1:
            raise KeyError("a defect")

    kinds(RetryClass.RECONCILE_FIRST, after=after)
    answering(platform, OK)
    add(bot)
    once(bot)
    assert row(bot).state == CallState.DUE
    once(bot)

    assert (len(calls(platform)), len(tries)) == (1, 2)
    assert row(bot).state == CallState.DONE


@pytest.mark.parametrize("retry", [RetryClass.IDEMPOTENT, RetryClass.PLATFORM_DEDUPED])
def test_an_answer_that_never_came_is_asked_again_with_the_same_bytes(bot, platform, kinds, retry):
    kinds(retry)
    answering(platform, drop, OK)
    add(bot)
    once(bot)
    assert (row(bot).state, row(bot).ambiguous) == (CallState.DUE, True)
    once(bot)

    assert calls(platform)[0] == calls(platform)[1]
    assert row(bot).state == CallState.DONE


def test_what_could_double_is_not_repeated_blindly_but_shown_to_a_person(bot, platform, kinds):
    kinds(RetryClass.RECONCILE_FIRST)
    answering(platform, drop, OK)
    add(bot)
    once(bot)
    once(bot)

    assert len(calls(platform)) == 1
    assert row(bot).state == CallState.UNKNOWN


@pytest.mark.parametrize(("found", "made"), [({"config_id": "c1"}, 1), (None, 2)])
def test_what_could_double_is_looked_up_first(bot, platform, kinds, found, made):
    kinds(RetryClass.RECONCILE_FIRST, reconcile=lambda bot, delivery: found)
    answering(platform, drop, {"config_id": "c2"})
    add(bot)
    once(bot)
    once(bot)

    assert len(calls(platform)) == made
    assert row(bot).result["config_id"] == ("c1" if found else "c2")


def test_already_done_after_a_silent_try_was_that_try(bot, platform, kinds):
    kinds(RetryClass.PLATFORM_DEDUPED, done_on=frozenset({41051}))
    answering(platform, drop, {"errcode": 41051, "errmsg": "started chatting"})
    add(bot)
    once(bot)
    once(bot)

    assert row(bot).state == CallState.DONE


def test_already_done_at_the_first_try_was_somebody_else(bot, platform, kinds):
    ended: list[Delivery] = []
    kinds(
        RetryClass.PLATFORM_DEDUPED,
        done_on=frozenset({41051}),
        dead=lambda session, delivery: ended.append(delivery),
    )
    answering(platform, {"errcode": 41051, "errmsg": "started chatting"})
    add(bot)
    once(bot)

    assert row(bot).state == CallState.DEAD
    assert [(one.state, one.last_errcode) for one in ended] == [(CallState.DEAD, 41051)]


@pytest.mark.parametrize(
    ("errcode", "state"),
    [
        (41050, CallState.EXPIRED),
        (41096, CallState.DUE),
        (41053, CallState.DEAD),
        (84061, CallState.DEAD),
        (40003, CallState.DEAD),
        (40007, CallState.DEAD),
        (-1, CallState.DUE),
    ],
)
def test_each_refusal_ends_or_waits_as_it_must(bot, platform, kinds, errcode, state):
    kinds(RetryClass.PLATFORM_DEDUPED)
    answering(platform, {"errcode": errcode, "errmsg": "no"})
    add(bot)
    once(bot)

    assert row(bot).state == state
    assert row(bot).last_errcode == errcode


def test_a_rate_limit_pauses_the_api_and_does_not_count_as_a_try(bot, platform, kinds):
    kinds(RetryClass.IDEMPOTENT)
    answering(platform, {"errcode": 45009, "errmsg": "api freq out of limit"}, OK)
    add(bot)
    once(bot)

    assert (row(bot).state, row(bot).attempts) == (CallState.DUE, 0)
    with bot.sessions() as session:
        pause = session.scalars(select(ApiPause)).one()
    assert (pause.api, pause.is_held) == (API, False)


def test_a_missing_permission_holds_the_api_visibly_and_tries_again_slowly(bot, platform, kinds):
    kinds(RetryClass.IDEMPOTENT)
    answering(platform, {"errcode": 48002, "errmsg": "api forbidden"}, OK)
    add(bot)
    once(bot)
    with bot.sessions() as session:
        assert session.scalars(select(ApiPause.is_held)).all() == [True]
        assert session.scalar(text("SELECT until > now() + interval '4 minutes' FROM api_pause"))

    once(bot)
    assert row(bot).state == CallState.DONE


def test_after_its_deadline_a_call_is_not_made_and_says_what_held_it_up(bot, platform, kinds):
    ended: list[Delivery] = []
    kinds(RetryClass.PLATFORM_DEDUPED, dead=lambda session, delivery: ended.append(delivery))
    answering(platform, {"errcode": 41096, "errmsg": "being distributed"}, OK)
    add(bot, deadline=bot.clock.now() + timedelta(seconds=60))
    once(bot)
    with bot.sessions.begin() as session:
        session.execute(text("UPDATE outbox SET deadline = now() - interval '1 second'"))
    once(bot)

    assert len(calls(platform)) == 1
    assert row(bot).state == CallState.EXPIRED
    assert "WelcomeBusy" in row(bot).last_error
    assert [one.state for one in ended] == [CallState.EXPIRED]


def test_past_the_window_of_the_duplicate_check_a_doubtful_message_is_not_repeated(
    bot, platform, kinds
):
    kinds(RetryClass.PLATFORM_DEDUPED)
    answering(platform, drop, OK)
    add(bot)
    once(bot)
    with bot.sessions.begin() as session:
        session.execute(text("UPDATE outbox SET first_tried_at = now() - interval '5 hours'"))
    once(bot)

    assert len(calls(platform)) == 1
    assert row(bot).state == CallState.UNKNOWN


def test_a_call_that_kills_its_workers_is_buried_after_five(bot, platform, kinds):
    kinds(RetryClass.IDEMPOTENT)
    answering(platform, OK)
    add(bot)
    for _ in range(5):
        with bot.sessions.begin() as session:
            leases.claim(session, "send", now=bot.clock.now(), most=10)
            session.execute(text("UPDATE outbox SET lease_until = now() - interval '1 second'"))
    once(bot)

    assert row(bot).state == CallState.DEAD
    assert calls(platform) == []


def test_a_late_worker_neither_ends_the_call_nor_runs_what_follows(bot, platform, kinds):
    followed: list[int] = []
    kinds(RetryClass.IDEMPOTENT, after=lambda session, delivery: followed.append(delivery.id))
    answering(platform, OK)
    add(bot)
    with bot.sessions.begin() as session:
        (late,) = leases.claim(session, "send", now=bot.clock.now(), most=1)
        session.execute(text("UPDATE outbox SET lease_until = now() - interval '1 second'"))
    once(bot)
    deliver(bot, late)

    assert len(followed) == 1
    assert row(bot).state == CallState.DONE


def test_no_transaction_is_open_while_wecom_is_asked(bot, platform, kinds, engine):
    kinds(RetryClass.IDEMPOTENT)
    open_ones: list[int] = []

    def look(handler: Handler) -> None:
        with engine.connect() as connection:
            open_ones.append(
                connection.execute(
                    text(
                        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                        " AND state = 'idle in transaction' AND pid <> pg_backend_pid()"
                    )
                ).scalar_one()
            )
        handler.answer_json()

    answering(platform, look)
    add(bot)
    once(bot)

    assert open_ones == [0]


def test_two_workers_deliver_many_calls_each_once(bot, platform, kinds):
    kinds(RetryClass.IDEMPOTENT)
    answering(platform, OK)
    with bot.sessions.begin() as session:
        outbox.add_many(
            session,
            [
                outbox.Draft(kind="test", api=API, body=json.dumps(n).encode(), dedupe_key=f"k{n}")
                for n in range(60)
            ],
        )

    def work() -> None:
        while True:
            with bot.sessions.begin() as session:
                held = leases.claim(session, "send", now=bot.clock.now(), most=7)
            if not held:
                return
            for one in held:
                deliver(bot, one)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(json.loads(body) for body in calls(platform)) == list(range(60))


def test_a_lease_outlives_the_longest_call():
    connect, answer = TIMEOUT
    assert min(leases._LEASE_SECONDS.values()) > connect + answer


def test_a_call_of_a_carrier_goes_through_it_and_not_to_wecom(bot, platform, kinds):
    made = []

    class Post:
        def call(self, api, body, *, members=()):
            made.append((api, body))
            return {"id": "m1"}

    kinds(RetryClass.IDEMPOTENT, carrier="sms")
    add(bot)
    once(replace(bot, carriers={"sms": Post()}))
    assert made == [(API, b'{"n":1}')]
    assert (row(bot).state, row(bot).result) == (CallState.DONE, {"id": "m1"})
    assert calls(platform) == []


def test_a_carrier_that_is_not_configured_ends_the_call_with_that_reason(bot, kinds):
    ended = []
    kinds(RetryClass.IDEMPOTENT, carrier="sms", dead=lambda session, one: ended.append(one))
    add(bot)
    once(bot)
    assert (row(bot).state, row(bot).last_error) == (CallState.DEAD, "短信网关没有配置")
    assert [one.state for one in ended] == [CallState.DEAD]
