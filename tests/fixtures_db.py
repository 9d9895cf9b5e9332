"""Database fixtures on top of `database_url`: engine, sessions, session, statement counting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, sessionmaker

from bot.db import create_database_engine, create_sessions
from tests.compiled import share_statements


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = share_statements(create_database_engine(database_url))
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    return create_sessions(engine)


@pytest.fixture
def session(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """A session whose work is committed by the test itself (`session.commit()`)."""
    with sessions() as session:
        yield session
        session.rollback()


@dataclass
class Statements:
    """The SQL that ran inside `counting`."""

    texts: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.texts)


@contextmanager
def counting(engine: Engine) -> Iterator[Statements]:
    """Count the statements sent to the database; executemany counts once."""
    seen = Statements()

    def note(conn, cursor, statement, parameters, context, executemany):
        seen.texts.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)
