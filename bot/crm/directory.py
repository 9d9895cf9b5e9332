"""Guides and stores as WeCom's directory shows them (通讯录): matched, never invented twice."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import purchase_moves
from bot.wecom.details import Department, Member

_LEFT = 5

# A department is the store that bears its id, else its code or name; HQ's own data stay.
_STORES = text(
    """
    WITH given AS (
        SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id bigint, name text)
    ), matched AS (
        SELECT DISTINCT ON (s.id) s.id, g.id AS department_id FROM store s
        JOIN given g ON g.name IN (s.name, s.code)
        WHERE s.department_id IS NULL
          AND NOT EXISTS (SELECT FROM store o WHERE o.department_id = g.id)
        ORDER BY s.id, g.id
    )
    UPDATE store s SET department_id = m.department_id FROM matched m WHERE s.id = m.id
    """
)
_GUIDES = text(
    """
    WITH given AS (
        SELECT r.*, ROW_NUMBER() OVER () AS n
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
            userid text, name text, departments jsonb, leads jsonb, is_active boolean)
    ), placed AS (
        SELECT DISTINCT ON (lower(g.userid)) g.userid, g.name, g.is_active, s.id AS store_id,
               COALESCE(g.leads @> to_jsonb(s.department_id), false) AS is_manager
        FROM given g LEFT JOIN store s ON g.departments @> to_jsonb(s.department_id)
        ORDER BY lower(g.userid), s.id NULLS LAST, g.n
    ), changed AS (
        UPDATE guide t SET name = p.name, store_id = COALESCE(p.store_id, t.store_id),
            is_manager = CASE WHEN p.store_id IS NULL THEN t.is_manager
                              ELSE p.is_manager OR (t.is_manager AND t.store_id = p.store_id) END,
            is_active = p.is_active
        FROM placed p WHERE lower(t.userid) = lower(p.userid)
        RETURNING t.id, lower(t.userid) AS folded
    ), made AS (
        INSERT INTO guide (userid, name, store_id, is_manager, is_active)
        SELECT p.userid, p.name, p.store_id, p.is_manager, p.is_active FROM placed p
        WHERE lower(p.userid) NOT IN (SELECT folded FROM changed)
        ORDER BY p.userid ON CONFLICT DO NOTHING RETURNING id
    )
    SELECT (SELECT count(*) FROM changed) + (SELECT count(*) FROM made)
    """
)
_ACTIVE = text(
    """
    UPDATE guide SET is_active = :is_active
    WHERE lower(userid) = lower(:userid) AND is_active <> :is_active RETURNING id
    """
)
_FOLLOWED_BY = text(
    "SELECT contact_id FROM follow_relation WHERE guide_id = :guide_id AND state <> 'ended'"
)


def keep(session: Session, departments: Sequence[Department], members: Sequence[Member]) -> int:
    """Write the directory into stores and guides, in three statements; returns how many guides.

    Orders of a guide who was not known when they came find her now.
    """
    stores = [{"id": one.id, "name": one.name} for one in departments]
    session.execute(_STORES, {"rows": json.dumps(stores, ensure_ascii=False)})
    rows = [
        {
            "userid": one.userid,
            "name": one.name or one.userid,
            "departments": list(one.department_ids),
            "leads": list(one.leads),
            "is_active": one.status != _LEFT,
        }
        for one in members
        if one.userid
    ]
    given = {"rows": json.dumps(rows, ensure_ascii=False)}
    written = session.scalar(_GUIDES, given) or 0
    purchase_moves.adopt_guides(session)
    return written


def set_active(session: Session, userid: str, is_active: bool) -> list[int]:
    """A guide came into the app's sight or left it; returns her contacts if that is new."""
    guide_id = session.scalar(_ACTIVE, {"userid": userid, "is_active": is_active})
    if guide_id is None:
        return []
    return list(session.scalars(_FOLLOWED_BY, {"guide_id": guide_id}))
