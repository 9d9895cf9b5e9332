"""Carry out what the caps decided (落实): tasks open with their words, or wait with the reason.

A task is written once: its words are filled while it is opened, chunk by chunk, so that the memory
stays the same however many tasks a night opens; and a new one (`run_tables.NEW`) not before that.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy import text
from sqlalchemy.orm import Session

from sop import run_tables, words
from sop.caps import Decided
from sop.running import Rules

_CHUNK = 2000
_RANK = """t.why || jsonb_build_object('rank', v.rank
            || CASE WHEN :ahead THEN jsonb_build_object('ahead', true) ELSE '{}' END)"""
_KEPT = """unnest(CAST(:ids AS bigint[]), CAST(:places AS smallint[]), CAST(:words AS text[]))
        AS kept (id, variant, words)
    JOIN pg_temp.decided_task AS v ON v.id = kept.id"""
_TO_OPEN = text(
    """
    SELECT v.id, v.is_new, t.wanted_on, t.step_key, v.contact_id, v.guide_id,
           -- Words that may name a coupon wait for it; a machine has its template, and a mass
           -- message one text for all.
           CASE WHEN v.carrier = 'guide' AND s.coupon_template_id IS NULL
                THEN s.talking_point_id END AS talking_point_id
    FROM (SELECT id, is_new, contact_id, guide_id, carrier FROM pg_temp.decided_task
          WHERE opens AND id > :after ORDER BY id LIMIT :chunk) AS v
    CROSS JOIN LATERAL (
        SELECT wanted_on, step_key, step_id FROM task WHERE id = v.id AND NOT v.is_new
        UNION ALL
        SELECT wanted_on, step_key, step_id FROM pg_temp.new_task WHERE id = v.id AND v.is_new
    ) AS t
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
        why = {rank}
    FROM {kept}
    LEFT JOIN store AS st ON st.id = v.store_id
    WHERE t.id = kept.id AND NOT v.is_new
    """.replace("{due_at}", _DUE_AT)
    .replace("{rank}", _RANK)
    .replace("{kept}", _KEPT)
)
_ADD = text(
    """
    INSERT INTO task (id, enrollment_id, step_key, step_id, contact_id, kind, carrier, wanted_on,
                      due_on, expires_on, is_fixed, state, planned_on, number, guide_id, store_id,
                      rank_score, words, variant, due_at, why)
    SELECT t.id, t.enrollment_id, t.step_key, t.step_id, t.contact_id, t.kind, t.carrier,
           t.wanted_on, t.due_on, t.expires_on, t.is_fixed, 'open', :day, v.number, v.guide_id,
           v.store_id, v.score, kept.words, kept.variant, {due_at}, {rank}
    FROM {kept}
    JOIN pg_temp.new_task AS t ON t.id = kept.id
    LEFT JOIN store AS st ON st.id = v.store_id
    """.replace("{due_at}", _DUE_AT)
    .replace("{rank}", _RANK)
    .replace("{kept}", _KEPT)
)
_HOLD = text(
    """
    UPDATE task AS t
    SET guide_id = v.guide_id, store_id = v.store_id, rank_score = v.score,
        state_reason = v.reason, held_by = v.held_by,
        why = t.why || jsonb_build_object('held', COALESCE(t.why -> 'held', '{}')
            || jsonb_build_object(CAST(:day AS text), v.reason))
    FROM pg_temp.decided_task AS v
    WHERE t.id = v.id AND NOT v.opens AND NOT v.is_new
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
    run_tables.write_waiting(session, day)
    if not decided.opened:
        return
    variants, after = words.variants(session), 0
    while rows := session.execute(_TO_OPEN, {"after": after, "chunk": _CHUNK}).all():
        filled = words.fill(session, day, rows, variants)
        for is_new, statement in ((False, _OPEN), (True, _ADD)):
            part = [row.id for row in rows if row.is_new == is_new]
            if not part:
                continue
            given = {
                "day": day,
                "ahead": ahead,
                "quiet_end": rules.quiet.end,
                "ids": part,
                "places": [filled[id_][0] if id_ in filled else None for id_ in part],
                "words": [filled[id_][1] if id_ in filled else None for id_ in part],
            }
            session.execute(statement, given)
        after = rows[-1].id
        if len(rows) < _CHUNK:
            break
    session.execute(_CLAIM, {"day": day})
