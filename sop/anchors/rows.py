"""What every trigger's SELECT gives (基准日的列), and the words of its facts in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Date,
    DateTime,
    Select,
    Text,
    cast,
    func,
    literal,
    null,
    select,
)
from sqlalchemy.sql.elements import ColumnElement

Anchors = Select[tuple[int, int | None, date, datetime | None, str]]
Params = Mapping[str, Any]


def anchors(
    contact_id: Any, anchored_on: Any, fact: Any, *, guide_id: Any = None, at: Any = None
) -> Anchors:
    """The five columns of a trigger's SELECT; no guide: whoever is responsible."""
    return select(
        contact_id.label("contact_id"),
        (cast(null(), BigInteger) if guide_id is None else guide_id).label("guide_id"),
        anchored_on.label("anchored_on"),
        (cast(null(), DateTime(timezone=True)) if at is None else at).label("anchored_at"),
        cast(fact, Text).label("fact"),
    )


def on(day: Any, words: str) -> ColumnElement[Any]:
    """ "10月3日" and some words, in SQL."""
    return func.to_char(day, 'FMMM"月"FMDD"日"').op("||")(literal(words, Text))


def with_year(day: Any, words: str) -> ColumnElement[Any]:
    """ "2024年10月3日" and some words, in SQL."""
    return func.to_char(day, 'YYYY"年"FMMM"月"FMDD"日"').op("||")(literal(words, Text))


def yuan(fen: Any) -> ColumnElement[Any]:
    """ "¥200", in SQL; pennies are not said."""
    return literal("¥", Text).op("||")(func.to_char(fen / 100, "FM999G999G999G990"))


def array(values: Sequence[Any], kind: Any) -> ColumnElement[Any]:
    """A list as one parameter: the statement's text stays the same however long the window is."""
    return literal(list(values), ARRAY(kind))


def written(dates: str) -> ColumnElement[Any]:
    """A list of dates that is written out already, `{2026-11-21,…}`: long ones are slow to write.

    The 15,000 dates of a year's anniversaries take the driver 30 ms each time, PostgreSQL 3 ms.
    """
    return cast(literal(dates, Text), ARRAY(Date))
