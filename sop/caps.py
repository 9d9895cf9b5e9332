"""What fits into today (上限): the customer's touch cap, then the guide's task cap.

A few statements whatever the number of tasks. Rank is lexicographic: the step's priority, then the
customer's value (RFM monetary, 0 to 5), then urgency (a date that cannot move, days waited); ties
go to the earlier due day, then to the lower ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from sop import writing
from sop.running import Rules

# Yesterday's open tasks compete again; what they had claimed is free, the words grow old. So does
# what was planned ahead of its day: nobody had it on her list yet, and this night knows more.
_CARRY = text(
    """
    WITH carried AS (
        UPDATE task
        SET state = 'deferred', planned_on = NULL, number = NULL, words = NULL,
            announced_at = NULL, mass_send_id = NULL,
            state_reason = CASE WHEN planned_on < :day THEN '前一天没有做' END,
            held_by = CASE WHEN planned_on < :day THEN 'undone' END,
            why = CASE
                WHEN planned_on < :day THEN why || jsonb_build_object('deferred',
                    COALESCE(why -> 'deferred', '{}')
                    || jsonb_build_object(planned_on::text, '列入了清单，没有做'))
                ELSE why - 'rank'
            END
        WHERE state = 'open' AND (planned_on < :day OR (why -> 'rank') ? 'ahead')
          -- A mass message that was made at WeCom is under way, and its answer tells its end.
          AND NOT EXISTS (SELECT FROM mass_send AS sent
                          WHERE sent.id = task.mass_send_id AND sent.state <> 'waiting')
          AND (:everyone OR contact_id = ANY(:contact_ids))
        RETURNING id
    ), freed AS (
        DELETE FROM touch_ledger AS l USING carried WHERE l.task_id = carried.id
    )
    SELECT count(*) FROM carried
    """
)

_EXPIRE = text(
    """
    UPDATE task
    SET state = 'expired', ended_at = :now,
        state_reason = '过了期限没有做' || COALESCE('（' || state_reason || '）', '')
    WHERE state = 'deferred' AND due_on <= :day AND expires_on < :day
      AND (:everyone OR contact_id = ANY(:contact_ids))
    """
)

# Which refusal covers a task, besides that of everything.
_CHANNEL = "CASE WHEN t.kind IN ('call', 'invite') THEN 'chat' ELSE t.kind END"
_REFUSAL = """CASE t.kind
                WHEN 'sms' THEN '客户已退订短信'
                WHEN 'template_message' THEN '客户已退订公众号消息'
                WHEN 'mass_message' THEN '客户不再接收群发'
                ELSE '客户不希望再被联系'
            END"""

# What the customer has refused meanwhile ends, on a list or not; a mass message that carries her
# already cannot be called back here.
_REFUSED = text(
    """
    WITH ended AS (
        UPDATE task AS t
        SET state = 'withdrawn', ended_at = :now, held_by = 'opted_out',
            state_reason = {reason}
        FROM opt_out AS refusal
        WHERE refusal.contact_id = t.contact_id AND refusal.is_out
          AND refusal.channel IN ('all', {channel})
          AND t.state IN ('deferred', 'open') AND t.due_on <= :day
          AND NOT EXISTS (SELECT FROM mass_send AS sent
                          WHERE sent.id = t.mass_send_id AND sent.state <> 'waiting')
          AND (:everyone OR t.contact_id = ANY(:contact_ids))
        RETURNING t.id
    ), freed AS (
        DELETE FROM touch_ledger AS l USING ended WHERE l.task_id = ended.id
    )
    SELECT count(*) FROM ended
    """.replace("{channel}", _CHANNEL).replace("{reason}", _REFUSAL)
)

# The same for what has not been written yet.
_REFUSED_NEW = text(
    """
    UPDATE pg_temp.new_task AS t
    SET state = 'withdrawn', ended_at = :now, held_by = 'opted_out', state_reason = {reason}
    FROM opt_out AS refusal
    WHERE refusal.contact_id = t.contact_id AND refusal.is_out
      AND refusal.channel IN ('all', {channel})
      AND t.state = 'deferred' AND t.due_on <= :day
    """.replace("{channel}", _CHANNEL).replace("{reason}", _REFUSAL)
)

# `pool` is what waits, with the claim nearest to the day; `ranked` puts the tasks of a customer in
# order: her best one goes first or nothing does, a weaker one never slips past it; `crowd` adds
# what the guides have on their lists already, and `seated` counts the seats. Windows, not joins:
# the plan stays good on tables whose statistics are older than tonight's rows.
_DECIDE = text(
    """
    WITH pool AS MATERIALIZED (
        SELECT t.id, t.is_new, t.contact_id, t.due_on, t.carrier, t.kind,
               t.state_reason AS was_reason, t.held_by AS was_held_by, t.guide_id AS was_guide_id,
               g.id AS guide_id, g.store_id, p.is_paused,
               t.carrier = 'machine' OR g.is_active AS is_active, rest.reason AS rests,
               (t.carrier = 'machine' OR g.is_active) AND NOT p.is_paused AND rest.reason IS NULL
                   AS can_run,
               s.title,
               COALESCE(s.priority, 50) AS priority, s.position, p.id AS sop_id, p.name AS sop_name,
               claim.touched_on AS claimed_on, claim.title AS claimed_title,
               COALESCE(value.monetary, 0) AS value, GREATEST(:day - t.due_on, 0) AS waited,
               COALESCE(s.priority, 50) * 100 + COALESCE(value.monetary, 0) * 10
                   + CASE WHEN t.is_fixed THEN 5 ELSE 0 END
                   + LEAST(GREATEST(:day - t.due_on, 0), 4) AS score
        FROM (
            SELECT id, false AS is_new, enrollment_id, step_id, contact_id, guide_id, kind,
                   carrier, due_on, is_fixed, state_reason, held_by
            FROM task
            WHERE state = 'deferred' AND due_on <= :day
              AND (:everyone OR contact_id = ANY(:contact_ids))
            UNION ALL
            SELECT id, true, enrollment_id, step_id, contact_id, NULL, kind,
                   carrier, due_on, is_fixed, NULL, NULL
            FROM pg_temp.new_task
            WHERE state = 'deferred' AND due_on <= :day
        ) AS t
        JOIN enrollment AS e ON e.id = t.enrollment_id
        JOIN sop AS p ON p.id = e.sop_id
        JOIN sop_version AS version ON version.id = e.version_id
        JOIN sop_step AS s ON s.id = t.step_id
        JOIN contact AS c ON c.id = t.contact_id
        LEFT JOIN follow_relation AS r
            ON r.guide_id = e.guide_id AND r.contact_id = t.contact_id AND r.state <> 'ended'
        LEFT JOIN contact_score AS value ON value.contact_id = t.contact_id
        LEFT JOIN guide AS g ON g.id = COALESCE(r.guide_id, c.guide_id)
        CROSS JOIN LATERAL (SELECT CASE
            WHEN s.workdays_only AND NOT COALESCE(
                     (SELECT said.is_workday FROM calendar_day AS said WHERE said.day = :day),
                     date_part('isodow', CAST(:day AS date)) < 6)
                THEN to_char(CAST(:day AS date), 'FMMM"月"FMDD"日"') || '不是工作日'
            WHEN t.carrier <> 'machine'
                 AND (CAST(date_part('isodow', CAST(:day AS date)) AS int) = ANY(g.rest_weekdays)
                      OR g.id IN (SELECT off.guide_id FROM guide_day_off AS off
                                  WHERE off.day = :day))
                THEN g.name || ' ' || to_char(CAST(:day AS date), 'FMMM"月"FMDD"日"') || '休息'
        END AS reason) AS rest
        LEFT JOIN LATERAL (
            SELECT l.touched_on, claiming.title
            FROM touch_ledger AS l
            LEFT JOIN task AS claimer ON claimer.id = l.task_id
            LEFT JOIN sop_step AS claiming ON claiming.id = claimer.step_id
            WHERE l.contact_id = t.contact_id AND l.touched_on BETWEEN :gap_first AND :gap_last
            ORDER BY abs(l.touched_on - :day), l.id
            LIMIT 1
        ) AS claim ON true
        WHERE (c.guide_id IS NOT NULL OR version.reaches_lost)
          AND NOT EXISTS (SELECT FROM opt_out AS refusal
                          WHERE refusal.contact_id = t.contact_id AND refusal.is_out
                            AND refusal.channel IN ('all', {channel}))
    ), ranked AS (
        SELECT pool.*, row_number() OVER best AS place,
               count(*) OVER (PARTITION BY contact_id, can_run) AS rivals,
               first_value('「' || title || '」（' || sop_name || '）') OVER best AS winner
        FROM pool
        WINDOW best AS (
            PARTITION BY contact_id, can_run
            ORDER BY score DESC, due_on, sop_id, position, id
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        )
    ), crowd AS (
        SELECT id, is_new, contact_id, due_on, carrier, kind, guide_id, store_id, is_paused,
               is_active, rests, sop_name, winner, claimed_on, claimed_title, priority, value,
               waited, rivals, score, was_reason, was_held_by, was_guide_id,
               can_run AND claimed_on IS NULL AND (:gap_days = 0 OR place = 1) AS is_free,
               0 AS number, false AS is_taken, true AS is_waiting
        FROM ranked
        UNION ALL
        SELECT id, false, contact_id, due_on, carrier, kind, guide_id, store_id, false, true,
               NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0,
               0, NULL, NULL, NULL,
               false, COALESCE(number, 0), state IN ('open', 'done'), false
        FROM task
        WHERE planned_on = :day AND carrier = 'guide' AND guide_id IN (SELECT guide_id FROM pool)
    ), seated AS (
        SELECT crowd.*,
               max(number) OVER of_guide + row_number() OVER queue AS next_number,
               is_free AND (carrier <> 'guide' OR row_number() OVER queue
                   + count(*) FILTER (WHERE is_taken) OVER of_guide <= :seats) AS opens
        FROM crowd
        WINDOW of_guide AS (PARTITION BY guide_id),
               queue AS (PARTITION BY guide_id, is_free AND carrier = 'guide'
                         ORDER BY score DESC, due_on, contact_id, id)
    ), verdict AS (
        SELECT seated.*,
               CASE
                   WHEN is_paused THEN 'SOP「' || sop_name || '」已暂停'
                   WHEN NOT is_active THEN '负责的导购已停用，等待交接'
                   WHEN rests IS NOT NULL THEN rests
                   WHEN claimed_on IS NOT NULL THEN
                       :gap_days || ' 天内只联系一次，' || to_char(claimed_on, 'FMMM"月"FMDD"日"')
                       || COALESCE('已有「' || claimed_title || '」', '已联系过')
                   WHEN NOT is_free THEN :gap_days || ' 天内只联系一次，先做' || winner
                   ELSE '导购当天已排满 ' || :seats || ' 项'
               END AS reason,
               CASE
                   WHEN is_paused THEN 'pause'
                   WHEN NOT is_active THEN 'guide_away'
                   WHEN rests IS NOT NULL THEN 'guide_off'
                   WHEN NOT is_free THEN 'touch_cap'
                   ELSE 'guide_cap'
               END AS held_by
        FROM seated
        WHERE is_waiting
    ), kept AS (
        INSERT INTO pg_temp.decided_task (id, is_new, contact_id, guide_id, store_id, carrier, kind,
                                          score, opens, number, reason, held_by, rank)
        SELECT id, is_new, contact_id, guide_id, store_id, carrier, kind, score, opens,
               CASE WHEN carrier = 'guide' THEN next_number END,
               CASE WHEN NOT opens THEN reason END, CASE WHEN NOT opens THEN held_by END,
               CASE WHEN opens THEN jsonb_build_object(
                   'priority', priority, 'value', value, 'waited', waited,
                   'before', rivals - 1, 'place', next_number, 'on', :day) END
        FROM verdict
        -- Most of what waits has waited for the same thing yesterday, and is not written again.
        WHERE opens OR (NOT :ahead AND (
            was_reason IS DISTINCT FROM reason OR was_held_by IS DISTINCT FROM held_by
            OR was_guide_id IS DISTINCT FROM guide_id))
        ORDER BY id
        RETURNING opens
    )
    SELECT (SELECT count(*) FILTER (WHERE opens) FROM kept) AS opened,
           (SELECT count(*) FILTER (WHERE NOT opens) FROM kept) AS held,
           (SELECT count(*) FILTER (WHERE NOT opens) FROM verdict) AS deferred
    """.replace("{channel}", _CHANNEL)
)


@dataclass(frozen=True)
class Decided:
    """What the caps let through today and what has to wait; `held`: waits for something new."""

    opened: int
    held: int
    deferred: int


def carry_over(session: Session, day: date, contact_ids: Sequence[int] | None) -> int:
    """Put tasks left open on earlier days, or planned ahead, back into the pool."""
    row = session.execute(_CARRY, {"day": day, **_who(contact_ids)}).one()
    return int(row[0])


def expire(session: Session, day: date, now: datetime, contact_ids: Sequence[int] | None) -> int:
    """End waiting tasks whose last sensible day is past; the reason they waited for is kept."""
    return writing.rows(session, _EXPIRE, {"day": day, "now": now, **_who(contact_ids)})


def withdraw_refused(
    session: Session, day: date, now: datetime, contact_ids: Sequence[int] | None
) -> int:
    """End the unfinished tasks of a kind that its customer has refused; free what they claimed."""
    row = session.execute(_REFUSED, {"day": day, "now": now, **_who(contact_ids)}).one()
    return int(row[0]) + writing.rows(session, _REFUSED_NEW, {"day": day, "now": now})


def decide(
    session: Session,
    day: date,
    rules: Rules,
    contact_ids: Sequence[int] | None,
    *,
    ahead: bool = False,
) -> Decided:
    """Decide what both caps allow and why the rest waits; `opening` carries it out.

    What has to be written is listed in `decided_task`, a table of this transaction. `ahead`: `day`
    has not begun, and what waits is left as it stands.
    """
    reach = timedelta(days=max(rules.touch_gap_days - 1, 0))
    # Without a gap nothing is too near: an empty window.
    first, last = (day - reach, day + reach) if rules.touch_gap_days else (day, day - timedelta(1))
    row = session.execute(
        _DECIDE,
        {
            "day": day,
            "gap_first": first,
            "gap_last": last,
            "gap_days": rules.touch_gap_days,
            "seats": rules.tasks_per_guide,
            "ahead": ahead,
            **_who(contact_ids),
        },
    ).one()
    return Decided(int(row.opened), int(row.held), int(row.deferred))


def _who(contact_ids: Sequence[int] | None) -> dict[str, Any]:
    return {"everyone": contact_ids is None, "contact_ids": list(contact_ids or [])}
