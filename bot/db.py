"""The database: declarative base, naming convention, engine and sessions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import DateTime, MetaData, create_engine
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

log = logging.getLogger(__name__)

Done = TypeVar("Done")

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


# Deadlock and serialization failure: nothing was written, and trying again helps.
_TRANSIENT = {"40P01", "40001"}
_TRIES = 5


class Base(DeclarativeBase):
    """Base of every table. A Python datetime is always stored with its time zone."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012 - SQLAlchemy's protocol


def create_database_engine(url: str, *, pool_size: int = 10) -> Engine:
    """An engine for `postgresql://…`; psycopg 3 is the driver whatever the URL says."""
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    return create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=4,
        pool_pre_ping=True,
        pool_timeout=5,
        connect_args={"connect_timeout": 5, "application_name": "daogou"},
        # An error of the database ends in the log; the names and birthdays it was about must not.
        hide_parameters=True,
    )


def create_sessions(engine: Engine, **info: Any) -> sessionmaker[Session]:
    """A session factory; `info` travels with every session (the bells need it)."""
    return sessionmaker(engine, expire_on_commit=False, info=dict(info))


@contextmanager
def transaction(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """One transaction: returning commits, raising rolls back."""
    with sessions() as session, session.begin():
        yield session


def transact(sessions: sessionmaker[Session], work: Callable[[Session], Done]) -> Done:
    """Do `work` in one transaction of its own; again, when it met another one in a deadlock."""
    for attempt in range(1, _TRIES + 1):
        try:
            with transaction(sessions) as session:
                return work(session)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _TRANSIENT or attempt == _TRIES:
                raise
            log.warning("transaction repeated attempt=%d", attempt)
    raise AssertionError("unreachable")
