"""What became of everything that went to many (群发结果): sends, their stores, their guides.

A send is one mass message step on one day, or one moment or group message. Each of its guides is
`ahead` (WeCom has not been asked yet), `waiting` (she has not confirmed), `confirmed` or `failed`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

#: More stand on no page.
MOST_SENDS = 200
MOST_GUIDES = 500

# One line a guide: a message of hers may have parts.
_MASS_GUIDES = """
    SELECT m.step_id, m.planned_on AS day, CAST(NULL AS bigint) AS posting_id,
        'mass_message' AS kind, m.guide_id, min(m.due_at) AS due_at,
        CASE WHEN bool_or(m.state = 'created') THEN 'waiting'
             WHEN bool_or(m.state IN ('waiting', 'queued')) THEN 'ahead'
             WHEN bool_or(m.state = 'confirmed') THEN 'confirmed' ELSE 'failed' END AS state,
        sum(m.contact_count) AS people, sum(m.sent_count) AS got,
        max(m.error) AS error, max(m.reminded_at) AS reminded_at
    FROM mass_send AS m
    WHERE {where}
    GROUP BY m.step_id, m.planned_on, m.guide_id
"""
_POSTING_GUIDES = """
    SELECT p.step_id, p.due_on AS day, p.id AS posting_id, p.kind, bg.guide_id, p.due_at,
        CASE WHEN bg.state = 'published' THEN 'confirmed'
             WHEN bg.state = 'missed' OR p.state = 'failed' THEN 'failed'
             WHEN p.state = 'created' THEN 'waiting' ELSE 'ahead' END AS state,
        0 AS people, 0 AS got, COALESCE(bg.error, p.error) AS error, bg.reminded_at
    FROM posting AS p JOIN posting_guide AS bg ON bg.posting_id = p.id
    WHERE {where}
"""
_TOTALS = """
    count(*) AS guides,
    count(*) FILTER (WHERE one.state = 'confirmed') AS confirmed,
    count(*) FILTER (WHERE one.state = 'waiting') AS waiting,
    count(*) FILTER (WHERE one.state = 'failed') AS failed,
    count(*) FILTER (WHERE one.state = 'ahead') AS ahead,
    CAST(sum(one.people) AS bigint) AS people, CAST(sum(one.got) AS bigint) AS got
"""
_STORE = "(CAST(:store_id AS bigint) IS NULL OR g.store_id = :store_id)"

_BOARD = f"""
    WITH one AS ({{mass}} UNION ALL {{postings}})
    SELECT one.step_id, one.day, one.posting_id, one.kind, min(one.due_at) AS due_at,
        s.title, sop.id AS sop_id, sop.name AS sop_name, {_TOTALS}
    FROM one
    JOIN guide AS g ON g.id = one.guide_id
    JOIN sop_step AS s ON s.id = one.step_id
    JOIN sop_version AS v ON v.id = s.version_id
    JOIN sop ON sop.id = v.sop_id
    WHERE {_STORE} AND (CAST(:sop_id AS bigint) IS NULL OR sop.id = :sop_id)
      AND (CAST(:kind AS text) IS NULL OR one.kind = :kind)
    GROUP BY one.step_id, one.day, one.posting_id, one.kind, s.title, sop.id, sop.name
    ORDER BY one.day DESC, min(one.due_at) DESC NULLS LAST, one.step_id, one.posting_id
    LIMIT :most
    """
_SENDS = text(
    _BOARD.format(
        mass=_MASS_GUIDES.format(where="m.planned_on BETWEEN :first AND :last"),
        postings=_POSTING_GUIDES.format(where="p.due_on BETWEEN :first AND :last"),
    )
)
_SEND = text(
    _BOARD.format(
        mass=_MASS_GUIDES.format(
            where="m.step_id = :step_id AND m.planned_on = :day "
            "AND CAST(:posting_id AS bigint) IS NULL"
        ),
        postings=_POSTING_GUIDES.format(where="p.id = :posting_id"),
    )
)
_MINE = {
    False: _MASS_GUIDES.format(where="m.step_id = :step_id AND m.planned_on = :day"),
    True: _POSTING_GUIDES.format(where="p.id = :posting_id"),
}
_BY_STORE = """
    WITH one AS ({mine})
    SELECT st.id AS store_id, st.name, {totals}
    FROM one JOIN guide AS g ON g.id = one.guide_id LEFT JOIN store AS st ON st.id = g.store_id
    GROUP BY st.id, st.name
    ORDER BY count(*) FILTER (WHERE one.state = 'waiting') DESC, st.name, st.id
