"""Access tokens and tickets (access_token, jsapi_ticket), shared by all processes.

PostgreSQL holds them, encrypted; a process remembers one for at most 30 seconds. Who needs a new
one takes an advisory lock and looks again, so a burst on a dead token fetches once. Tokens that
are refused over and over are not fetched without end: WeCom blocks a corp that does so for an hour.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import ColumnElement, Interval, LargeBinary, String, func, literal, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from bot import errors
from bot.clock import Clock
from bot.db import Base, transaction
from bot.wecom.errcodes import error_for

TRUST_SECONDS = 30.0
# Renewed when four fifths of its life are over; what is left is time to survive an outage.
_RENEW_SHARE = 0.8
# Five fetches at once, then one every three seconds, whether they fail or their tokens are refused:
# 1,200 an hour, and WeCom's block begins at about 2,000.
_FETCH_PAUSE = timedelta(seconds=3)
_FETCH_BURST = timedelta(seconds=15)

# Fetches a fresh value from WeCom: (value, seconds of life).
Fetch = Callable[[], tuple[str, int]]


class WeComToken(Base):
    """One token or ticket of one app; `version` rises with each fetch."""

    __tablename__ = "wecom_token"

    corp: Mapped[str] = mapped_column(String(64), primary_key=True)
    app: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime]
    renew_at: Mapped[datetime]
    version: Mapped[int]
    # How far the allowance of fetches is used up (GCRA, as in the limiter).
    fetches_paid_at: Mapped[datetime]
    # What the last fetch ended with: 0 is well, NULL is no answer.
    last_errcode: Mapped[int | None]


@dataclass(frozen=True)
class TokenName:
    """Whose token: one app of one corp has one access token and two kinds of tickets."""

    corp: str
    app: str
    kind: str = "access_token"


@dataclass(frozen=True)
class Token:
    """A value (never shown) and its version, which says later which one was refused."""

    value: str
    version: int

    def __repr__(self) -> str:
        return f"Token(version={self.version})"


@dataclass(frozen=True)
class _Remembered:
    token: Token
    looked_at: float
    dies_at: float


@dataclass(frozen=True)
class _Row:
    version: int
    token: Token | None
    life_seconds: float
    is_due: bool


class TokenStore:
    """The tokens of this installation. Safe to share between threads.

    Time is the database's, plus what the sandbox's `clock` runs ahead of the real world: when the
    sandbox lets a week pass, tokens have aged there and the allowance of fetches has come back.
    """

    def __init__(
        self, sessions: sessionmaker[Session], secret_key: str, clock: Clock | None = None
    ) -> None:
        self._sessions = sessions
        self._clock = clock or Clock()
        # The key of the rows is derived, so that it is not the key that signs cookies.
        self._cipher = AESGCM(hashlib.sha256(b"wecom-token\0" + secret_key.encode()).digest())
        self._remembered: dict[TokenName, _Remembered] = {}
        self._locks: dict[TokenName, threading.Lock] = {}
        self._guard = threading.Lock()

    def get(self, name: TokenName, fetch: Fetch, *, refused: int | None = None) -> Token:
        """A token newer than the `refused` version; `fetch` is called only if nobody has one.

        Raises what `fetch` raises, TokenRejected when refusals come too fast, WeComUnavailable
        when the database is away and no token is remembered.
        """
        remembered = self._recall(name, refused, TRUST_SECONDS)
        if remembered is not None:
            return remembered
        with self._lock_of(name):
            # Another thread may have been here while this one waited.
            remembered = self._recall(name, refused, TRUST_SECONDS)
            if remembered is not None:
                return remembered
            failed = False
            try:
                return self._look_or_fetch(name, fetch, refused)
            except SQLAlchemyError:
                failed = True
            # Outside the handler, so that a database's message is not chained to ours.
            remembered = self._recall(name, refused, float("inf")) if failed else None
            if remembered is not None:
                return remembered
            raise errors.WeComUnavailable("gettoken", None, "the token store does not answer")

    def _now(self) -> ColumnElement[datetime]:
        return func.clock_timestamp() + literal(self._clock.offset(), Interval)

    def _lock_of(self, name: TokenName) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(name, threading.Lock())

    def _recall(self, name: TokenName, refused: int | None, trust: float) -> Token | None:
        known = self._remembered.get(name)
        now = time.monotonic()
        if known is None or now - known.looked_at > trust or now > known.dies_at:
            return None
        if refused is not None and known.token.version <= refused:
            return None
        return known.token

    def _remember(self, name: TokenName, token: Token, life_seconds: float) -> Token:
        now = time.monotonic()
        self._remembered[name] = _Remembered(token, now, now + life_seconds)
        return token

    def _look_or_fetch(self, name: TokenName, fetch: Fetch, refused: int | None) -> Token:
        with self._sessions() as session:
            row = self._read(session, name)
        if row is not None and not row.is_due and (token := _good(row, refused)):
            return self._remember(name, token, row.life_seconds)
        with transaction(self._sessions) as session:
            session.execute(text("SET LOCAL lock_timeout = '15s'"))
            session.execute(select(func.pg_advisory_xact_lock(_lock_number(name))))
            row = self._read(session, name) or self._create(session, name)
            if not row.is_due and (token := _good(row, refused)):
                return self._remember(name, token, row.life_seconds)
            outcome = self._fetch(session, name, fetch, row)
        # Raised only here: a failed fetch, too, must be committed as one that was made.
        if isinstance(outcome, Token):
            return outcome
        if isinstance(outcome, errors.WeComUnavailable | errors.RateLimited) and (
            token := _good(row, refused)
        ):
            # Renewed early on purpose: the old one still works, and the next try comes soon.
            return self._remember(name, token, row.life_seconds)
        raise outcome

    def _fetch(
        self, session: Session, name: TokenName, fetch: Fetch, row: _Row
    ) -> Token | errors.WeComError:
        stored = session.scalars(select(WeComToken).where(*_is(name))).one()
        now = cast(datetime, session.scalar(select(self._now())))
        paid_at = max(stored.fetches_paid_at, now) + _FETCH_PAUSE
        if paid_at - now > _FETCH_BURST:
            return _not_again_yet(stored.last_errcode)
        stored.fetches_paid_at = paid_at
        try:
            value, life = fetch()
        except errors.WeComError as error:
            stored.last_errcode = error.errcode
            if isinstance(error, errors.RateLimited):
                # Nothing may go out before the platform's own block ends.
                rest = timedelta(seconds=error.retry_after)
                stored.fetches_paid_at = now + rest + _FETCH_BURST - _FETCH_PAUSE
            return error
        token = Token(value, row.version + 1)
        life = max(1, min(life, 7200))
        stored.ciphertext = self._seal(name, value)
        stored.expires_at = now + timedelta(seconds=life)
        stored.renew_at = now + timedelta(seconds=life * _RENEW_SHARE)
        stored.version = token.version
        stored.last_errcode = 0
        return self._remember(name, token, float(life))

    def _read(self, session: Session, name: TokenName) -> _Row | None:
        now = self._now()
        found = session.execute(
            select(
                WeComToken.ciphertext,
                WeComToken.version,
                func.extract("epoch", WeComToken.expires_at - now).label("life"),
                (WeComToken.renew_at <= now).label("is_due"),
            ).where(*_is(name))
        ).one_or_none()
        if found is None:
            return None
        value = self._open(name, found.ciphertext)
        token = None if value is None else Token(value, found.version)
        return _Row(found.version, token, float(found.life), bool(found.is_due))

    def _create(self, session: Session, name: TokenName) -> _Row:
        now = self._now()
        session.execute(
            insert(WeComToken)
            .values(
                corp=name.corp,
                app=name.app,
                kind=name.kind,
                ciphertext=b"",
                expires_at=now,
                renew_at=now,
                version=0,
                fetches_paid_at=now,
                last_errcode=0,
            )
            .on_conflict_do_nothing()
        )
        return _Row(version=0, token=None, life_seconds=0.0, is_due=True)

    def _seal(self, name: TokenName, value: str) -> bytes:
        nonce = secrets.token_bytes(12)
        return nonce + self._cipher.encrypt(nonce, value.encode(), _label(name))

    def _open(self, name: TokenName, ciphertext: bytes) -> str | None:
        try:
            opened = self._cipher.decrypt(ciphertext[:12], ciphertext[12:], _label(name))
        except (InvalidTag, ValueError):
            # Written under another SECRET_KEY: as good as none.
            return None
        return opened.decode()


def _good(row: _Row, refused: int | None) -> Token | None:
    """The row's token, if it lives and is newer than the refused one."""
    if row.life_seconds <= 0 or (refused is not None and row.version <= refused):
        return None
    return row.token


def _not_again_yet(last_errcode: int | None) -> errors.WeComError:
    reason = "fetched too often in a short time; it will be tried again in some seconds"
    if last_errcode is None:
        return errors.WeComUnavailable("gettoken", None, reason)
    if last_errcode == 0:
        return errors.TokenRejected("gettoken", None, reason)
    return error_for("gettoken", last_errcode, reason)


def _is(name: TokenName) -> tuple[ColumnElement[bool], ...]:
    return (
        WeComToken.corp == name.corp,
        WeComToken.app == name.app,
        WeComToken.kind == name.kind,
    )


def _label(name: TokenName) -> bytes:
    return "\0".join((name.corp, name.app, name.kind)).encode()


def _lock_number(name: TokenName) -> int:
    digest = hashlib.sha256(b"wecom-token\0" + _label(name)).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
