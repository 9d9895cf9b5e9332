"""The lines a relation writes into a customer's story: added, and gone again (添加与流失)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm.relation_story import Story

_ENDED = {
    "guide": "{guide}删除了客户",
    "customer": "客户删除了{guide}",
    "transfer": "从{guide}转给了其他导购",
}

# A report that came late may show that what looked like a beginning was none: its line goes.
_ERASE = text("DELETE FROM timeline_entry WHERE dedupe_key = ANY(:keys)")
_WRITE = text(
    """
    INSERT INTO timeline_entry (contact_id, guide_id, kind, occurred_at, text, dedupe_key)
    SELECT r.contact_id, r.guide_id, r.kind, r.at,
           replace(r.text, '{guide}', g.name)
           || CASE WHEN k.name IS NULL THEN '' ELSE '（渠道：' || k.name || '）' END, r.key
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        contact_id bigint, guide_id bigint, kind text, at timestamptz, text text, state text,
        key text)
    JOIN guide g ON g.id = r.guide_id LEFT JOIN channel_code k ON k.state = r.state
    ORDER BY r.key ON CONFLICT (dedupe_key) DO NOTHING
    """
)

Line = dict[str, str | int | None]


def tell(session: Session, steps: Sequence[tuple[tuple[int, int], Story, Story]]) -> None:
    """Bring the story up to date with ((guide id, contact id), before, after) of some relations."""
    old = {key: line for pair, was, _ in steps for key, line in _lines(pair, was).items()}
    new = {key: line for pair, _, now in steps for key, line in _lines(pair, now).items()}
    gone = sorted(set(old) - set(new))
    fresh = [new[key] for key in sorted(set(new) - set(old))]
    if gone:
        session.execute(_ERASE, {"keys": gone})
    if fresh:
        session.execute(_WRITE, {"rows": json.dumps(fresh, ensure_ascii=False)})


def _lines(pair: tuple[int, int], story: Story) -> dict[str, Line]:
    lines = [
        _line(pair, "followed", one.at, "添加了{guide}", one.state_text) for one in story.beginnings
    ]
    lines += [_line(pair, "ended", one.at, _ENDED[one.by], None) for one in story.endings]
    return {str(line["key"]): line for line in lines}


def _line(
    pair: tuple[int, int], kind: str, at: datetime, words: str, state_text: str | None
) -> Line:
    return {
        "guide_id": pair[0],
        "contact_id": pair[1],
        "kind": kind,
        "at": at.isoformat(),
        "text": words,
        "state": state_text,
        "key": f"{kind}:{pair[0]}:{pair[1]}:{int(at.timestamp() * 1000)}",
    }
