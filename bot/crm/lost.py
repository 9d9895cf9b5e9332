"""Customers lost (流失名单): who deleted whom, when, and what was between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.errors import UserError

_CURSOR = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\.([0-9]{1,18})", re.ASCII)

# `touch_ledger` is a table of a floor above; only its newest day is read, for people to see.
_PAGE = text(
    """
    SELECT r.id, r.contact_id, r.ended_on, r.ended_by, r.followed_on, g.name AS guide_name,
           s.name AS store_name, heir.name AS now_with,
           COALESCE(NULLIF(r.remark, ''), NULLIF(c.name, ''), NULLIF(m.name, ''), '未命名客户')
               AS name,
           (SELECT COALESCE(sum(p.amount_fen - p.refunded_fen), 0) FROM purchase p
            WHERE p.contact_id = r.contact_id) AS spent_fen,
           (SELECT max(t.touched_on) FROM touch_ledger t
            WHERE t.contact_id = r.contact_id AND t.touched_on <= r.ended_on) AS touched_on
    FROM follow_relation r
    JOIN contact c ON c.id = r.contact_id
    JOIN guide g ON g.id = r.guide_id
    LEFT JOIN store s ON s.id = g.store_id
    LEFT JOIN member m ON m.contact_id = r.contact_id
    LEFT JOIN guide heir ON heir.id = c.guide_id
    WHERE r.state = 'ended' AND r.ended_on BETWEEN :first AND :last
      AND r.ended_by = ANY(:directions)
      AND (CAST(:store_id AS bigint) IS NULL OR g.store_id = :store_id)
      AND (CAST(:before_on AS date) IS NULL
           OR (r.ended_on, r.id) < (CAST(:before_on AS date), CAST(:before_id AS bigint)))
    ORDER BY r.ended_on DESC, r.id DESC
    LIMIT :limit
    """
)
_TODAY = text(
    """
    SELECT count(*) FROM follow_relation
    WHERE guide_id = :guide_id AND state = 'ended' AND ended_on = :day AND ended_by = :direction
    """
)


class Direction(StrEnum):
    """Who ended it: the customer deleted the guide, or the guide the customer."""

    CUSTOMER = "customer"
    GUIDE = "guide"


@dataclass(frozen=True)
class Lost:
    """One relation that ended. `now_with` is the guide who follows the customer still, if any."""

    contact_id: int
    name: str
    guide_name: str
    store_name: str | None
    direction: Direction
    ended_on: date
    followed_days: int
    spent_fen: int
    touched_on: date | None
    now_with: str | None


@dataclass(frozen=True)
class Page:
    """Some of the list; `cursor` asks for the rest, None at its end."""

    rows: Sequence[Lost]
    cursor: str | None


def page(
    session: Session,
    *,
    first: date,
    last: date,
    direction: Direction | None = None,
    store_id: int | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page:
    """The relations that ended from `first` to `last`, the newest first; without transfers."""
    before_on, before_id = _read(cursor)
    given = {
        "first": first,
        "last": last,
        "directions": [direction.value] if direction else [one.value for one in Direction],
        "store_id": store_id,
        "before_on": before_on,
        "before_id": before_id,
        "limit": limit + 1,
    }
    rows = session.execute(_PAGE, given).all()
    shown = rows[:limit]
    more = f"{shown[-1].ended_on.isoformat()}.{shown[-1].id}" if len(rows) > limit else None
    return Page([_lost(row) for row in shown], more)


def count_of_guide(session: Session, guide_id: int, day: date, direction: Direction) -> int:
    """How many relations of one guide ended on `day` in this direction."""
    given = {"guide_id": guide_id, "day": day, "direction": direction.value}
    return session.scalar(_TODAY, given) or 0


def _lost(row: Any) -> Lost:
    return Lost(
        contact_id=row.contact_id,
        name=row.name,
        guide_name=row.guide_name,
        store_name=row.store_name,
        direction=Direction(row.ended_by),
        ended_on=row.ended_on,
        followed_days=max((row.ended_on - row.followed_on).days, 0),
        spent_fen=int(row.spent_fen),
        touched_on=row.touched_on,
        now_with=row.now_with,
    )


def _read(cursor: str | None) -> tuple[date | None, int | None]:
    if not cursor:
        return None, None
    found = _CURSOR.fullmatch(cursor)
    try:
        return (date.fromisoformat(found[1]), int(found[2])) if found else _bad()
    except ValueError:
        return _bad()


def _bad() -> tuple[date, int]:
    raise UserError("翻页的位置不对，请从第一页看起。", field="cursor")
