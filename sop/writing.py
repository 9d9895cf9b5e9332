"""Run one writing statement and count its rows (写入行数)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import CursorResult
from sqlalchemy.orm import Session
from sqlalchemy.sql.base import Executable


def rows(session: Session, statement: Executable, values: Mapping[str, Any] | None = None) -> int:
    """Execute it; returns how many rows it wrote. Objects already loaded are not refreshed."""
    options = {"synchronize_session": False, "preserve_rowcount": True}
    result = session.execute(statement, values, execution_options=options)
    return max(0, cast(CursorResult[Any], result).rowcount)
