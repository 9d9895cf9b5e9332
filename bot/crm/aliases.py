"""Member numbers that mean one person (会员号别名), as tills and operators said.

Whatever was merged into whatever, all numbers that hang together are one person. The one shown is
where the newest merges lead to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

#: (merged at, event, gone number, kept number)
_Edge = tuple[datetime, str, str, str]

# A merge that was undone no longer makes two numbers one.
_LIVE = """
    SELECT m.kept_no, m.gone_no, m.merged_at, m.event_id FROM member_merge m
    LEFT JOIN contact_merge t ON t.id = m.contact_merge_id
    WHERE t.undone_at IS NULL
"""
# All numbers that hang together with the given ones, in whichever direction they were merged.
_REACHED = f"""
    WITH RECURSIVE reached (number, other) AS (
        SELECT n, n FROM unnest(CAST(:numbers AS text[])) AS n
        UNION
        SELECT r.number, e.other FROM reached r CROSS JOIN LATERAL (
            SELECT kept_no AS other FROM ({_LIVE} AND m.gone_no = r.other) AS up
            UNION ALL
            SELECT gone_no FROM ({_LIVE} AND m.kept_no = r.other) AS down
        ) AS e
    )
"""
_SAME = text(
    f"""
    {_REACHED}
    SELECT number, min(other COLLATE "C") FROM reached GROUP BY number HAVING count(*) > 1
    """
)
_CONTACTS = text(
    f"""
    {_REACHED}
    SELECT r.number, i.contact_id FROM reached r
    JOIN contact_identity i ON i.kind = 'member_no' AND i.value = r.other
    """
)
_EDGES = text(
    f"""
    {_REACHED}
    SELECT r.number, e.gone_no, e.kept_no, e.merged_at, e.event_id
    FROM reached r CROSS JOIN LATERAL ({_LIVE} AND m.gone_no = r.other) AS e
    """
)
_NUMBERS = text(
    """
    SELECT m.contact_id, m.member_no FROM member m
    WHERE m.contact_id = ANY(:ids) AND EXISTS (
        SELECT FROM member_merge e WHERE m.member_no IN (e.gone_no, e.kept_no))
    """
)
# Only onto the contact that bears the number, so no two rows ever want the same one.
_RENAME = text(
    """
    UPDATE member m SET member_no = r.number
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (contact_id bigint, number text)
    JOIN contact_identity i ON i.kind = 'member_no' AND i.value = r.number
        AND i.contact_id = r.contact_id
    WHERE m.contact_id = r.contact_id
      AND NOT EXISTS (SELECT FROM member o WHERE o.member_no = r.number)
    """
)


def same(session: Session, numbers: Iterable[str]) -> dict[str, str]:
    """For each number with aliases one that stands for all of them, equal for equal people."""
    wanted = sorted(set(numbers))
    return dict(session.execute(_SAME, {"numbers": wanted}).all()) if wanted else {}


def contacts(session: Session, numbers: Iterable[str]) -> dict[str, set[int]]:
    """For each number the contacts that bear it or one that it is the same as."""
    found: dict[str, set[int]] = {}
    for number, contact_id in session.execute(_CONTACTS, {"numbers": sorted(set(numbers))}):
        found.setdefault(number, set()).add(contact_id)
    return found


def leads_to(session: Session, numbers: Iterable[str]) -> dict[str, set[str]]:
    """Every merge among the numbers that hang together with these: gone -> what it went into."""
    found: dict[str, set[str]] = {}
    for row in session.execute(_EDGES, {"numbers": sorted(set(numbers))}):
        found.setdefault(row.gone_no, set()).add(row.kept_no)
    return found


def settle(session: Session, contact_ids: Iterable[int]) -> None:
    """Show the number that counts on the member rows of these contacts, which are locked."""
    given = {"ids": sorted(set(contact_ids))}
    held: dict[int, str] = dict(session.execute(_NUMBERS, given).all())
    if not held:
        return
    edges: dict[str, list[_Edge]] = {}
    for row in session.execute(_EDGES, {"numbers": sorted(set(held.values()))}):
        edge = (row.merged_at, row.event_id, row.gone_no, row.kept_no)
        edges.setdefault(row.number, []).append(edge)
    rows = [
        {"contact_id": contact_id, "number": end}
        for contact_id, number in held.items()
        if number in edges and (end := _end(edges[number])) != number
    ]
    if rows:
        session.execute(_RENAME, {"rows": json.dumps(rows, ensure_ascii=False)})


def _end(edges: list[_Edge]) -> str:
    """Where the newest merge leads to, and from there the newest one each time."""
    newest: dict[str, _Edge] = {}
    for edge in edges:
        newest[edge[2]] = max(edge, newest.get(edge[2], edge))
    number = max(edges)[3]
    seen = {number}
    while number in newest and newest[number][3] not in seen:
        number = newest[number][3]
        seen.add(number)
    return number
