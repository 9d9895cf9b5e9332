"""What an error of WeCom means for a call in hand (判定): pure, so that every case can be tested.

The error's class says whether trying again can help; the kind's retry class says whether trying
again can double something.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy.orm import Session

from bot import errors
from bot.bot import Bot
from bot.outbox import CallState, Delivery


class RetryClass(StrEnum):
    """What may be done after a try whose effect is not known."""

    #: Doing it twice is doing it once: try again.
    IDEMPOTENT = "A"
    #: WeCom itself recognizes the same bytes: send them again inside the window.
    PLATFORM_DEDUPED = "B"
    #: Look first whether it happened; where nobody can look, a person decides.
    RECONCILE_FIRST = "C"


After = Callable[[Session, Delivery], None]


@dataclass(frozen=True)
class Kind:
    """How one kind of call is retried, and what follows its end.

    `done_on` are errcodes that, after an ambiguous try, say that the try had succeeded. `after`
    runs in the transaction that marks the call done, `dead` in the one that gives it up.
    `moot_on` are errcodes that say there is nobody for it: it is done with, and no dead letter.
    `reconcile` looks at WeCom and returns what the call would have answered, or None if it has
    not happened; it may raise WeComError.
    """

    retry: RetryClass
    done_on: frozenset[int] = frozenset()
    after: After | None = None
    dead: After | None = None
    reconcile: Callable[[Bot, Delivery], dict[str, Any] | None] | None = None
    #: Errcodes that say "it exists already": `reconcile` then finds what there is.
    exists_on: frozenset[int] = frozenset()
    moot_on: frozenset[int] = frozenset()
    #: For B: how long after the first try WeCom still recognizes the bytes.
    window: timedelta = timedelta(hours=3, minutes=50)
    #: Who makes the call: `wecom`, or a name in `Bot.carriers`.
    carrier: str = "wecom"


@dataclass(frozen=True)
class End:
    """The call has ended in `state`."""

    state: CallState
    result: dict[str, Any] | None = None
    error: str | None = None
    errcode: int | None = None


@dataclass(frozen=True)
class Later:
    """The call waits; `pause` keeps the whole API waiting, `is_held` until somebody changes it."""

    wait: timedelta
    error: str
    errcode: int | None
    counted: bool = True
    ambiguous: bool = False
    pause: bool = False
    is_held: bool = False


Verdict = End | Later

MOST_CRASHES = 5
#: Tries after which an answer that keeps failing is given up (A about 50 minutes).
MOST_ATTEMPTS = 12
# Somebody must change a setting: look again, but slowly (a wrong secret used often blocks the app).
HELD_WAIT = timedelta(minutes=5)
# Below this the wait concerns this one call; from here on, the API.
_PAUSE_FROM = timedelta(seconds=1)
_LONGEST_WAIT = 600.0


def before(kind: Kind, held: Delivery, *, now: datetime, real_now: datetime) -> End | None:
    """The end of a call that must not be made any more; `real_now` has no sandbox's lead."""
    if held.crashes >= MOST_CRASHES:
        return _give_up(kind, held, f"its worker died {held.crashes} times", None)
    if held.deadline is not None and now > held.deadline:
        state = CallState.UNKNOWN if _may_double(kind, held) else CallState.EXPIRED
        held_up = f"; held up by: {held.last_error}" if held.last_error else ""
        return End(state, error=f"its deadline passed{held_up}", errcode=held.last_errcode)
    over = held.first_tried_at is not None and real_now - held.first_tried_at > kind.window
    if kind.retry is RetryClass.PLATFORM_DEDUPED and held.ambiguous and over:
        return End(CallState.UNKNOWN, error="WeCom would no longer recognize a second copy")
    return None


def judge(kind: Kind, held: Delivery, error: errors.WeComError, *, now: datetime) -> Verdict:
    """What to do with a call that WeCom, or the way to it, answered with `error`."""
    reason, code = f"{type(error).__name__}: {error.reason}"[:500], error.errcode
    if held.ambiguous and code is not None and code in kind.done_on:
        return End(CallState.DONE, result={"errcode": code, "already": True})
    if code is not None and code in kind.moot_on:
        return End(CallState.CANCELLED, error=reason, errcode=code)
    if code is not None and code in kind.exists_on and not held.ambiguous:
        return Later(timedelta(milliseconds=100), reason, code, ambiguous=True)
    match error:
        case errors.RateLimited():
            wait = timedelta(seconds=max(error.retry_after, 0.05))
            pause = code is not None or (not held.members and wait >= _PAUSE_FROM)
            if held.members and not pause and held.deadline is None:
                # A member's minute is full: hundreds that wait for it must not come all the time.
                wait = max(wait, timedelta(seconds=random.uniform(5.0, 20.0)))
            return Later(_fit(wait, held, now), reason, code, counted=False, pause=pause)
        case errors.NotConfigured() | errors.TokenRejected():
            wait = _fit(HELD_WAIT, held, now)
            return Later(wait, reason, code, counted=False, pause=True, is_held=True)
        case errors.WeComUnavailable():
            return _unavailable(kind, held, reason, code)
        case errors.WelcomeBusy():
            if held.attempts >= MOST_ATTEMPTS:
                return End(CallState.DEAD, error=reason, errcode=code)
            return Later(_backoff(held), reason, code)
        case errors.WelcomeExpired():
            return End(CallState.EXPIRED, error=reason, errcode=code)
        case _:
            return End(CallState.DEAD, error=reason, errcode=code)


def pause_of(error: Later, raised: errors.WeComError) -> timedelta:
    """How long the API waits, which may be longer than this one call can."""
    if isinstance(raised, errors.RateLimited):
        return timedelta(seconds=raised.retry_after)
    return HELD_WAIT if error.is_held else error.wait


def _unavailable(kind: Kind, held: Delivery, reason: str, code: int | None) -> Verdict:
    bounded = kind.retry is RetryClass.PLATFORM_DEDUPED and held.deadline is not None
    if held.attempts >= MOST_ATTEMPTS and not bounded:
        return _give_up(kind, held, reason, code)
    return Later(_backoff(held), reason, code, ambiguous=True)


def _give_up(kind: Kind, held: Delivery, reason: str, code: int | None) -> End:
    doubtful = kind.retry is not RetryClass.IDEMPOTENT
    return End(CallState.UNKNOWN if doubtful else CallState.DEAD, error=reason, errcode=code)


def _may_double(kind: Kind, held: Delivery) -> bool:
    return held.ambiguous and kind.retry is not RetryClass.IDEMPOTENT


def _backoff(held: Delivery) -> timedelta:
    """Growing pauses with jitter; on the fast lane short ones, because a 20 s clock runs."""
    base, longest = (0.3, 3.0) if held.lane == "fast" else (1.0, _LONGEST_WAIT)
    seconds = min(base * 2.0 ** max(0, held.attempts - 1), longest)
    return timedelta(seconds=seconds * random.uniform(0.5, 1.0))


def _fit(wait: timedelta, held: Delivery, now: datetime) -> timedelta:
    """Not past the deadline, so that a call that waits too long expires on time, and is told of."""
    if held.deadline is None:
        return wait
    left = held.deadline - now + timedelta(milliseconds=200)
    return max(timedelta(milliseconds=50), min(wait, left))
