"""Loyalty points (积分): every change is kept; what was won is used up in the order it expires."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm import event_fields, members
from bot.crm.receipts import Receipt, entry
from bot.errors import UserError

_MOST_DELTA = 10**8
_MOST_BALANCE = 10**9

_WRITE = text(
    """
    INSERT INTO points_change (source_event_id, source, contact_id, identity_id, delta, balance,
                               expires_on, reason, changed_at, changed_on, event_id)
    SELECT source_event_id, source, contact_id, identity_id, delta, balance, expires_on, reason,
           changed_at, changed_on, event_id
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        source_event_id bigint, source text, contact_id bigint, identity_id bigint, delta integer,
        balance integer, expires_on date, reason text, changed_at timestamptz, changed_on date,
        event_id text)
    ON CONFLICT (source_event_id) DO NOTHING
    """
)
#: A change that takes away and gives such a reason is the end of points, not a use of them.
_LAPSES = ("过期", "到期", "失效", "expire")
# What is spent takes from the lots that still hold on that day, the soonest to expire first; what
# lapsed unsaid is gone and pays for nothing that comes later. Told lapses take the lapsed lots.
# Up to a lot everything before it and itself may have used `paid` of what was spent while it held,
# and no more than was won: used(i) = won(i) + min(0, min over k <= i of paid(k) - won(k)). So the
# result depends on the set of changes only.
_SETTLE = text(
    """
    WITH spending AS (
        SELECT contact_id, -delta AS spent,
               CASE WHEN reason ~* ANY(:lapses) THEN date '-infinity'
                    ELSE changed_on END AS spent_on
        FROM points_change WHERE contact_id = ANY(:ids) AND delta < 0
    ), lots AS (
        SELECT id, contact_id, delta, expires_on,
               row_number() OVER in_turn AS place,
               sum(delta) OVER in_turn AS won
        FROM points_change WHERE contact_id = ANY(:ids) AND delta > 0
        WINDOW in_turn AS (
            PARTITION BY contact_id
            ORDER BY expires_on NULLS LAST, changed_at, event_id COLLATE "C", source COLLATE "C"
            ROWS UNBOUNDED PRECEDING)
    ), paid AS (
        SELECT l.*, COALESCE((
            SELECT sum(s.spent) FROM spending s
            WHERE s.contact_id = l.contact_id
              AND (l.expires_on IS NULL OR s.spent_on <= l.expires_on)), 0) AS paid
        FROM lots l
    ), used AS (
        SELECT id, contact_id, delta, place,
               won + LEAST(0, min(paid - won) OVER (
                   PARTITION BY contact_id ORDER BY place ROWS UNBOUNDED PRECEDING)) AS used
        FROM paid
    ), settled AS (
        SELECT id, delta - (used - COALESCE(lag(used) OVER (
                   PARTITION BY contact_id ORDER BY place), 0)) AS remaining
        FROM used
    )
    UPDATE points_change p SET remaining = s.remaining FROM settled s
    WHERE p.id = s.id AND p.remaining <> s.remaining
    """
)


def read(event: Mapping[str, Any]) -> dict[str, Any]:
    """The change of a `points` event; UserError names the field that is wrong."""
    delta = event_fields.whole(event, "delta", low=-_MOST_DELTA, high=_MOST_DELTA)
    balance = event_fields.optional_whole(event, "balance", low=0, high=_MOST_BALANCE)
    if delta == 0 and balance is None:
        raise UserError("delta 是 0 时要有 balance。", field="delta")
    expires_on = event_fields.optional_date(event, "expires_on")
    if expires_on is not None:
        if delta <= 0:
            raise UserError("只有增加积分时才能写 expires_on。", field="expires_on")
        at = event_fields.moment(event, "occurred_at", latest=datetime.max.replace(tzinfo=UTC))
        if expires_on < business_day(at):
            raise UserError("expires_on 不能早于积分变动的日期。", field="expires_on")
    return {
        "delta": delta,
        "balance": balance,
        "expires_on": expires_on and expires_on.isoformat(),
        "reason": event_fields.optional_text(event, "reason", limit=100),
    }


def keep(session: Session, receipts: Sequence[Receipt]) -> set[int]:
    """Keep changes of contacts that are locked; a balance is the member's, by the newest report."""
    rows = [
        {
            **receipt.fact.detail,
            "source_event_id": receipt.source_event_id,
            "source": receipt.fact.source,
            "contact_id": receipt.contact_id,
            "identity_id": receipt.identity_id,
            "changed_at": receipt.fact.occurred_at.isoformat(),
            "changed_on": business_day(receipt.fact.occurred_at).isoformat(),
            "event_id": receipt.fact.event_id,
        }
        for receipt in receipts
    ]
    session.execute(_WRITE, {"rows": json.dumps(rows, ensure_ascii=False)})
    settle(session, (receipt.contact_id for receipt in receipts))
    members.apply(session, [report for r in receipts if (report := _report(r)) is not None])
    return set()


def settle(session: Session, contact_ids: Iterable[int]) -> None:
    """Work out again what is left of each lot of these contacts; their rows are locked."""
    session.execute(_SETTLE, {"ids": sorted(set(contact_ids)), "lapses": list(_LAPSES)})


def story(receipt: Receipt) -> dict[str, Any] | None:
    """The line a change writes into the customer's story; a balance alone is nothing to tell."""
    detail = receipt.fact.detail
    delta, reason = int(detail["delta"]), detail["reason"]
    if delta == 0:
        return None
    lapsed = delta < 0 and any(word in (reason or "").lower() for word in _LAPSES)
    verb = "获得" if delta > 0 else "过期" if lapsed else "使用"
    because = f"（{reason}）" if reason and not lapsed else ""
    until = ""
    if detail["expires_on"]:
        last = date.fromisoformat(detail["expires_on"])
        until = f"，{last.year}年{last.month}月{last.day}日到期"
    balance = "" if detail["balance"] is None else f"，余额 {detail['balance']:,}"
    words = f"{verb} {abs(delta):,} 积分{because}{until}{balance}"
    return entry(receipt, "points", words, {"delta": delta})


def _report(receipt: Receipt) -> members.MemberReport | None:
    fact = receipt.fact
    if fact.detail["balance"] is None:
        return None
    version = members.version_of(fact.occurred_at, fact.event_id, fact.source)
    values = {"points": {"points": fact.detail["balance"]}}
    return members.MemberReport(receipt.contact_id, version, values)
