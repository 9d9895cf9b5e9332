"""The funnel of invitations (邀约漏斗): invited, booked, came, wanted, bought, and the money."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.orm import Session

from sop.slots import span

#: What is bought so many days after the visit is the visit's.
_BUYING_DAYS = 14

# An order after two visits belongs to the later one, whoever asked for that, so that its money is
# counted once however the funnel is cut.
_COUNT = text(
    """
    WITH asked AS (
        SELECT a.id, a.contact_id, a.state, a.slot_at, a.intent,
               CAST(timezone('Asia/Shanghai', a.arrived_at) AS date) AS arrived_on
        FROM appointment a
        WHERE a.created_at >= :since AND a.created_at < :until
          AND NOT (a.state = 'cancelled' AND a.outcome = '没有邀约')
          AND (CAST(:store_id AS bigint) IS NULL OR a.store_id = :store_id)
          AND (CAST(:sop_id AS bigint) IS NULL OR a.sop_id = :sop_id)
    ),
    sales AS (
        SELECT DISTINCT ON (p.id) p.id, v.id AS appointment_id, v.contact_id, v.arrived_on,
               p.amount_fen - p.refunded_fen AS fen
        FROM (
            SELECT o.id, o.contact_id,
                   CAST(timezone('Asia/Shanghai', o.arrived_at) AS date) AS arrived_on
            FROM appointment o
            WHERE o.state = 'arrived'
              AND o.contact_id IN (SELECT contact_id FROM asked WHERE state = 'arrived')
        ) v
        JOIN purchase p ON p.contact_id = v.contact_id
         AND p.purchased_on BETWEEN v.arrived_on AND v.arrived_on + CAST(:days AS int)
         AND p.refunded_fen < p.amount_fen
        ORDER BY p.id, v.arrived_on DESC, v.id
    ),
    ours AS (
        SELECT * FROM sales WHERE appointment_id IN (SELECT id FROM asked)
    )
    SELECT count(*) AS invited,
           count(*) FILTER (WHERE slot_at IS NOT NULL) AS booked,
           count(*) FILTER (WHERE state = 'arrived') AS arrived,
           count(*) FILTER (WHERE intent IN ('some', 'strong')) AS intended,
           (SELECT count(DISTINCT appointment_id) FROM ours) AS bought,
           (SELECT count(DISTINCT s.contact_id) FROM ours s WHERE NOT EXISTS (
               SELECT FROM purchase p
               WHERE p.contact_id = s.contact_id AND p.purchased_on < s.arrived_on
                 AND p.refunded_fen < p.amount_fen)) AS new_buyers,
           (SELECT COALESCE(sum(fen), 0) FROM ours) AS money_fen
    FROM asked
    """
)


@dataclass(frozen=True)
class Funnel:
    """Of those invited in some days; `new_buyers` are customers who had never bought before."""

    invited: int
    booked: int
    arrived: int
    intended: int
    bought: int
    new_buyers: int
    money_fen: int


def funnel(
    session: Session,
    first: date,
    last: date,
    *,
    store_id: int | None = None,
    sop_id: int | None = None,
) -> Funnel:
    """How far those came who were invited from `first` to `last`, in one statement."""
    given = {**span(first, last), "store_id": store_id, "sop_id": sop_id, "days": _BUYING_DAYS}
    row = session.execute(_COUNT, given).one()
    return Funnel(**{name: int(value) for name, value in row._mapping.items()})
