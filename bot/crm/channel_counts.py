"""Customers won and lost through each channel code, by day (渠道活码数据)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm.relation_story import Story

# (state, day): what is counted is the difference between two folds of one history, so the sum is
# right whatever order the reports came in, and a repeated report adds nothing.
_COUNT = text(
    """
    INSERT INTO channel_code_day AS d (channel_code_id, day, added_count, lost_count)
    SELECT k.id, r.day, r.added, r.lost
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        state text, day date, added integer, lost integer)
    JOIN channel_code k ON k.state = r.state
    ORDER BY k.id, r.day
    ON CONFLICT (channel_code_id, day) DO UPDATE SET
        added_count = GREATEST(d.added_count + excluded.added_count, 0),
        lost_count = GREATEST(d.lost_count + excluded.lost_count, 0)
    """
)


def count(session: Session, steps: Sequence[tuple[Story, Story]]) -> None:
    """Count what changed between each (before, after), in one statement."""
    added: Counter[tuple[str, str]] = Counter()
    lost: Counter[tuple[str, str]] = Counter()
    for sign, position in ((-1, 0), (1, 1)):
        for step in steps:
            for beginning in step[position].beginnings:
                if beginning.state_text:
                    added[beginning.state_text, business_day(beginning.at).isoformat()] += sign
            for ending in step[position].endings:
                if ending.state_text:
                    lost[ending.state_text, business_day(ending.at).isoformat()] += sign
    rows = [
        {"state": key[0], "day": key[1], "added": added[key], "lost": lost[key]}
        for key in sorted({*added, *lost})
        if added[key] or lost[key]
    ]
    if rows:
        session.execute(_COUNT, {"rows": json.dumps(rows, ensure_ascii=False)})
