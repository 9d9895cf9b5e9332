"""Shopping carts (购物车): every report is kept, a cart is what all its reports add up to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import event_fields, order_lines
from bot.crm.event_fields import MOST_FEN
from bot.crm.locks import Space, lock_keys
from bot.crm.models import CartState
from bot.crm.receipts import Receipt, yuan
from bot.errors import UserError

#: (source, cart id)
CartKey = tuple[str, str]

_WRITE = text(
    """
    INSERT INTO cart_change (source_event_id, source, cart_id, state, lines, amount_fen, changed_at,
                             event_id, contact_id, identity_id)
    SELECT source_event_id, source, cart_id, state, lines, amount_fen, changed_at, event_id,
           contact_id, identity_id
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        source_event_id bigint, source text, cart_id text, state text, lines jsonb,
        amount_fen bigint, changed_at timestamptz, event_id text, contact_id bigint,
        identity_id bigint)
    ON CONFLICT (source_event_id) DO NOTHING
    """
)
_OWNERS = text(
    """
    SELECT DISTINCT c.contact_id FROM cart c
    JOIN jsonb_to_recordset(CAST(:carts AS jsonb)) AS r (source text, cart_id text)
    USING (source, cart_id)
    """
)
_CARTS_OF = text(
    """
    SELECT source, cart_id FROM cart WHERE contact_id = ANY(:ids)
    UNION SELECT source, cart_id FROM cart_change WHERE contact_id = ANY(:ids)
    """
)
# `n` numbers the reports of a cart as they happened. The newest one says whose the cart is and how
# it stands, the newest `added` what lies in it; it was opened by the first `added` after the last
# time it was paid or emptied before that.
_FOLD = text(
    """
    WITH told AS (
        SELECT c.*, row_number() OVER (
            PARTITION BY c.source, c.cart_id ORDER BY c.changed_at, c.event_id COLLATE "C") AS n
        FROM cart_change c
        JOIN jsonb_to_recordset(CAST(:carts AS jsonb)) AS r (source text, cart_id text)
        USING (source, cart_id)
    ), newest AS (
        SELECT DISTINCT ON (source, cart_id) * FROM told ORDER BY source, cart_id, n DESC
    ), filled AS (
        SELECT DISTINCT ON (source, cart_id) * FROM told WHERE state = 'added'
        ORDER BY source, cart_id, n DESC
    ), opened AS (
        SELECT f.source, f.cart_id, min(t.changed_at) AS opened_at
        FROM filled f JOIN told t USING (source, cart_id)
        WHERE t.state = 'added' AND t.n > (
            SELECT COALESCE(max(b.n), 0) FROM told b
            WHERE b.source = f.source AND b.cart_id = f.cart_id AND b.state <> 'added'
              AND b.n < f.n)
        GROUP BY 1, 2
    )
    INSERT INTO cart (source, cart_id, contact_id, identity_id, state, opened_at, opened_on,
                      changed_at, event_id, lines, amount_fen, categories, first_item)
    SELECT n.source, n.cart_id, n.contact_id, n.identity_id, n.state, o.opened_at,
           CAST(o.opened_at AT TIME ZONE 'Asia/Shanghai' AS date), n.changed_at, n.event_id,
           COALESCE(f.lines, '[]'), COALESCE(f.amount_fen, 0),
           ARRAY(SELECT DISTINCT line ->> 'category' FROM jsonb_array_elements(f.lines) AS line
                 WHERE line ->> 'category' IS NOT NULL ORDER BY 1),
           f.lines -> 0 ->> 'name'
    FROM newest n
    LEFT JOIN filled f USING (source, cart_id)
    LEFT JOIN opened o USING (source, cart_id)
    ORDER BY n.source, n.cart_id
    ON CONFLICT (source, cart_id) DO UPDATE SET
        contact_id = excluded.contact_id, identity_id = excluded.identity_id,
        state = excluded.state, opened_at = excluded.opened_at, opened_on = excluded.opened_on,
        changed_at = excluded.changed_at, event_id = excluded.event_id, lines = excluded.lines,
        amount_fen = excluded.amount_fen, categories = excluded.categories,
        first_item = excluded.first_item
    """
)


def read(event: Mapping[str, Any]) -> dict[str, Any]:
    """The cart of a `cart` event; UserError names the field that is wrong."""
    state = event_fields.word(event, "state", [each.value for each in CartState])
    lines: list[order_lines.Line] = []
    if state == CartState.ADDED or event.get("lines") is not None:
        lines = order_lines.read(event, least_fen=0)
    if state == CartState.ADDED and not lines:
        raise UserError("加购时 lines 不能为空。", field="lines")
    amount = event_fields.optional_whole(event, "amount_fen", low=0, high=MOST_FEN)
    return {
        "cart_id": event_fields.short_text(event, "cart_id", limit=128),
        "state": state,
        "lines": lines,
        "amount_fen": sum(line["amount_fen"] for line in lines) if amount is None else amount,
    }


def keep(session: Session, receipts: Sequence[Receipt]) -> set[int]:
    """Keep reports of locked carts; returns who had them before."""
    rows = [
        {
            **receipt.fact.detail,
            "source_event_id": receipt.source_event_id,
            "source": receipt.fact.source,
            "changed_at": receipt.fact.occurred_at.isoformat(),
            "event_id": receipt.fact.event_id,
            "contact_id": receipt.contact_id,
            "identity_id": receipt.identity_id,
        }
        for receipt in receipts
    ]
    carts = keys(receipts)
    before = set(session.scalars(_OWNERS, {"carts": _as_json(carts)}))
    session.execute(_WRITE, {"rows": json.dumps(rows, ensure_ascii=False)})
    session.execute(_FOLD, {"carts": _as_json(carts)})
    return before


def keys(receipts: Iterable[Receipt]) -> set[CartKey]:
    """The carts that these receipts speak of."""
    return {(receipt.fact.source, receipt.fact.detail["cart_id"]) for receipt in receipts}


def refold(session: Session, contact_ids: Iterable[int]) -> None:
    """Add up again every cart that these contacts have or spoke of (after reports moved)."""
    found = session.execute(_CARTS_OF, {"ids": sorted(set(contact_ids))}).all()
    carts = {(source, cart_id) for source, cart_id in found}
    if carts:
        lock_keys(session, Space.CARTS, carts)
        session.execute(_FOLD, {"carts": _as_json(carts)})


def story(receipt: Receipt) -> dict[str, Any] | None:
    """The line a filled cart writes into the customer's story; one for each cart."""
    detail = receipt.fact.detail
    if detail["state"] != CartState.ADDED:
        return None
    return {
        "contact_id": receipt.contact_id,
        "kind": "cart",
        "occurred_at": receipt.fact.occurred_at.isoformat(),
        "text": f"加购了 {order_lines.named(detail['lines'])}，{yuan(detail['amount_fen'])}",
        "detail": {
            "cart_id": detail["cart_id"],
            "amount_fen": detail["amount_fen"],
            "event_id": receipt.fact.event_id,
        },
        "dedupe_key": f"cart:{receipt.fact.source}:{detail['cart_id']}",
    }


def _as_json(carts: Iterable[CartKey]) -> str:
    return json.dumps([{"source": source, "cart_id": cart} for source, cart in sorted(carts)])
