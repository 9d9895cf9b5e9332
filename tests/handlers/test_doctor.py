"""doctor names what is held up, why, and what to do about it."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text

from bot import leases, outbox
from bot.db import transaction
from handlers import doctor


def _pause(bot, *, is_held: bool, reason: str) -> None:
    with transaction(bot.sessions) as session:
        outbox.add(session, kind="alert", api="message/send", body=b"{}", dedupe_key=reason)
        session.execute(text("UPDATE outbox SET last_errcode = 60020"))
        wait = timedelta(minutes=5)
        leases.pause_api(session, "message/send", wait=wait, reason=reason, is_held=is_held)


def test_without_a_pause_there_is_nothing_to_tell(bot):
    assert doctor.pauses(bot).state == "ok"


def test_an_api_that_is_held_is_named_with_the_reason_and_the_advice(bot):
    _pause(bot, is_held=True, reason="NotConfigured: not allow to access from your ip")
    found = doctor.pauses(bot)
    assert found.state == "fail"
    assert "message/send" in found.found
    assert "not allow to access from your ip" in found.found
    assert "IP" in found.next_step


def test_an_api_that_waits_out_a_limit_is_only_a_warning(bot):
    _pause(bot, is_held=False, reason="RateLimited: api freq out of limit")
    assert doctor.pauses(bot).state == "warn"


def test_a_pause_that_is_over_is_not_told(bot):
    _pause(bot, is_held=True, reason="NotConfigured: x")
    with transaction(bot.sessions) as session:
        assert leases.resume_api(session, "message/send")
    assert doctor.pauses(bot).state == "ok"
