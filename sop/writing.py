"""Run one writing statement and count its rows (写入行数)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import CursorResult, text
from sqlalchemy.orm import Session
from sqlalchemy.sql.base import Executable

#: Fewer new rows than this do not make the planner's picture of a table wrong.
MANY_ROWS = 10_000


def look_again(session: Session, table: str, *columns: str) -> None:
    """Let the planner see what this transaction has written; autovacuum would come too late.

    Without `columns` it looks at all of them.
    """
    only = f" ({', '.join(columns)})" if columns else ""
    session.execute(text(f"ANALYZE {table}{only}"))


def rows(session: Session, statement: Executable, values: Mapping[str, Any] | None = None) -> int:
    """Execute it; returns how many rows it wrote. Objects already loaded are not refreshed."""
    options = {"synchronize_session": False, "preserve_rowcount": True}
    result = session.execute(statement, values, execution_options=options)
    return max(0, cast(CursorResult[Any], result).rowcount)
