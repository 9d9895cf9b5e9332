"""What one transaction keeps aside (临时表): the same table object each time it is made anew.

SQLAlchemy finds a compiled statement again by the very tables it names. A temporary table that
is a new object every night would have statements of a hundred lines compiled every night.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import FromClause, Select
from sqlalchemy.orm import Session

_TABLES: dict[str, FromClause] = {}


def keep(session: Session, wanted: Select[*tuple[Any, ...]], name: str) -> FromClause:
    """Write the rows of `wanted` into the temporary table `name`; returns that table.

    One name stands for the same columns always.
    """
    made = wanted.into(name, temporary=True)
    session.execute(made)
    return _TABLES.setdefault(name, made.table)
