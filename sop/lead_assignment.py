"""Whose lead it is (线索分配): the guide who knows her, the store nearby, whoever has least to do.

One statement gives all waiting leads away; those that go to one store are dealt out evenly. A lead
that nobody touches goes to the manager's eyes first, and then into the manager's hands.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import distances, timeline
from bot.crm.models import Guide
from bot.errors import UserError
from sop import writing
from sop.models import LIVE_LEADS, AssignedBy

#: Who lives farther from every store is not near any.
_NEAR_KM = 50
_KM_AWAY = distances.km("w.latitude", "w.longitude", "s.latitude", "s.longitude")

_ASSIGN = """
    WITH waiting AS (
        SELECT l.id, l.contact_id, c.guide_id AS own_id, c.channel_code_id,
               m.home_latitude AS latitude, m.home_longitude AS longitude
        FROM lead l
        JOIN contact c ON c.id = l.contact_id
        LEFT JOIN member m ON m.contact_id = l.contact_id
        WHERE l.state = 'open' {only}
        ORDER BY l.id FOR UPDATE OF l SKIP LOCKED
    ),
    on_duty AS MATERIALIZED (
        SELECT g.id, g.store_id, s.region_id,
               (SELECT count(*) FROM lead x
                WHERE x.guide_id = g.id AND x.state IN ('assigned', 'touched')) AS load
        FROM guide g LEFT JOIN store s ON s.id = g.store_id
        WHERE g.is_active AND NOT {is_off}
    ),
    known AS (
        SELECT w.id, COALESCE(own.id, other.guide_id) AS guide_id
        FROM waiting w
        LEFT JOIN guide own ON own.id = w.own_id AND own.is_active
        LEFT JOIN LATERAL (
            SELECT r.guide_id FROM follow_relation r
            JOIN guide g ON g.id = r.guide_id AND g.is_active
            LEFT JOIN on_duty d ON d.id = r.guide_id
            WHERE r.contact_id = w.contact_id AND r.state <> 'ended'
            ORDER BY d.id IS NULL, r.followed_at, r.id LIMIT 1
        ) other ON own.id IS NULL
    ),
    places AS (
        SELECT w.id,
               COALESCE('store:' || near.id, 'store:' || recent.store_id,
                        'region:' || code.region_id, 'brand') AS place
        FROM waiting w JOIN known k ON k.id = w.id AND k.guide_id IS NULL
        LEFT JOIN LATERAL (
            SELECT s.id FROM store s
            CROSS JOIN LATERAL (
                SELECT {km} AS km
            ) away
            WHERE away.km <= {near} AND s.id IN (SELECT d.store_id FROM on_duty d)
            ORDER BY away.km, s.id LIMIT 1
        ) near ON true
        LEFT JOIN LATERAL (
            SELECT f.store_id FROM (
                SELECT v.store_id, v.visited_at AS moment FROM visit v
                WHERE v.contact_id = w.contact_id
                UNION ALL
                SELECT p.store_id, p.purchased_at FROM purchase p
                WHERE p.contact_id = w.contact_id
            ) f
            WHERE f.store_id IN (SELECT d.store_id FROM on_duty d)
            ORDER BY f.moment DESC LIMIT 1
        ) recent ON near.id IS NULL
        LEFT JOIN LATERAL (
            SELECT s.region_id
            FROM channel_code_guide k JOIN guide g ON g.id = k.guide_id
            JOIN store s ON s.id = g.store_id
            WHERE k.channel_code_id = w.channel_code_id
              AND s.region_id IN (SELECT d.region_id FROM on_duty d)
            ORDER BY k.position, g.id LIMIT 1
        ) code ON near.id IS NULL AND recent.store_id IS NULL
    ),
    turns AS (
        SELECT id, place, row_number() OVER (PARTITION BY place ORDER BY id) AS turn FROM places
    ),
    seats AS (
        SELECT d.id, p.place,
               row_number() OVER (PARTITION BY p.place ORDER BY d.load, d.id) AS seat,
               count(*) OVER (PARTITION BY p.place) AS seats
        FROM on_duty d
        CROSS JOIN LATERAL (
            VALUES ('store:' || d.store_id), ('region:' || d.region_id), ('brand')
        ) AS p (place)
        WHERE p.place IN (SELECT place FROM places)
    ),
    chosen AS (
        SELECT id, guide_id, 'relation' AS chosen_by FROM known WHERE guide_id IS NOT NULL
        UNION ALL
        SELECT t.id, s.id, CASE WHEN t.place LIKE 'store:%' THEN 'store' ELSE 'load' END
        FROM turns t JOIN seats s ON s.place = t.place AND s.seat = (t.turn - 1) % s.seats + 1
    )
    UPDATE lead l
    SET state = 'assigned', guide_id = g.id, store_id = g.store_id, assigned_at = :now,
        assigned_by = c.chosen_by, alerted_at = NULL
    FROM chosen c JOIN guide g ON g.id = c.guide_id
    WHERE l.id = c.id
