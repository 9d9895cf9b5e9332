"""Purchases (消费记录) and refunds: to the fen, once each, whichever comes first.

What an order cost is its own `amount_fen`, at least 0; its lines need not add up to it, for tills
round and take discounts off as they like, also as a line below 0. More may come back than was
paid: every refund is kept as it was told, but an order is never worth less than nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm import coupons, event_fields, order_lines, purchase_moves, returns
from bot.crm.event_fields import MOST_FEN
from bot.crm.order_lines import MOST_LINES
from bot.crm.receipts import Receipt, entry, yuan
from bot.errors import UserError

_OWNERS = text(
    """
    SELECT DISTINCT p.contact_id FROM purchase p
    JOIN jsonb_to_recordset(CAST(:orders AS jsonb)) AS r (source text, order_no text)
    USING (source, order_no)
    """
)
# Of two events about one order the later one holds; its lines replace the earlier ones.
_WRITE = text(
    """
    WITH given AS (
        SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
            source text, order_no text, contact_id bigint, identity_id bigint, store_code text,
            guide_userid text, channel text, amount_fen bigint, coupon_no text,
            purchased_at timestamptz, purchased_on date, event_id text, lines jsonb)
    ), written AS (
        INSERT INTO purchase AS p (source, order_no, contact_id, identity_id, store_id, store_code,
            guide_userid, guide_id, channel, amount_fen, coupon_no, purchased_at, purchased_on,
            event_id)
        SELECT r.source, r.order_no, r.contact_id, r.identity_id, s.id, r.store_code,
               r.guide_userid, g.id, r.channel, r.amount_fen, r.coupon_no, r.purchased_at,
               r.purchased_on, r.event_id
        FROM given r LEFT JOIN store s ON s.code = r.store_code
        LEFT JOIN guide g ON lower(g.userid) = lower(r.guide_userid)
        ORDER BY r.source, r.order_no
        ON CONFLICT (source, order_no) DO UPDATE SET
            contact_id = excluded.contact_id, identity_id = excluded.identity_id,
            store_id = excluded.store_id, store_code = excluded.store_code,
            guide_userid = excluded.guide_userid, guide_id = excluded.guide_id,
            channel = excluded.channel, amount_fen = excluded.amount_fen,
            coupon_no = excluded.coupon_no, purchased_at = excluded.purchased_at,
            purchased_on = excluded.purchased_on, event_id = excluded.event_id
        WHERE (p.purchased_at, p.event_id COLLATE "C") < (excluded.purchased_at, excluded.event_id)
        RETURNING p.id, p.source, p.order_no
    ), stale AS (
        DELETE FROM purchase_line l USING written w, given r
        WHERE l.purchase_id = w.id AND r.source = w.source AND r.order_no = w.order_no
          AND l.line_no > jsonb_array_length(r.lines)
    )
    INSERT INTO purchase_line (purchase_id, line_no, sku, name, category, quantity, amount_fen)
    SELECT w.id, l.line_no, l.sku, l.name, l.category, l.quantity, l.amount_fen
    FROM written w JOIN given r ON r.source = w.source AND r.order_no = w.order_no
    CROSS JOIN LATERAL jsonb_to_recordset(r.lines) AS l (
        line_no smallint, sku text, name text, category text, quantity integer, amount_fen bigint)
    ON CONFLICT (purchase_id, line_no) DO UPDATE SET sku = excluded.sku, name = excluded.name,
        category = excluded.category, quantity = excluded.quantity, amount_fen = excluded.amount_fen
    """
)
_WRITE_REFUNDS = text(
    """
    INSERT INTO refund (source_event_id, source, order_no, amount_fen, lines, refunded_at,
                        refunded_on)
    SELECT source_event_id, source, order_no, amount_fen, NULLIF(lines, 'null'), refunded_at,
           refunded_on
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        source_event_id bigint, source text, order_no text, amount_fen bigint, lines jsonb,
        refunded_at timestamptz, refunded_on date)
    ON CONFLICT (source_event_id) DO NOTHING
    """
)
# What is left of orders: of their money, and of their goods.
_SETTLE = text(
    f"""
    WITH orders AS (
        SELECT DISTINCT source, order_no
        FROM jsonb_to_recordset(CAST(:orders AS jsonb)) AS r (source text, order_no text)
    ), sums AS (
        SELECT o.source, o.order_no, COALESCE(sum(f.amount_fen), 0) AS total
        FROM orders o LEFT JOIN refund f USING (source, order_no) GROUP BY 1, 2
    ), money AS (
        UPDATE purchase p SET refunded_fen = LEAST(s.total, p.amount_fen) FROM sums s
        WHERE p.source = s.source AND p.order_no = s.order_no
          AND p.refunded_fen <> LEAST(s.total, p.amount_fen)
    ), {returns.STEPS} {returns.WRITE}
    """
)


def read(event: Mapping[str, Any]) -> dict[str, Any]:
    """The order of a `purchase` event; UserError names the field that is wrong.

    The lines tell what was bought, `amount_fen` what was paid; whether they agree is not asked.
    """
    detail: dict[str, Any] = {
        "order_no": event_fields.short_text(event, "order_no", limit=128),
        "store_code": event_fields.optional_text(event, "store", limit=64),
        "guide_userid": event_fields.optional_text(event, "guide", limit=64),
        "channel": event_fields.optional_text(event, "channel", limit=64),
        "amount_fen": event_fields.whole(event, "amount_fen", low=0, high=MOST_FEN),
        "coupon_no": event_fields.optional_text(event, "coupon", limit=128),
    }
    return detail | {"lines": order_lines.read(event)}


def read_refund(event: Mapping[str, Any]) -> dict[str, Any]:
    """The money given back of a `refund` event."""
    lines = event.get("lines")
    if lines is not None and (not isinstance(lines, list) or len(lines) > MOST_LINES):
        raise UserError(f"lines 要是列表，最多 {MOST_LINES} 行。", field="lines")
    return {
        "order_no": event_fields.short_text(event, "order_no", limit=128),
        "amount_fen": event_fields.whole(event, "amount_fen", low=1, high=MOST_FEN),
        "lines": order_lines.known(lines),
    }


def apply(session: Session, receipts: Sequence[Receipt]) -> set[int]:
    """Keep locked orders; returns who had them before (a correction may name another buyer).

    A coupon of ours that an order names is redeemed with it.
    """
    orders = _orders(receipts)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    # One statement cannot write one row twice: the latest event of an order speaks for it.
    for receipt in sorted(receipts, key=lambda r: (r.fact.occurred_at, r.fact.event_id)):
        rows[receipt.fact.source, receipt.fact.detail["order_no"]] = _row(receipt)
    before = set(session.scalars(_OWNERS, {"orders": json.dumps(orders)}))
    session.execute(_WRITE, {"rows": json.dumps(list(rows.values()), ensure_ascii=False)})
    session.execute(_SETTLE, {"orders": json.dumps(orders)})
    purchase_moves.attribute(session, orders)
    return before | coupons.redeem_with_orders(session, receipts)


def apply_refunds(session: Session, receipts: Sequence[Receipt]) -> set[int]:
    """Keep refunds of locked orders; returns the buyers, who need not be whom an event names."""
    orders = _orders(receipts)
    rows = [
        {
            "source_event_id": receipt.source_event_id,
            "source": receipt.fact.source,
            **receipt.fact.detail,
            "refunded_at": receipt.fact.occurred_at.isoformat(),
            "refunded_on": business_day(receipt.fact.occurred_at).isoformat(),
        }
        for receipt in receipts
    ]
    session.execute(_WRITE_REFUNDS, {"rows": json.dumps(rows, ensure_ascii=False)})
    session.execute(_SETTLE, {"orders": json.dumps(orders)})
    return set(session.scalars(_OWNERS, {"orders": json.dumps(orders)}))


def keys(receipts: Iterable[Receipt]) -> set[tuple[str, str]]:
    """The orders that these receipts speak of, as (source, order number)."""
    return {(receipt.fact.source, receipt.fact.detail["order_no"]) for receipt in receipts}


def story(receipt: Receipt) -> dict[str, Any]:
    """The line a purchase writes into the customer's story; one for each order."""
    detail = receipt.fact.detail
    said = f"购买 {order_lines.named(detail['lines'])}，{yuan(detail['amount_fen'])}"
    key = f"purchase:{receipt.fact.source}:{detail['order_no']}"
    told = _told(detail) | {"event_id": receipt.fact.event_id}
    return entry(receipt, "purchased", said, told) | {"dedupe_key": key}


def refund_story(receipt: Receipt) -> dict[str, Any]:
    """The line a refund writes into the customer's story."""
    detail = receipt.fact.detail
    return entry(receipt, "refunded", f"退款 {yuan(detail['amount_fen'])}", _told(detail))


def _told(detail: Mapping[str, Any]) -> dict[str, Any]:
    return {"order_no": detail["order_no"], "amount_fen": detail["amount_fen"]}


def _orders(receipts: Iterable[Receipt]) -> list[dict[str, str]]:
    return [{"source": source, "order_no": number} for source, number in sorted(keys(receipts))]


def _row(receipt: Receipt) -> dict[str, Any]:
    fact = receipt.fact
    return {
        "source": fact.source,
        **fact.detail,
        "contact_id": receipt.contact_id,
        "identity_id": receipt.identity_id,
        "purchased_at": fact.occurred_at.isoformat(),
        "purchased_on": business_day(fact.occurred_at).isoformat(),
        "event_id": fact.event_id,
    }
