"""Signs of life (活跃): the newest day each contact replied, visited and looked at material."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.orm import Session


class Sign(StrEnum):
    """A sign of life: the column of `contact_activity` that keeps its newest day."""

    REPLIED = "replied_on"
    VISITED = "visited_on"
    VIEWED = "viewed_on"


_SEEN = {
    sign: text(
        f"""
        INSERT INTO contact_activity AS a (contact_id, {sign})
        SELECT contact_id, day FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
            contact_id bigint, day date)
        ORDER BY contact_id
        ON CONFLICT (contact_id) DO UPDATE SET {sign} = GREATEST(a.{sign}, excluded.{sign})
        """
    )
    for sign in Sign
}
_RECOUNT = text(
    """
    WITH found AS (
        SELECT id AS contact_id,
               (SELECT max(visited_on) FROM visit WHERE contact_id = one.id) AS visited_on,
               (SELECT max(viewed_on) FROM material_view WHERE contact_id = one.id) AS viewed_on
        FROM unnest(CAST(:ids AS bigint[])) AS one (id)
    ), changed AS (
        UPDATE contact_activity a SET visited_on = f.visited_on, viewed_on = f.viewed_on
        FROM found f WHERE a.contact_id = f.contact_id
        RETURNING a.contact_id
    )
    INSERT INTO contact_activity (contact_id, visited_on, viewed_on)
    SELECT f.* FROM found f
    WHERE COALESCE(f.visited_on, f.viewed_on) IS NOT NULL
      AND NOT EXISTS (SELECT FROM changed c WHERE c.contact_id = f.contact_id)
    ORDER BY f.contact_id
    """
)


def seen(session: Session, days: Mapping[int, date], sign: Sign | str) -> None:
    """Note the newest day of one sign per contact; an older day changes nothing."""
    rows = [{"contact_id": id, "day": day.isoformat()} for id, day in sorted(days.items())]
    if rows:
        session.execute(_SEEN[Sign(sign)], {"rows": json.dumps(rows)})


def recount(session: Session, contact_ids: Iterable[int]) -> None:
    """Count visits and views again (after they moved); replies, kept nowhere else, stay."""
    session.execute(_RECOUNT, {"ids": sorted(set(contact_ids))})