"""
_GIVE = text(
    """
    UPDATE lead SET state = 'assigned', guide_id = :guide, store_id = :store, assigned_at = :now,
        assigned_by = :person, alerted_at = NULL, escalated_at = NULL, touched_at = NULL
    WHERE id = :id
    """
)
_IS_OFF = """(
    EXTRACT(isodow FROM CAST(:day AS date))::smallint = ANY(g.rest_weekdays)
    OR EXISTS (SELECT FROM guide_day_off o WHERE o.guide_id = g.id AND o.day = :day))"""
# Whose guide left, or never was her friend while another one is now, has nobody who can write.
# What a person or the clock gave away stays where it is.
_LEAVE = """
    UPDATE lead v SET state = 'open', guide_id = NULL, store_id = NULL, assigned_at = NULL,
        assigned_by = NULL, alerted_at = NULL, escalated_at = NULL
    FROM lead l
    JOIN contact c ON c.id = l.contact_id
    JOIN guide g ON g.id = l.guide_id
    LEFT JOIN guide own ON own.id = c.guide_id AND own.is_active
    WHERE v.id = l.id AND l.state IN ('assigned', 'touched') {only}
      AND (NOT g.is_active
           OR own.id <> g.id AND l.assigned_by IN ('relation', 'store', 'load')
              AND NOT EXISTS (SELECT FROM follow_relation r
                              WHERE r.contact_id = l.contact_id AND r.guide_id = g.id
                                AND r.state <> 'ended'))
"""
_ANYTHING_OPEN = "SELECT EXISTS (SELECT FROM lead l WHERE l.state = 'open' {only})"
# How long its store has been open since a moment. Hours that are not known, or that run over
# midnight, count as nine to nine.
_OPEN_SECONDS = """(
    SELECT COALESCE(sum(GREATEST(0, EXTRACT(epoch FROM
        LEAST(timezone('Asia/Shanghai', CAST(:now AS timestamptz)), d.day + hours.closes)
        - GREATEST(timezone('Asia/Shanghai', {since}), d.day + hours.opens)))), 0)
    FROM generate_series(
        date_trunc('day', timezone('Asia/Shanghai', {since})),
        date_trunc('day', timezone('Asia/Shanghai', CAST(:now AS timestamptz))),
        interval '1 day') AS d (day)
    CROSS JOIN (
        SELECT CASE WHEN s.opens_at < s.closes_at THEN s.opens_at ELSE time '09:00' END AS opens,
               CASE WHEN s.opens_at < s.closes_at THEN s.closes_at ELSE time '21:00' END AS closes
    ) AS hours)"""
# Those of one hour that are not hot fall due together, so that a manager hears of them once.
_SINCE = """CASE WHEN l.is_hot THEN {moment}
    ELSE date_trunc('hour', {moment}) + interval '1 hour' END"""
_ESCALATE = f"""
    UPDATE lead v SET escalated_at = :now
    FROM lead l LEFT JOIN store s ON s.id = l.store_id
    WHERE v.id = l.id AND l.state = 'assigned' AND l.escalated_at IS NULL
      AND l.assigned_by <> 'manager' AND l.assigned_at <= :before
      AND {_OPEN_SECONDS.format(since=_SINCE.format(moment="l.assigned_at"))} >= :seconds
    RETURNING v.id
