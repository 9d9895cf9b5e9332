"""Door: one call of the outbox (投递), from a worker's hand to its end.

The call is made with no transaction open. WeCom's answer and what follows from it are written in
one transaction, fenced by the lease: whoever lost the lease writes nothing.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from bot import errors, leases, metrics
from bot.bot import Bot
from bot.db import transaction
from bot.outbox import CallState, Delivery
from handlers import insist, verdicts
from handlers.deliveries import DELIVERIES
from handlers.verdicts import End, Kind, Later, RetryClass, Verdict

log = logging.getLogger(__name__)

# What runs after a call is our own code; when it fails, it is tried again on its own.
_AFTER_WAIT = timedelta(seconds=5)
_UNKNOWN_KIND = Kind(RetryClass.RECONCILE_FIRST)
# Carriers beside WeCom that a brand may do without; HQ and guides read why nothing was sent.
_NOT_CONFIGURED = {"sms": "短信网关没有配置", "official_account": "公众号没有配置"}


def deliver(bot: Bot, held: Delivery) -> None:
    """Bring a claimed call to its end, or back to wait, and write down which."""
    kind = DELIVERIES.get(held.kind, _UNKNOWN_KIND)
    raised: errors.WeComError | None = None
    try:
        verdict: Verdict = _attempt(bot, kind, held)
    except errors.WeComError as error:
        raised = error
        verdict = verdicts.judge(kind, held, error, now=bot.clock.now())
    except Exception as error:  # a defect of ours on the way: nothing is known about the effect
        log.exception("delivery id=%d kind=%s broke", held.id, held.kind)
        raised = errors.WeComUnavailable(held.api, None, type(error).__name__)
        verdict = verdicts.judge(kind, held, raised, now=bot.clock.now())
    _write(bot, kind, held, verdict, raised)


def _attempt(bot: Bot, kind: Kind, held: Delivery) -> End:
    if held.result is not None:
        return End(CallState.DONE, result=held.result)
    if held.kind not in DELIVERIES:
        return End(CallState.DEAD, error=f"no row for {held.kind!r} in DELIVERIES")
    now = bot.clock.now()
    stop = verdicts.before(kind, held, now=now, real_now=now - bot.clock.offset())
    if stop is not None:
        return stop
    if kind.retry is RetryClass.RECONCILE_FIRST and held.ambiguous:
        if kind.reconcile is None:
            return End(CallState.UNKNOWN, error="it may have happened; nobody can look")
        found = kind.reconcile(bot, held)
        if found is not None:
            return End(CallState.DONE, result=found)
    if kind.carrier != "wecom":
        carrier = bot.carriers.get(kind.carrier)
        if carrier is None:
            return End(CallState.DEAD, error=_NOT_CONFIGURED[kind.carrier])
        return End(CallState.DONE, result=carrier.call(held.api, held.body, members=held.members))
    reply = bot.gateway.call(held.api, held.body, members=held.members)
    return End(CallState.DONE, result=reply)


def _write(
    bot: Bot,
    kind: Kind,
    held: Delivery,
    verdict: Verdict,
    raised: errors.WeComError | None,
) -> None:
    def write() -> None:
        if isinstance(verdict, Later):
            _write_later(bot, held, verdict, raised)
        else:
            _write_end(bot, kind, held, verdict)

    # A call that was made must be written down, even if PostgreSQL restarts just now.
    insist.insist(write)


def _write_later(bot: Bot, held: Delivery, later: Later, raised: errors.WeComError | None) -> None:
    with transaction(bot.sessions) as session:
        leases.put_back(
            session,
            held,
            wait=later.wait,
            error=later.error,
            errcode=later.errcode,
            counted=later.counted,
            ambiguous=later.ambiguous,
        )
        if later.pause and raised is not None:
            wait = verdicts.pause_of(later, raised)
            leases.pause_api(
                session, held.api, wait=wait, reason=later.error, is_held=later.is_held
            )
    metrics.DELIVERIES.labels(held.kind, "later").inc()
    level = logging.ERROR if later.is_held else logging.INFO
    log.log(level, "delivery id=%d kind=%s later errcode=%s", held.id, held.kind, later.errcode)


def _write_end(bot: Bot, kind: Kind, held: Delivery, end: End) -> None:
    follow = kind.after if end.state is CallState.DONE else kind.dead
    try:
        with transaction(bot.sessions) as session:
            if not _finish(session, held, end):
                return
            if follow is not None:
                follow(session, _ended(held, end))
    except DBAPIError as error:
        if insist.is_away(error):
            raise
        _keep(bot, held, end)
    except Exception:  # what follows is code of the floors above; the call itself must not be lost
        _keep(bot, held, end)
    else:
        metrics.DELIVERIES.labels(held.kind, end.state.value).inc()
        log.info("delivery id=%d kind=%s %s", held.id, held.kind, end.state.value)


def _keep(bot: Bot, held: Delivery, end: End) -> None:
    """What follows the call failed: keep the answer, so that only that is tried again."""
    log.exception("delivery id=%d kind=%s: what follows failed", held.id, held.kind)
    metrics.DELIVERIES.labels(held.kind, "follow_failed").inc()
    reason = "what follows the call failed; see the log"
    with transaction(bot.sessions) as session:
        if end.state is not CallState.DONE:
            _finish(session, held, replace(end, error=f"{end.error}; {reason}"))
        elif held.attempts >= verdicts.MOST_ATTEMPTS:
            _finish(session, held, replace(end, state=CallState.DEAD, error=reason))
        else:
            leases.keep_result(session, held, _answer(end))
            leases.put_back(session, held, wait=_AFTER_WAIT * held.attempts, error=reason)


def _finish(session: Session, held: Delivery, end: End) -> bool:
    result = _answer(end) if end.state is CallState.DONE or end.result is not None else None
    return leases.finish(
        session, held, end.state, result=result, error=end.error, errcode=end.errcode
    )


def _answer(end: End) -> dict[str, Any]:
    return end.result if end.result is not None else {}


def _ended(held: Delivery, end: End) -> Delivery:
    return replace(
        held,
        state=end.state,
        result=end.result,
        last_error=end.error,
        last_errcode=end.errcode if end.errcode is not None else held.last_errcode,
    )
