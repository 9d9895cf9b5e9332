"""Visits (到店) and views (浏览): each is kept once, the newest day of each is kept beside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm import activity, changes, event_fields
from bot.crm.models import Store, Visit
from bot.crm.receipts import Receipt, entry

#: What a visit is called most of the time; other words of a sender are kept as they are.
KINDS = ("到店", "活动", "售后", "线上")
_MOST_SECONDS = 24 * 60 * 60

_WRITE_VISITS = text(
    """
    INSERT INTO visit (source_event_id, contact_id, identity_id, store_id, store_code, kind,
                       visited_at, visited_on)
    SELECT r.source_event_id, r.contact_id, r.identity_id, s.id, r.store_code, r.kind, r.visited_at,
           r.visited_on
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        source_event_id bigint, contact_id bigint, identity_id bigint, store_code text, kind text,
        visited_at timestamptz, visited_on date)
    LEFT JOIN store s ON s.code = r.store_code
    ON CONFLICT (source_event_id) DO NOTHING
    """
)
_WRITE_VIEWS = text(
    """
    INSERT INTO material_view (source_event_id, contact_id, identity_id, material, seconds,
                               viewed_at, viewed_on)
    SELECT source_event_id, contact_id, identity_id, material, seconds, viewed_at, viewed_on
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        source_event_id bigint, contact_id bigint, identity_id bigint, material text,
        seconds integer, viewed_at timestamptz, viewed_on date)
    ON CONFLICT (source_event_id) DO NOTHING
    """
)
_ADOPT_STORES = text(
    """
    UPDATE visit v SET store_id = s.id FROM store s
    WHERE v.store_id IS NULL AND v.store_code = s.code
    """
)
_STORE_NAMES = text("SELECT code, name FROM store WHERE code = ANY(:codes)")


def read(event: Mapping[str, Any]) -> dict[str, Any]:
    """The visit of a `visit` event; UserError names the field that is wrong."""
    return {
        "store_code": event_fields.short_text(event, "store", limit=64),
        "kind": event_fields.short_text(event, "kind", limit=40),
    }


def read_view(event: Mapping[str, Any]) -> dict[str, Any]:
    """What was looked at in a `view` event; UserError names the field that is wrong."""
    return {
        "material": event_fields.short_text(event, "material", limit=100),
        "seconds": event_fields.optional_whole(event, "seconds", low=0, high=_MOST_SECONDS),
    }


def keep(session: Session, receipts: Sequence[Receipt]) -> set[int]:
    """Keep visits of contacts that are locked."""
    codes = {receipt.fact.detail["store_code"] for receipt in receipts}
    names: dict[str, str] = dict(session.execute(_STORE_NAMES, {"codes": sorted(codes)}).all())
    for receipt in receipts:
        # The story names the store as people do, as soon as it is known.
        code = receipt.fact.detail["store_code"]
        receipt.fact.detail["store_name"] = names.get(code, code)
    _write(session, receipts, _WRITE_VISITS, "visited", activity.Sign.VISITED)
    return set()


def keep_views(session: Session, receipts: Sequence[Receipt]) -> set[int]:
    """Keep views of contacts that are locked."""
    _write(session, receipts, _WRITE_VIEWS, "viewed", activity.Sign.VIEWED)
    return set()


def mark(
    session: Session,
    contact_id: int,
    store: Store | None,
    *,
    at: datetime,
    appointment_id: int | None = None,
) -> int:
    """Note a visit that a guide saw herself; returns its id."""
    visit = Visit(
        contact_id=contact_id,
        store_id=store.id if store else None,
        store_code=store.code if store else "",
        kind=KINDS[0],
        visited_at=at,
        visited_on=business_day(at),
        appointment_id=appointment_id,
    )
    session.add(visit)
    session.flush()
    activity.seen(session, {contact_id: visit.visited_on}, activity.Sign.VISITED)
    changes.mark(session, [contact_id])
    return visit.id


def adopt_stores(session: Session) -> int:
    """Give visits to stores that were not loaded yet their store; returns how many."""
    return session.execute(_ADOPT_STORES).rowcount  # type: ignore[attr-defined,no-any-return]


def story(receipt: Receipt) -> dict[str, Any]:
    """The line a visit writes into the customer's story."""
    detail = receipt.fact.detail
    where = detail.get("store_name", detail["store_code"])
    return entry(receipt, "visited", f"{detail['kind']}：{where}", {"store": detail["store_code"]})


def view_story(receipt: Receipt) -> dict[str, Any]:
    """The line a view writes into the customer's story."""
    return entry(receipt, "viewed", f"浏览了“{receipt.fact.detail['material']}”")


def _write(
    session: Session, receipts: Sequence[Receipt], statement: Any, verb: str, sign: activity.Sign
) -> None:
    days: dict[int, date] = {}
    rows = []
    for receipt in receipts:
        on = business_day(receipt.fact.occurred_at)
        days[receipt.contact_id] = max(on, days.get(receipt.contact_id, on))
        rows.append(
            {
                **receipt.fact.detail,
                "source_event_id": receipt.source_event_id,
                "contact_id": receipt.contact_id,
                "identity_id": receipt.identity_id,
                f"{verb}_at": receipt.fact.occurred_at.isoformat(),
                f"{verb}_on": on.isoformat(),
            }
        )
    session.execute(statement, {"rows": json.dumps(rows, ensure_ascii=False)})
    activity.seen(session, days, sign)