"""
_TO_MANAGER = f"""
    UPDATE lead v
    SET guide_id = boss.id, assigned_by = 'manager', assigned_at = :now, alerted_at = NULL
    FROM lead l LEFT JOIN store s ON s.id = l.store_id
    CROSS JOIN LATERAL (
        SELECT g.id FROM guide g
        WHERE g.store_id = l.store_id AND g.is_manager AND g.is_active ORDER BY g.id LIMIT 1
    ) AS boss
    WHERE v.id = l.id AND l.state = 'assigned' AND l.escalated_at <= :before
      AND l.assigned_by <> 'manager' AND boss.id <> l.guide_id
      AND {_OPEN_SECONDS.format(since=_SINCE.format(moment="l.escalated_at"))} >= :seconds
    RETURNING v.id
"""


def assign(
    session: Session, day: date, now: datetime, contact_ids: Sequence[int] | None = None
) -> int:
    """Give every lead that nobody has to a guide; returns how many.

    Who is a guide's customer stays hers, on her day off too; a customer nobody knows goes to a
    guide who works on `day`, and waits where there is none. A lead whose guide has left, or whose
    customer is another guide's friend now, is given away anew.
    """
    only = "" if contact_ids is None else "AND l.contact_id = ANY(:contacts)"
    given: dict[str, Any] = {"day": day, "now": now}
    if contact_ids is not None:
        given["contacts"] = list(contact_ids)
    session.execute(text(_LEAVE.format(only=only)), given)
    # Counting everybody's leads is not worth it where nothing waits, which is nearly always.
    if not session.scalar(text(_ANYTHING_OPEN.format(only=only)), given):
        return 0
    statement = _ASSIGN.format(only=only, is_off=_IS_OFF, near=_NEAR_KM, km=_KM_AWAY)
    return writing.rows(session, text(statement), given)


def give(session: Session, lead_id: int, guide_id: int, now: datetime) -> None:
    """A person gives a lead to a guide, who is told and has as long as for a new one.

    To the guide who has it already nothing changes. Raises UserError for an ended lead.
    """
    locked = text("SELECT state, guide_id, contact_id FROM lead WHERE id = :id FOR UPDATE")
    row = session.execute(locked, {"id": lead_id}).one_or_none()
    if row is None:
        raise UserError("没有找到这条线索。")
    if row.state not in LIVE_LEADS:
        raise UserError("这条线索已经结束了。")
    guide = session.get(Guide, guide_id)
    if guide is None or not guide.is_active:
        raise UserError("没有这位在职导购，线索转不过去。", field="guide")
    if row.guide_id == guide.id:
        return
    given = {"id": lead_id, "guide": guide.id, "store": guide.store_id, "now": now}
    session.execute(_GIVE, given | {"person": AssignedBy.PERSON.value})
    timeline.record(
        session,
        row.contact_id,
        "lead",
        f"线索转给{guide.name}",
        now,
        guide_id=guide.id,
        dedupe_key=f"lead:{lead_id}:given:{int(now.timestamp() * 1000)}",
    )


def escalate(session: Session, now: datetime, hours: int) -> list[int]:
    """Mark the leads whose store was open for `hours` without anybody touching them; their ids."""
    return _late(session, _ESCALATE, now, hours)


def take_to_managers(session: Session, now: datetime, hours: int) -> list[int]:
    """After as long again the manager of the store has them; their ids."""
    return _late(session, _TO_MANAGER, now, hours)


def _late(session: Session, statement: str, now: datetime, hours: int) -> list[int]:
    # `before` lets the index of waiting leads pass over those that are too young in any case.
    given = {"now": now, "seconds": hours * 3600, "before": now - timedelta(hours=hours)}
    return sorted(session.scalars(text(statement), given))
