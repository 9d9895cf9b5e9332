"""What the presets ask for besides orders (券、积分、购物车、到店), by SQL: as a mall has it."""

from __future__ import annotations

from datetime import date
from typing import Any

_IDENTITIES = """
    INSERT INTO contact_identity (kind, value, contact_id)
    SELECT kind, kind || contact_id, contact_id
    FROM member CROSS JOIN (VALUES ('mobile', 0.6), ('openid', 0.5)) AS way (kind, share)
    WHERE random() < share
"""
_CARTS = """
    INSERT INTO cart (source, cart_id, contact_id, state, opened_at, opened_on, changed_at,
                      event_id, amount_fen, first_item)
    SELECT 'mall', 'C' || contact_id, contact_id, 'added', on_ + interval '6 hours', on_,
           on_ + interval '6 hours', 'C' || contact_id, 300000, '星芒对戒'
    FROM (SELECT contact_id, %(day)s::date - 1 - floor(60 * random())::int AS on_
          FROM member WHERE random() < 0.05) AS filled
"""
_COUPONS = """
    INSERT INTO coupon (issuer, coupon_no, contact_id, template, state, value_fen, issued_at,
                        issued_on, expires_on)
    SELECT 'mall', 'K' || contact_id || '-' || n, contact_id, '商城礼券', 'issued', 10000,
           on_ + interval '6 hours', on_, on_ + 60
    FROM (SELECT contact_id, n, %(day)s::date - 1 - floor(90 * random())::int AS on_
          FROM member CROSS JOIN generate_series(1, 2) AS n WHERE random() < 0.2) AS given
"""
_POINTS = """
    WITH told AS (
        INSERT INTO source_event (source, event_id, kind, occurred_at, body, contact_id)
        SELECT 'mall', 'P' || contact_id, 'points',
               %(day)s::date - floor(300 * random())::int + interval '6 hours', '{}', contact_id
        FROM member WHERE random() < 0.4
        RETURNING id, contact_id, event_id, occurred_at
    )
    INSERT INTO points_change (source_event_id, source, contact_id, delta, expires_on, changed_at,
                               changed_on, event_id, remaining)
    SELECT id, 'mall', contact_id, 500, occurred_at::date + 365, occurred_at, occurred_at::date,
           event_id, 500
    FROM told
"""
_ACTIVITY = """
    INSERT INTO contact_activity (contact_id, visited_on)
    SELECT contact_id, %(day)s::date - floor(400 * random())::int
    FROM member WHERE random() < 0.3
"""


def load(install: Any, *, day: date) -> None:
    """Add carts, coupons, points, visits and the ways to people to a loaded crowd."""
    with install.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SELECT setseed(0.25)")
        for statement in (_IDENTITIES, _CARTS, _COUPONS, _POINTS, _ACTIVITY):
            connection.execute(statement, {"day": day})
        connection.execute("VACUUM (ANALYZE)")
