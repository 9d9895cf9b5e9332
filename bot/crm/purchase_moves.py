"""Orders given to another guide or store (改归属): the newest word of each holds, always.

A move beats what the order itself said, whichever came first. What the till sent stays in
`guide_userid` and `store_code`; moves change `guide_id` and `store_id` only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import event_fields
from bot.crm.receipts import Receipt, entry
from bot.errors import UserError

_WRITE = text(
    """
    INSERT INTO purchase_move (source_event_id, source, order_no, guide_userid, store_code,
                               moved_at, event_id)
    SELECT source_event_id, source, order_no, guide_userid, store_code, moved_at, event_id
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        source_event_id bigint, source text, order_no text, guide_userid text, store_code text,
        moved_at timestamptz, event_id text)
    ON CONFLICT (source_event_id) DO NOTHING
    """
)
_BUYERS = text(
    """
    SELECT DISTINCT p.contact_id FROM purchase p
    JOIN jsonb_to_recordset(CAST(:orders AS jsonb)) AS r (source text, order_no text)
    USING (source, order_no)
    """
)
# Per order the guide and the store that count: those of the newest move that names one, else
# those of the order.
_EFFECTIVE = """
    SELECT p.id, COALESCE((
               SELECT m.guide_userid FROM purchase_move m
               WHERE m.source = p.source AND m.order_no = p.order_no AND m.guide_userid IS NOT NULL
               ORDER BY m.moved_at DESC, m.event_id COLLATE "C" DESC LIMIT 1), p.guide_userid
           ) AS guide_userid, COALESCE((
               SELECT m.store_code FROM purchase_move m
               WHERE m.source = p.source AND m.order_no = p.order_no AND m.store_code IS NOT NULL
               ORDER BY m.moved_at DESC, m.event_id COLLATE "C" DESC LIMIT 1), p.store_code
           ) AS store_code
    FROM purchase p
"""
_ATTRIBUTE = text(
    f"""
    WITH orders AS (
        SELECT DISTINCT source, order_no
        FROM jsonb_to_recordset(CAST(:orders AS jsonb)) AS r (source text, order_no text)
    ), effective AS (
        {_EFFECTIVE} JOIN orders USING (source, order_no)
        WHERE EXISTS (SELECT FROM purchase_move m
                      WHERE m.source = p.source AND m.order_no = p.order_no)
    ), wanted AS (
        SELECT e.id, g.id AS guide_id, s.id AS store_id
        FROM effective e
        LEFT JOIN guide g ON lower(g.userid) = lower(e.guide_userid)
        LEFT JOIN store s ON s.code = e.store_code
    )
    UPDATE purchase p SET guide_id = w.guide_id, store_id = w.store_id FROM wanted w
    WHERE p.id = w.id AND (p.guide_id, p.store_id) IS DISTINCT FROM (w.guide_id, w.store_id)
    """
)
_NAMES = text(
    """
    SELECT 'guide' AS kind, lower(userid) AS code, name FROM guide
    WHERE lower(userid) = ANY(:userids)
    UNION ALL
    SELECT 'store', code, name FROM store WHERE code = ANY(:codes)
    """
)
# Only orders that can have found somebody are looked at one by one: those that name a place or
# guide we know now (an index holds the few whose place is not known), and those that were moved.
# Who bought them is looked at again.
_MARKED = """
    ), marked AS (
        INSERT INTO changed_contact (contact_id, marked_at)
        SELECT DISTINCT contact_id, clock_timestamp() FROM adopted ORDER BY contact_id
        ON CONFLICT (contact_id) DO UPDATE SET marked_at = excluded.marked_at
    )
    SELECT count(*) FROM adopted
