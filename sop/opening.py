"""Carry out what the caps decided (落实): tasks open with their words, or wait with the reason.

A task is written once: its words are filled while it is opened, chunk by chunk, so that the memory
stays the same however many tasks a night opens.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy import text
from sqlalchemy.orm import Session

from sop import words
from sop.caps import Decided
from sop.running import Rules

_CHUNK = 2000
_TO_OPEN = text(
    """
    SELECT v.id, t.wanted_on, t.step_key, v.contact_id, v.guide_id,
           -- Words that may name a coupon wait for it; a machine has its template, and a mass
           -- message one text for all.
           CASE WHEN v.carrier = 'guide' AND s.coupon_template_id IS NULL
                THEN s.talking_point_id END AS talking_point_id
    FROM (SELECT id, contact_id, guide_id, carrier FROM pg_temp.decided_task
          WHERE opens AND id > :after ORDER BY id LIMIT :chunk) AS v
    JOIN task AS t ON t.id = v.id
    JOIN sop_step AS s ON s.id = t.step_id
    ORDER BY v.id
    """
)
# The moment on the guide's wall clock: what is not hers by hand keeps its hour on a later day, and
# what she does or confirms lies within her store's hours.
_DUE_AT = """(
    SELECT timezone('Asia/Shanghai', CASE
        WHEN v.carrier = 'machine' OR st.opens_at IS NULL OR st.closes_at <= st.opens_at
            THEN local.moment
        WHEN CAST(local.moment AS time) < st.opens_at
            THEN CAST(local.moment AS date) + st.opens_at
        WHEN CAST(local.moment AS time) >= st.closes_at
            THEN CAST(local.moment AS date)
                 + GREATEST(st.closes_at - interval '30 minutes', st.opens_at, :quiet_end)
        ELSE local.moment
    END)
    FROM (SELECT CASE
        WHEN v.carrier <> 'guide' AND CAST(told.moment AS date) < :day
            THEN CAST(:day AS date) + CAST(told.moment AS time)
        ELSE told.moment
    END AS moment
    FROM (SELECT timezone('Asia/Shanghai', t.due_at) AS moment) AS told) AS local
)"""
_OPEN = text(
    """
    UPDATE task AS t
    SET state = 'open', planned_on = :day, number = v.number, guide_id = v.guide_id,
        store_id = v.store_id, rank_score = v.score, state_reason = NULL, held_by = NULL,
        words = kept.words, variant = COALESCE(kept.variant, t.variant), due_at = {due_at},
        why = t.why || jsonb_build_object('rank', v.rank
            || CASE WHEN :ahead THEN jsonb_build_object('ahead', true) ELSE '{}' END)
    FROM unnest(CAST(:ids AS bigint[]), CAST(:places AS smallint[]), CAST(:words AS text[]))
        AS kept (id, variant, words)
    JOIN pg_temp.decided_task AS v ON v.id = kept.id
    LEFT JOIN store AS st ON st.id = v.store_id
    WHERE t.id = kept.id
    """.replace("{due_at}", _DUE_AT)
)
_HOLD = text(
    """
    UPDATE task AS t
    SET guide_id = v.guide_id, store_id = v.store_id, rank_score = v.score,
        state_reason = v.reason, held_by = v.held_by,
        why = t.why || jsonb_build_object('held', COALESCE(t.why -> 'held', '{}')
            || jsonb_build_object(CAST(:day AS text), v.reason))
    FROM pg_temp.decided_task AS v
    WHERE t.id = v.id AND NOT v.opens
    """
)
_CLAIM = text(
    """
    INSERT INTO touch_ledger (contact_id, touched_on, channel, task_id)
    SELECT contact_id, :day, kind, id FROM pg_temp.decided_task WHERE opens ORDER BY contact_id
    """
)


def carry_out(
    session: Session, day: date, rules: Rules, decided: Decided, *, ahead: bool = False
) -> None:
    """Open, number and word what `caps.decide` let through, claim the touches, note who waits.

    `ahead`: `day` has not begun; what opens is marked, so that the plan of a day that has begun
    takes it back.
    """
    if decided.held:
        session.execute(_HOLD, {"day": day})
    if not decided.opened:
        return
    variants, after = words.variants(session), 0
    while rows := session.execute(_TO_OPEN, {"after": after, "chunk": _CHUNK}).all():
        filled = words.fill(session, day, rows, variants)
        session.execute(
            _OPEN,
            {
                "day": day,
                "ahead": ahead,
                "quiet_end": rules.quiet.end,
                "ids": [row.id for row in rows],
                "places": [filled[row.id][0] if row.id in filled else None for row in rows],
                "words": [filled[row.id][1] if row.id in filled else None for row in rows],
            },
        )
        after = rows[-1].id
        if len(rows) < _CHUNK:
            break
    session.execute(_CLAIM, {"day": day})