"""
_BY_GUIDE = """
    WITH one AS ({mine})
    SELECT g.id AS guide_id, g.name, st.name AS store_name, one.state, one.people,
        one.got, one.error, one.reminded_at
    FROM one JOIN guide AS g ON g.id = one.guide_id LEFT JOIN store AS st ON st.id = g.store_id
    WHERE {store}
    ORDER BY array_position(ARRAY['waiting', 'failed', 'ahead', 'confirmed'], one.state),
        g.name, g.id
    LIMIT :most
"""
_ENDED = text(
    f"""
    SELECT t.state, COALESCE(t.state_reason, '') AS reason, count(*) AS number
    FROM mass_send AS m
    JOIN task AS t ON t.mass_send_id = m.id
    JOIN guide AS g ON g.id = m.guide_id
    WHERE m.step_id = :step_id AND m.planned_on = :day AND {_STORE}
    GROUP BY t.state, t.state_reason
    ORDER BY count(*) DESC, t.state_reason
    """
)


@dataclass(frozen=True)
class SendKey:
    """Which send: a mass message step on a day, or (`posting_id`) a moment or group message."""

    step_id: int
    day: date
    posting_id: int | None = None


@dataclass(frozen=True)
class Totals:
    """Guides by how far they are; customers who are meant, and who got it (mass messages)."""

    guides: int
    confirmed: int
    waiting: int
    failed: int
    ahead: int
    people: int
    got: int


@dataclass(frozen=True)
class Send:
    """One line of the board."""

    key: SendKey
    kind: str
    due_at: datetime | None
    title: str
    sop_id: int
    sop_name: str
    totals: Totals


@dataclass(frozen=True)
class OfStore:
    """One store's part of a send; `store_id` None: guides without a store."""

    store_id: int | None
    name: str | None
    totals: Totals


@dataclass(frozen=True)
class OfGuide:
    """One guide's part of a send."""

    guide_id: int
    name: str
    store_name: str | None
    state: str
    people: int
    got: int
    error: str | None
    reminded_at: datetime | None


@dataclass(frozen=True)
class Ended:
    """Tasks of a mass message that stand alike: their state, and why."""

    state: str
    reason: str
    number: int


def sends(
    session: Session,
    first: date,
    last: date,
    *,
    kind: str | None = None,
    store_id: int | None = None,
    sop_id: int | None = None,
) -> list[Send]:
    """The sends of some days, newest first, in one statement however many there are."""
    given = {"first": first, "last": last, "kind": kind, "store_id": store_id, "sop_id": sop_id}
    return [_send(row) for row in session.execute(_SENDS, {**given, "most": MOST_SENDS})]


def stores(session: Session, key: SendKey) -> list[OfStore]:
    """The stores of one send, those with most to confirm first."""
    query = _BY_STORE.format(mine=_MINE[key.posting_id is not None], totals=_TOTALS)
    return [
        OfStore(row.store_id, row.name, _totals(row))
        for row in session.execute(text(query), _given(key, None))
    ]


def guides(session: Session, key: SendKey, store_id: int | None) -> list[OfGuide]:
    """The guides of one send, who has not confirmed first; at most MOST_GUIDES."""
    query = _BY_GUIDE.format(mine=_MINE[key.posting_id is not None], store=_STORE)
    given = _given(key, store_id) | {"most": MOST_GUIDES}
    return [OfGuide(**row._mapping) for row in session.execute(text(query), given)]


def ended(session: Session, key: SendKey, store_id: int | None) -> list[Ended]:
    """How the customers' tasks of a mass message stand, by state and reason, most first."""
    if key.posting_id is not None:
        return []
    rows = session.execute(_ENDED, _given(key, store_id))
    return [Ended(**row._mapping) for row in rows]


def one(session: Session, key: SendKey, store_id: int | None = None) -> Send | None:
    """A single send, or None if there is no such."""
    given = _given(key, store_id) | {"kind": None, "sop_id": None, "most": 1}
    row = session.execute(_SEND, given).one_or_none()
    return None if row is None else _send(row)


def without_guides(send: Send) -> Send:
    """The same send with nobody in it: what a store without guides sees."""
    return replace(send, totals=Totals(0, 0, 0, 0, 0, 0, 0))


def _given(key: SendKey, store_id: int | None) -> dict[str, Any]:
    return {
        "step_id": key.step_id,
        "day": key.day,
        "posting_id": key.posting_id,
        "store_id": store_id,
    }


def _send(row: Any) -> Send:
    return Send(
        SendKey(row.step_id, row.day, row.posting_id),
        row.kind,
        row.due_at,
        row.title,
        row.sop_id,
        row.sop_name,
        _totals(row),
    )


def _totals(row: Any) -> Totals:
    return Totals(**{name: int(getattr(row, name)) for name in Totals.__dataclass_fields__})
