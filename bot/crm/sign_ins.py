"""Who is signed in (登录会话): operators at the console, guides on their pages.

A browser holds one random token; the table holds its hash, so a copy of the table opens no door.
Somebody who is switched off is out at the next click, because every reading asks for the person.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import BigInteger, Identity, Index, Text, case, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from bot.crm.models import Guide, Operator
from bot.db import Base

#: A sign-in ends this long after it began, however busy; and after this long without a click.
LONGEST = timedelta(hours=12)
IDLE = timedelta(hours=2)
#: How long somebody may take at the platform's sign-in page.
STATE_LIFE = timedelta(minutes=5)
# A click is written down at most this often: reading a page should not cost a write each time.
_SEEN_EVERY = timedelta(minutes=1)


class SignInKind(StrEnum):
    """Which door a sign-in opens."""

    OPERATOR = "operator"
    GUIDE = "guide"


class WebSession(Base):
    """One sign-in of one browser."""

    __tablename__ = "web_session"
    __table_args__ = (Index("ix_web_session_subject", "kind", "subject_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    #: SHA-256 of the token in hexadecimal.
    token_hash: Mapped[str] = mapped_column(Text, unique=True)
    kind: Mapped[str] = mapped_column(Text)
    #: `operator.id` or `guide.id`, by `kind`.
    subject_id: Mapped[int] = mapped_column(BigInteger)
    opened_at: Mapped[datetime]
    seen_at: Mapped[datetime] = mapped_column(index=True)


class SignInState(Base):
    """A walk to the platform's sign-in page that has not come back yet; used once."""

    __tablename__ = "sign_in_state"

    state_hash: Mapped[str] = mapped_column(Text, primary_key=True)
    #: Hash of the cookie of the browser that set out: nobody else may come back with the state.
    cookie_hash: Mapped[str] = mapped_column(Text)
    next_path: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(index=True)


@dataclass(frozen=True)
class SignIn:
    """A valid sign-in. `csrf` belongs to it and goes with every form."""

    kind: SignInKind
    subject_id: int
    csrf: str
    opened_at: datetime


@dataclass(frozen=True)
class Departure:
    """What a browser takes to the platform: `state` in the address, `cookie` in its pocket."""

    state: str
    cookie: str


def open(session: Session, kind: SignInKind, subject_id: int, now: datetime) -> str:
    """Begin a sign-in; the token is for the cookie and is always a new one."""
    token = secrets.token_urlsafe(32)
    session.execute(delete(WebSession).where(WebSession.seen_at < now - LONGEST))
    session.add(
        WebSession(
            token_hash=_hash(token),
            kind=kind,
            subject_id=subject_id,
            opened_at=now,
            seen_at=now,
        )
    )
    session.flush()
    return token


def read(session: Session, token: str | None, now: datetime) -> SignIn | None:
    """The sign-in behind a token, or None: unknown, over, idle too long, or the person is off."""
    if not token:
        return None
    is_on = case(
        (
            WebSession.kind == SignInKind.OPERATOR,
            select(Operator.is_active)
            .where(Operator.id == WebSession.subject_id)
            .scalar_subquery(),
        ),
        else_=select(Guide.is_active).where(Guide.id == WebSession.subject_id).scalar_subquery(),
    )
    row = session.scalar(
        select(WebSession).where(
            WebSession.token_hash == _hash(token),
            WebSession.opened_at > now - LONGEST,
            WebSession.seen_at > now - IDLE,
            is_on,
        )
    )
    if row is None:
        return None
    if now - row.seen_at > _SEEN_EVERY:
        session.execute(update(WebSession).where(WebSession.id == row.id).values(seen_at=now))
    return SignIn(SignInKind(row.kind), row.subject_id, csrf_of(token), row.opened_at)


def close(session: Session, token: str | None) -> None:
    """End one sign-in; a token nobody knows is ended already."""
    if token:
        session.execute(delete(WebSession).where(WebSession.token_hash == _hash(token)))


def close_all(session: Session, kind: SignInKind, subject_id: int) -> None:
    """End every sign-in of one person."""
    session.execute(
        delete(WebSession).where(WebSession.kind == kind, WebSession.subject_id == subject_id)
    )


def csrf_of(token: str) -> str:
    """The form token that belongs to a cookie's token; who knows one cannot compute the other."""
    return hmac.new(token.encode(), b"form", hashlib.sha256).hexdigest()


def depart(session: Session, next_path: str, now: datetime) -> Departure:
    """Begin a walk to the platform's sign-in page; `next_path` is where it shall end."""
    departure = Departure(secrets.token_hex(16), secrets.token_urlsafe(32))
    session.execute(delete(SignInState).where(SignInState.expires_at < now))
    session.add(
        SignInState(
            state_hash=_hash(departure.state),
            cookie_hash=_hash(departure.cookie),
            next_path=next_path,
            expires_at=now + STATE_LIFE,
        )
    )
    session.flush()
    return departure


def arrive(session: Session, state: str, cookie: str | None, now: datetime) -> str | None:
    """End the walk: the path to go on to, or None for a state that is foreign, old or used."""
    if not state or not cookie:
        return None
    return session.scalar(
        delete(SignInState)
        .where(
            SignInState.state_hash == _hash(state),
            SignInState.cookie_hash == _hash(cookie),
            SignInState.expires_at > now,
        )
        .returning(SignInState.next_path)
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
