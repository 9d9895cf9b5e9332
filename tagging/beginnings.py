"""The tags of new friends (新好友的标签): those of the code, and marks for the guide, each once.

A beginning is reported by a callback, or found by a reading of WeCom because its callback was
lost; the callback may still come afterwards. So each beginning is claimed on the row of its
relation by whoever sees it first. A relation that somebody else is writing is passed over: the
customer is marked as changed then, and looked at again.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.orm import Session

from tagging import tags
from tagging.models import TagSource

_CLAIM = """
    WITH due AS (
        SELECT f.id FROM follow_relation f
        WHERE f.contact_id = ANY(:contacts) AND {is_due}
          AND (f.{column} IS NULL OR f.{column} < f.followed_at)
        ORDER BY f.id FOR NO KEY UPDATE SKIP LOCKED
    ),
    claimed AS (
        UPDATE follow_relation f SET {column} = f.followed_at FROM due WHERE f.id = due.id
        RETURNING f.contact_id, f.channel_code_id, f.followed_at
    )
"""
# Two guides' codes may give the same tag: the first to give it counts.
_OF_CODES = text(
    _CLAIM.format(
        column="code_tagged_at", is_due="f.state <> 'ended' AND f.channel_code_id IS NOT NULL"
    )
    + """
    SELECT c.contact_id, t.tag_id, min(c.followed_at) AS at
    FROM claimed c JOIN channel_tag t ON t.channel_code_id = c.channel_code_id
    GROUP BY c.contact_id, t.tag_id
    """
)
# Half a friendship cannot be marked until the guide confirms it.
_OF_GUIDES = text(
    _CLAIM.format(column="tags_marked_at", is_due="f.state = 'active'")
    + "SELECT DISTINCT contact_id FROM claimed ORDER BY 1"
)


def give_code_tags(session: Session, contact_ids: Collection[int]) -> int:
    """Give these customers the tags of the codes by which they came; returns how many are new.

    A tag that was taken away since it was given stays away. Two statements for any number.
    """
    rows = session.execute(_OF_CODES, _given(contact_ids)).all()
    given = [(row.contact_id, row.tag_id, row.at) for row in rows]
    return tags.assign_each(session, given, TagSource.CHANNEL)


def mark_for_new_guides(session: Session, contact_ids: Collection[int]) -> int:
    """Mark the tags these customers have for the guides they have gained; returns how many rows."""
    gained = session.scalars(_OF_GUIDES, _given(contact_ids)).all()
    return tags.repeat_marks(session, gained) if gained else 0


def _given(contact_ids: Collection[int]) -> dict[str, list[int]]:
    return {"contacts": sorted(set(contact_ids))}
