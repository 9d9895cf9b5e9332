"""Leads as people read them (线索): one, a guide's, a customer's, a page of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.errors import UserError
from sop.lead_signals import LIVE
from sop.models import LeadState

# Short enough to be typed on a phone, and longer than any guide's list.
_NUMBERS = 9999
#: The number of a lead in SQL, as `LeadView.number` has it.
NUMBER = f"((l.id - 1) % {_NUMBERS} + 1)"

_VIEWS = """
    SELECT l.id, l.contact_id, l.guide_id, l.state, l.score, l.is_hot, l.raised_at, l.assigned_at,
           l.assigned_by, l.escalated_at, l.touched_at, l.ended_at, l.outcome,
           COALESCE(NULLIF(r.remark, ''), NULLIF(c.name, ''), NULLIF(m.name, ''), '未命名客户')
               AS name,
           g.name AS guide_name, s.name AS store_name,
           (SELECT string_agg(x.text, '；' ORDER BY x.seen_at DESC, x.id DESC)
            FROM (SELECT * FROM lead_signal y WHERE y.lead_id = l.id
                  ORDER BY y.seen_at DESC, y.id DESC LIMIT 3) x) AS signals
    FROM lead l
    JOIN contact c ON c.id = l.contact_id
    LEFT JOIN member m ON m.contact_id = l.contact_id
    LEFT JOIN guide g ON g.id = l.guide_id
    LEFT JOIN store s ON s.id = l.store_id
    LEFT JOIN follow_relation r ON r.guide_id = l.guide_id AND r.contact_id = l.contact_id
"""


@dataclass(frozen=True)
class LeadView:
    """A lead as people read it; `signals` is what the customer did, the newest first."""

    id: int
    contact_id: int
    guide_id: int | None
    state: LeadState
    score: int
    is_hot: bool
    raised_at: datetime
    assigned_at: datetime | None
    assigned_by: str | None
    escalated_at: datetime | None
    touched_at: datetime | None
    ended_at: datetime | None
    outcome: str | None
    name: str
    guide_name: str | None
    store_name: str | None
    signals: str

    @property
    def number(self) -> int:
        """How people call it (线索 2): it stays the same for as long as the lead lives, whatever
        becomes of the others."""
        return (self.id - 1) % _NUMBERS + 1


def view(session: Session, lead_id: int) -> LeadView:
    """One lead; raises UserError if there is none."""
    row = session.execute(text(_VIEWS + "WHERE l.id = :id"), {"id": lead_id}).mappings().first()
    if row is None:
        raise UserError("没有找到这条线索。")
    return _view(row)


def of_guide(session: Session, guide_id: int) -> list[LeadView]:
    """Her live leads in the order in which they were raised."""
    where = f"WHERE l.guide_id = :guide_id AND l.state IN {LIVE} ORDER BY l.id"
    rows = session.execute(text(_VIEWS + where), {"guide_id": guide_id}).mappings()
    return [_view(row) for row in rows]


def of_contact(session: Session, contact_id: int, limit: int = 5) -> list[LeadView]:
    """The newest leads of one customer."""
    where = "WHERE l.contact_id = :id ORDER BY l.id DESC LIMIT :limit"
    given = {"id": contact_id, "limit": limit}
    return [_view(row) for row in session.execute(text(_VIEWS + where), given).mappings()]


def page(
    session: Session,
    *,
    states: Sequence[LeadState],
    since: date | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[LeadView]:
    """Leads in these states, the newest first; `before` is the id a page ended with."""
    where = """
        WHERE l.state = ANY(:states)
          AND (CAST(:since AS date) IS NULL OR l.raised_on >= :since)
          AND (CAST(:before AS bigint) IS NULL OR l.id < :before)
        ORDER BY l.id DESC LIMIT :limit"""
    given = {
        "states": [state.value for state in states],
        "since": since,
        "before": before,
        "limit": limit,
    }
    return [_view(row) for row in session.execute(text(_VIEWS + where), given).mappings()]


def waiting(session: Session, guide_ids: Sequence[int]) -> dict[int, str]:
    """For her morning card: how many leads wait for each guide, in one statement; guides for whom
    none waits are left out."""
    rows = session.execute(
        text(
            """
            SELECT guide_id, count(*) AS number, count(*) FILTER (WHERE is_hot) AS hot FROM lead
            WHERE guide_id = ANY(:ids) AND state = 'assigned' GROUP BY guide_id
            """
        ),
        {"ids": list(guide_ids)},
    )
    return {
        row.guide_id: f"{row.number} 条待联系" + (f"，{row.hot} 条意向强" if row.hot else "")
        for row in rows
    }


def _view(row: Any) -> LeadView:
    values = dict(row)
    return LeadView(**values | {"state": LeadState(row["state"]), "signals": row["signals"] or ""})
