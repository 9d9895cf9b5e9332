"""The customer's story (客户动态): one line for everything a guide would want to read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from bot.crm.models import TimelineEntry

# A later report of the same thing rewrites its line; the same or an older one changes nothing. Of
# two reports of one moment the event id decides, as it does for the thing itself.
_RECORD = text(
    """
    INSERT INTO timeline_entry (contact_id, guide_id, kind, occurred_at, text, detail, dedupe_key)
    SELECT contact_id, guide_id, kind, occurred_at, text, COALESCE(detail, '{}'), dedupe_key
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        contact_id bigint, guide_id bigint, kind text, occurred_at timestamptz, text text,
        detail jsonb, dedupe_key text)
    ORDER BY dedupe_key
    ON CONFLICT (dedupe_key) DO UPDATE
    SET contact_id = excluded.contact_id, guide_id = excluded.guide_id, text = excluded.text,
        occurred_at = excluded.occurred_at, detail = excluded.detail
    WHERE (timeline_entry.occurred_at,
           COALESCE(timeline_entry.detail ->> 'event_id', '') COLLATE "C")
          <= (excluded.occurred_at, COALESCE(excluded.detail ->> 'event_id', '') COLLATE "C")
      AND (timeline_entry.contact_id, timeline_entry.text, timeline_entry.occurred_at)
          IS DISTINCT FROM (excluded.contact_id, excluded.text, excluded.occurred_at)
    """
)


def record(
    session: Session,
    contact_id: int,
    kind: str,
    text: str,
    at: datetime,
    guide_id: int | None = None,
    detail: Mapping[str, Any] | None = None,
    dedupe_key: str | None = None,
) -> None:
    """Write one line; with a `dedupe_key` it is one line however often it is reported."""
    record_many(
        session,
        [
            {
                "contact_id": contact_id,
                "guide_id": guide_id,
                "kind": kind,
                "occurred_at": at.isoformat(),
                "text": text,
                "detail": dict(detail or {}),
                "dedupe_key": dedupe_key,
            }
        ],
    )


def record_many(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write many lines in one statement; each is a mapping with the columns of the table.

    `occurred_at` is ISO text. Two rows of one call must not share a `dedupe_key`.
    """
    if rows:
        session.execute(_RECORD, {"rows": json.dumps(list(rows), ensure_ascii=False)})


def read(session: Session, contact_id: int, limit: int = 50) -> list[TimelineEntry]:
    """The newest lines of one customer's story, newest first."""
    return list(
        session.scalars(
            select(TimelineEntry)
            .where(TimelineEntry.contact_id == contact_id)
            .order_by(TimelineEntry.occurred_at.desc(), TimelineEntry.id.desc())
            .limit(limit)
        )
    )
