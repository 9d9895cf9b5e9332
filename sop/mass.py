"""Mass messages of a day (群发): the tasks that go by mass message, gathered by step and guide.

A guide confirms a mass message once for all its customers, so it says what is the same for all of
them. It leaves when the last of them is due; until then whoever is planned during the day joins it,
and whoever is withdrawn is left out.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from bot import outbox
from bot.wecom import mass
from content_library import placeholders
from content_library.models import TalkingPointVariant
from sop import writing
from sop.models import SopStep
from sop.quiet import moment_of
from sop.running import Rules

#: When a mass message or posting leaves whose step says no time.
USUAL_TIME = time(10)
_CHUNK = 1000
# A message that leaves in this very moment takes nobody; the next look sees it gone.
_LOOKS = 3
#: In the place of a contact: words for many speak of the guide, her store and the brand only.
_NOBODY = 0

# A window matches tasks and messages: no join, whose plan would hang on how old statistics are.
_GATHER = text(
    """
    WITH fresh AS (
        SELECT t.id, t.step_id, t.guide_id, COALESCE(t.due_at, :usual) AS due_at,
               row_number() OVER (PARTITION BY t.step_id, t.guide_id ORDER BY t.id) - 1 AS place
        FROM task AS t
        WHERE t.planned_on = :day AND t.state = 'open' AND t.carrier = 'mass'
          AND t.mass_send_id IS NULL AND (:everyone OR t.contact_id = ANY(:contact_ids))
    ), newest AS (
        SELECT DISTINCT ON (step_id, guide_id) step_id, guide_id,
               CASE WHEN state = 'waiting' THEN part * CAST(:most AS int) + contact_count
                    ELSE (part + 1) * CAST(:most AS int) END AS begins
        FROM mass_send WHERE planned_on = :day
        ORDER BY step_id, guide_id, part DESC
    ), placed AS (
        SELECT fresh.*, (COALESCE(newest.begins, 0) + place) / CAST(:most AS int) AS part
        FROM fresh LEFT JOIN newest USING (step_id, guide_id)
    ), made AS (
        INSERT INTO mass_send (step_id, guide_id, planned_on, part, words, due_at, contact_count)
        SELECT step_id, guide_id, :day, part, '', GREATEST(max(due_at), :now), count(*)
        FROM placed GROUP BY step_id, guide_id, part ORDER BY step_id, guide_id, part
        ON CONFLICT (step_id, guide_id, planned_on, part) DO UPDATE
        SET contact_count = mass_send.contact_count + excluded.contact_count,
            due_at = GREATEST(mass_send.due_at, excluded.due_at)
        WHERE mass_send.state = 'waiting'
        RETURNING id, step_id, guide_id, part
    ), matched AS (
        SELECT id, max(send_id) OVER (PARTITION BY step_id, guide_id, part) AS send_id
        FROM (SELECT id, step_id, guide_id, part, CAST(NULL AS bigint) AS send_id FROM placed
              UNION ALL
              SELECT NULL, step_id, guide_id, part, id FROM made) AS both_of_them
    ), linked AS (
        UPDATE task AS t SET mass_send_id = matched.send_id
        FROM matched
        WHERE t.id = matched.id AND matched.send_id IS NOT NULL
        RETURNING t.id
    )
    SELECT (SELECT count(*) FROM linked) AS linked, (SELECT count(*) FROM placed) AS placed
    """
)
# What was planned ahead and taken back leaves its message with nobody in it.
_RECOUNT = text(
    """
    UPDATE mass_send AS m SET contact_count = now_in.number
    FROM (
        SELECT m2.id, count(t.id) AS number
        FROM mass_send AS m2
        LEFT JOIN task AS t ON t.mass_send_id = m2.id AND t.state = 'open'
        WHERE m2.planned_on = :day AND m2.state = 'waiting'
        GROUP BY m2.id
    ) AS now_in
    WHERE m.id = now_in.id AND m.contact_count > now_in.number
    """
)
_KEEP_WORDS = text(
    """
    UPDATE mass_send SET words = kept.words, variant = kept.variant
    FROM unnest(CAST(:ids AS bigint[]), CAST(:places AS smallint[]), CAST(:words AS text[]))
        AS kept (id, variant, words)
    WHERE mass_send.id = kept.id
    """
)
# Never made at WeCom: its tasks are planned anew, as what a guide had not done is.
_UNMADE = text(
    """
    WITH unmade AS (
        UPDATE mass_send SET state = 'failed', error = '当天没有发出'
        WHERE planned_on BETWEEN :since AND CAST(:day AS date) - 1 AND state = 'waiting'
        RETURNING id
    ), freed AS (
        UPDATE task AS t
        SET state = 'deferred', planned_on = NULL, mass_send_id = NULL, words = NULL,
            variant = NULL, state_reason = '前一天没有发出', held_by = 'undone',
            why = t.why || jsonb_build_object('deferred',
                COALESCE(t.why -> 'deferred', '{}')
                || jsonb_build_object(t.planned_on::text, '群发没有发出'))
        WHERE t.state = 'open' AND t.carrier = 'mass' AND t.planned_on < :day
          AND (t.mass_send_id IS NULL OR t.mass_send_id IN (SELECT id FROM unmade))
        RETURNING t.id
    )
    DELETE FROM touch_ledger AS l USING freed WHERE l.task_id = freed.id
    """
)
_OVERDUE = text(
    """
    SELECT m.id, m.msgid
    FROM mass_send AS m
    WHERE m.planned_on BETWEEN :since AND CAST(:day AS date) - 1
      AND m.state IN ('created', 'confirmed', 'failed')
      AND EXISTS (SELECT FROM task AS t WHERE t.mass_send_id = m.id AND t.state = 'open')
      AND NOT EXISTS (
          SELECT FROM task AS t
          WHERE t.mass_send_id = m.id AND t.state = 'open' AND t.expires_on >= :day)
    """
)
_EXPIRE = text(
    """
    WITH ended AS (
        UPDATE task SET state = 'expired', state_reason = '导购没有确认群发', ended_at = :now
        WHERE mass_send_id = ANY(:ids) AND state = 'open'
        RETURNING id
    )
    DELETE FROM touch_ledger AS l USING ended WHERE l.task_id = ended.id
    """
)
_OLDEST_DAYS = 60


def gather(
    session: Session,
    day: date,
    now: datetime,
    contact_ids: Sequence[int] | None = None,
    *,
    most: int = mass.MOST_CUSTOMERS,
) -> int:
    """Put the open mass tasks of `day` into mass messages; returns how many tasks were put.

    One message a step and guide, of at most `most` customers; a task is in one only, and the
    message holds the words. A few statements, and two more for every thousand messages. Nothing
    leaves before `mass_sends.queue_due`.
    """
    if contact_ids is None:
        session.execute(_RECOUNT, {"day": day})
    settled, clock = Rules.read(session).quiet.settle(USUAL_TIME)
    given = {
        "day": day,
        "now": now,
        "usual": moment_of(day, clock if not settled else USUAL_TIME),
        "most": most,
        "everyone": contact_ids is None,
        "contact_ids": list(contact_ids or []),
    }
    gathered = 0
    for _ in range(_LOOKS):
        linked, placed = session.execute(_GATHER, given).one()
        gathered += linked
        if linked == placed:
            break
    if gathered:
        _write_words(session, day)
    return gathered


def close(session: Session, day: date, now: datetime) -> int:
    """End what the days before `day` left; returns the tasks it gave back or ended.

    Tasks whose message never left are given back to planning; a message that its guide did not
    confirm while it still made sense is cancelled at WeCom. Runs before the caps decide.
    """
    since = date.fromordinal(max(day.toordinal() - _OLDEST_DAYS, 1))
    back = writing.rows(session, _UNMADE, {"day": day, "since": since})
    overdue = session.execute(_OVERDUE, {"day": day, "since": since}).all()
    if not overdue:
        return back
    ended = writing.rows(session, _EXPIRE, {"ids": [row.id for row in overdue], "now": now})
    outbox.add_many(
        session,
        [
            outbox.Draft(
                kind="mass_cancel",
                api=mass.CANCEL_API,
                body=mass.cancel_body(row.msgid),
                dedupe_key=f"mass_cancel:{row.id}",
                subject={"mass_send_id": row.id},
            )
            for row in overdue
            if row.msgid
        ],
    )
    return back + ended


def choose(text_key: str, count: int) -> int:
    """Which of `count` variants: always the same for one key, evenly spread."""
    return zlib.crc32(text_key.encode()) % count


def variants_of(session: Session, point_ids: Sequence[int]) -> dict[int, list[str]]:
    """The wordings of talking points, in their order."""
    found: dict[int, list[str]] = defaultdict(list)
    rows = session.execute(
        select(TalkingPointVariant.talking_point_id, TalkingPointVariant.text)
        .where(TalkingPointVariant.talking_point_id.in_(point_ids))
        .order_by(TalkingPointVariant.talking_point_id, TalkingPointVariant.position)
    )
    for point_id, words in rows:
        found[point_id].append(words)
    return found


def facts_of_guides(
    session: Session, guide_ids: Sequence[int], day: date
) -> dict[int, placeholders.PlaceholderFacts]:
    """What words for many may say: of each guide, her store and the brand."""
    pairs = [(_NOBODY, guide_id) for guide_id in guide_ids]
    known = placeholders.load_facts(session, pairs, day)
    return {guide_id: facts for (_, guide_id), facts in known.items()}


_WORDLESS = text(
    """
    SELECT m.id, m.guide_id, m.step_id, s.key, s.talking_point_id
    FROM mass_send AS m JOIN sop_step AS s ON s.id = m.step_id
    WHERE m.planned_on = :day AND m.words = '' AND m.state = 'waiting' AND m.id > :after
    ORDER BY m.id LIMIT :chunk
    """
)


def _write_words(session: Session, day: date) -> None:
    after = 0
    variants: Mapping[int, list[str]] | None = None
    while True:
        rows = session.execute(_WORDLESS, {"day": day, "after": after, "chunk": _CHUNK}).all()
        if not rows:
            return
        if variants is None:
            variants = variants_of(session, _points_of(session))
        _fill(session, day, rows, variants)
        after = rows[-1].id


def _points_of(session: Session) -> list[int]:
    used = select(SopStep.talking_point_id).where(SopStep.talking_point_id.is_not(None)).distinct()
    return [point_id for point_id in session.scalars(used) if point_id is not None]


def _fill(
    session: Session,
    day: date,
    rows: Sequence[Row[*tuple[Any, ...]]],
    variants: Mapping[int, list[str]],
) -> None:
    facts = facts_of_guides(session, sorted({row.guide_id for row in rows}), day)
    ids, places, filled = list[int](), list[int](), list[str]()
    for row in rows:
        texts = variants.get(row.talking_point_id)
        if texts:
            place = choose(f"{row.guide_id}:{row.key}:{day}", len(texts))
            ids.append(row.id)
            places.append(place)
            filled.append(placeholders.fill(texts[place], facts[row.guide_id]))
    session.execute(_KEEP_WORDS, {"ids": ids, "places": places, "words": filled})
