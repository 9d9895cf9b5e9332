"""What coupons brought (核销与成交): issued with a task, redeemed, and the money of those orders.

A redemption joins its order by the number the till gave, whichever of the two came first; a refund
lowers the money later, because it is computed and not kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.orm import Session

# An order with two coupons counts once, for the one that was redeemed first.
_RESULTS = """
    WITH given AS (
        SELECT k.id, k.coupon_no, k.issued_on, k.redeemed_on, k.order_source, k.order_no,
               k.redeemed_at, t.step_key, st.title, e.sop_id, s.name AS sop
        FROM coupon_issue i
        JOIN coupon k ON k.id = i.coupon_id
        JOIN task t ON t.id = i.task_id
        JOIN sop_step st ON st.id = t.step_id
        JOIN enrollment e ON e.id = t.enrollment_id
        JOIN sop s ON s.id = e.sop_id
        WHERE k.issued_on BETWEEN :first AND :last
          AND (t.state NOT IN ('skipped', 'expired', 'withdrawn') OR k.redeemed_on IS NOT NULL)
          AND (CAST(:sop_id AS bigint) IS NULL OR e.sop_id = :sop_id)
    ),
    sales AS (
        SELECT DISTINCT ON (p.id) g.id AS coupon_id, p.amount_fen - p.refunded_fen AS fen
        FROM given g
        JOIN purchase p ON p.source = g.order_source AND p.order_no = g.order_no
        WHERE g.redeemed_on IS NOT NULL
        ORDER BY p.id, g.redeemed_at, g.id
    )
    SELECT g.sop_id, g.sop, g.step_key, max(g.title) AS title, {day} AS issued_on,
           count(*) AS issued, count(g.redeemed_on) AS redeemed,
           COALESCE(sum(x.fen), 0) AS money_fen
    FROM given g LEFT JOIN sales x ON x.coupon_id = g.id
    GROUP BY g.sop_id, g.sop, g.step_key, {day}
    ORDER BY g.sop, {day}, g.step_key
"""
_NUMBERS = text(
    """
    SELECT k.coupon_no, k.template, k.value_fen, n.least_spend_fen, k.issued_on, k.expires_on,
           k.state, m.member_no
    FROM coupon k
    LEFT JOIN coupon_template n ON n.name = k.template
    LEFT JOIN member m ON m.contact_id = k.contact_id
    WHERE k.issuer = 'daogou' AND k.issued_on >= :since
    ORDER BY k.issued_on, k.id
    """
)


@dataclass(frozen=True)
class Result:
    """One step on one day (or over all days, then `issued_on` is None). Money net of refunds."""

    sop_id: int
    sop: str
    step_key: str
    title: str
    issued_on: date | None
    issued: int
    redeemed: int
    money_fen: int


@dataclass(frozen=True)
class Number:
    """One of our coupons as the till has to know it."""

    coupon_no: str
    template: str | None
    value_fen: int | None
    #: Good for orders of at least this much; None if its template is gone.
    least_spend_fen: int | None
    issued_on: date | None
    expires_on: date | None
    state: str
    member_no: str | None


def of_sop(session: Session, sop_id: int, first: date, last: date) -> list[Result]:
    """Day by day and step by step what the coupons of one SOP brought, in one statement."""
    return _results(session, first, last, sop_id, "g.issued_on")


def of_all(session: Session, first: date, last: date) -> list[Result]:
    """Step by step what the coupons of every SOP brought, in one statement."""
    return _results(session, first, last, None, "CAST(NULL AS date)")


def numbers(session: Session, since: date) -> list[Number]:
    """Our coupons issued since a day, for the till."""
    rows = session.execute(_NUMBERS, {"since": since})
    return [Number(**row._mapping) for row in rows]


def _results(
    session: Session, first: date, last: date, sop_id: int | None, day: str
) -> list[Result]:
    given = {"first": first, "last": last, "sop_id": sop_id}
    rows = session.execute(text(_RESULTS.format(day=day)), given)
    return [Result(**{**row._mapping, "money_fen": int(row.money_fen)}) for row in rows]