"""
_ADOPT_STORES = text(
    f"""
    WITH effective AS (
        {_EFFECTIVE} WHERE p.id IN (
        SELECT o.id FROM purchase o JOIN store s ON s.code = o.store_code
        WHERE o.store_id IS NULL AND o.store_code IS NOT NULL
        UNION ALL
        SELECT o.id FROM purchase_move m JOIN purchase o USING (source, order_no)
        WHERE o.store_id IS NULL)
    ), adopted AS (
        UPDATE purchase p SET store_id = s.id
        FROM effective e JOIN store s ON s.code = e.store_code
        WHERE p.id = e.id
        RETURNING p.contact_id
    {_MARKED}
    """
)
_ADOPT_GUIDES = text(
    f"""
    WITH effective AS (
        {_EFFECTIVE} WHERE p.id IN (
        SELECT o.id FROM purchase o JOIN guide g ON lower(g.userid) = lower(o.guide_userid)
        WHERE o.guide_id IS NULL AND o.guide_userid IS NOT NULL
        UNION ALL
        SELECT o.id FROM purchase_move m JOIN purchase o USING (source, order_no)
        WHERE o.guide_id IS NULL)
    ), adopted AS (
        UPDATE purchase p SET guide_id = g.id
        FROM effective e JOIN guide g ON lower(g.userid) = lower(e.guide_userid)
        WHERE p.id = e.id
        RETURNING p.contact_id
    {_MARKED}
    """
)


def read(event: Mapping[str, Any]) -> dict[str, Any]:
    """The move of a `purchase_moved` event; UserError names the field that is wrong."""
    detail = {
        "order_no": event_fields.short_text(event, "order_no", limit=128),
        "guide_userid": event_fields.optional_text(event, "guide", limit=64),
        "store_code": event_fields.optional_text(event, "store", limit=64),
    }
    if detail["guide_userid"] is None and detail["store_code"] is None:
        raise UserError("要写新的 guide 或 store。", field="guide")
    return detail


def keep(session: Session, receipts: Sequence[Receipt]) -> set[int]:
    """Keep moves of locked orders; returns the buyers, who need not be whom an event names."""
    _name(session, receipts)
    rows = [
        {
            **receipt.fact.detail,
            "source_event_id": receipt.source_event_id,
            "source": receipt.fact.source,
            "moved_at": receipt.fact.occurred_at.isoformat(),
            "event_id": receipt.fact.event_id,
        }
        for receipt in receipts
    ]
    orders = [{"source": row["source"], "order_no": row["order_no"]} for row in rows]
    session.execute(_WRITE, {"rows": json.dumps(rows, ensure_ascii=False)})
    attribute(session, orders)
    return set(session.scalars(_BUYERS, {"orders": json.dumps(orders)}))


def story(receipt: Receipt) -> dict[str, Any]:
    """The line a move writes into the customer's story."""
    detail = receipt.fact.detail
    to = [
        f"{label} {detail[f'{key}_name']}"
        for label, key, code in (("导购", "guide", "guide_userid"), ("门店", "store", "store_code"))
        if detail[code] is not None
    ]
    words = f"订单 {detail['order_no']} 的归属改为：{'，'.join(to)}"
    return entry(receipt, "purchase_moved", words, {"order_no": detail["order_no"]})


def _name(session: Session, receipts: Sequence[Receipt]) -> None:
    """The story names guide and store as people do, as soon as they are known."""
    details = [receipt.fact.detail for receipt in receipts]
    userids = sorted({(one["guide_userid"] or "").lower() for one in details} - {""})
    codes = sorted({one["store_code"] or "" for one in details} - {""})
    rows = session.execute(_NAMES, {"userids": userids, "codes": codes}).all()
    known = {(row.kind, row.code): row.name for row in rows}
    for one in details:
        guide = known.get(("guide", (one["guide_userid"] or "").lower()))
        one["guide_name"] = guide or one["guide_userid"]
        one["store_name"] = known.get(("store", one["store_code"])) or one["store_code"]


def attribute(session: Session, orders: Sequence[Mapping[str, str]]) -> None:
    """Give moved orders, {source, order_no} each, the guide and store they were moved to.

    Run after every write of an order or a move; the caller holds the locks of these orders.
    """
    session.execute(_ATTRIBUTE, {"orders": json.dumps(list(orders))})


def adopt_stores(session: Session) -> int:
    """Give orders of stores that were not loaded yet their store; returns how many."""
    return session.scalar(_ADOPT_STORES) or 0


def adopt_guides(session: Session) -> int:
    """Give orders of guides that were not known yet their guide; returns how many."""
    return session.scalar(_ADOPT_GUIDES) or 0
