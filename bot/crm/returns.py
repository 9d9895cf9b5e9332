"""Goods that came back (退货): which lines of an order its refunds have taken back.

The rule, in full. Lines of an order with one sku (where there is none, with one name) are one item.
A line of a refund is about the item of its sku, and without a sku about the items that have its
name. An item has come back when the pieces of all refunds of the order reach those bought, or when
the money given back for it reaches what was paid for it, if that is above 0. A refund line without
pieces and money is one piece; one with money alone is about money, and no piece. A refund without
lines takes nothing back: it lowers the order, which counts for nothing when nothing is left of it.

Tills that write what came back below 0 mean the same. A value that cannot be used is passed over:
the money has gone back all the same. Each time the answer is worked out from all refunds that are
kept, so their order does not matter.
"""

from __future__ import annotations

# Kept as it came; CASE, for a cast must not see what is no number.
_NAMED = "CASE jsonb_typeof(line -> '{0}') WHEN 'string' THEN NULLIF(btrim(line ->> '{0}'), '') END"
_SIZED = "CASE WHEN line ->> '{0}' ~ '^-?[0-9]{{1,13}}$' THEN abs((line ->> '{0}')::bigint) END"
#: Steps of a statement that has `orders` (source, order_no): `back` says of each item whether it
#: has come back. `bot.crm.purchases` settles money and goods of an order in one statement.
STEPS = f"""
    read AS (
        SELECT source, order_no, {_NAMED.format("sku")} AS sku, {_NAMED.format("name")} AS name,
               {_SIZED.format("quantity")} AS pieces, {_SIZED.format("amount_fen")} AS fen
        FROM orders JOIN refund f USING (source, order_no)
        CROSS JOIN LATERAL jsonb_array_elements(COALESCE(f.lines, '[]')) AS line
    ),
    told AS (
        SELECT source, order_no, sku, name, COALESCE(fen, 0) AS fen,
               COALESCE(pieces, CASE WHEN fen IS NULL THEN 1 ELSE 0 END) AS pieces
        FROM read
    ),
    item AS (
        SELECT p.id AS purchase_id, source, order_no, l.sku,
               CASE WHEN l.sku IS NULL THEN l.name END AS name, array_agg(l.name) AS names,
               sum(l.quantity) AS pieces, sum(l.amount_fen) AS fen
        FROM orders JOIN purchase p USING (source, order_no)
        JOIN purchase_line l ON l.purchase_id = p.id
        GROUP BY p.id, source, order_no, l.sku, CASE WHEN l.sku IS NULL THEN l.name END
    ),
    back AS (
        SELECT i.purchase_id, i.sku, i.name,
               COALESCE(sum(t.pieces) >= i.pieces OR i.fen > 0 AND sum(t.fen) >= i.fen, false)
                   AS is_returned
        FROM item i LEFT JOIN told t
          ON t.source = i.source AND t.order_no = i.order_no
         AND (t.sku = i.sku OR t.sku IS NULL AND t.name = ANY(i.names))
        GROUP BY i.purchase_id, i.sku, i.name, i.pieces, i.fen
    )
"""
#: The last step.
WRITE = """
    UPDATE purchase_line l SET is_returned = b.is_returned FROM back b
    WHERE l.purchase_id = b.purchase_id AND l.sku IS NOT DISTINCT FROM b.sku
      AND (b.name IS NULL OR l.name = b.name) AND l.is_returned <> b.is_returned
"""
