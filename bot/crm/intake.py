"""Facts from POS, ERP and mall (数据接入): checked one by one, kept as one batch, once each.

A batch of any size takes the same number of statements. What is wrong with one event is told in
one sentence and hurts no other event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import (
    carts,
    changes,
    coupons,
    event_fields,
    identity,
    member_merges,
    order_lines,
    purchases,
    timeline,
)
from bot.crm.event_kinds import KINDS, Kind
from bot.crm.locks import Space, lock_keys
from bot.crm.models import IdentityKind
from bot.crm.receipts import Fact, Receipt
from bot.errors import UserError

#: Events kept in one transaction; a longer list is for the caller to cut.
MOST_EVENTS = 1000
MOST_EVENT_BYTES = 64 * 1024
# A till's clock may run ahead of ours.
_CLOCK_SLACK = timedelta(minutes=10)
_TOLD_BY_MEMBER = ("mobile", "mall_id", "openid")
#: What every event has, besides the fields of its type.
_ENVELOPE = ("id", "source", "type", "occurred_at", "who")


@dataclass(frozen=True)
class Rejection:
    """Why one event was not kept; `id` is None where it has none that can be read."""

    index: int
    id: str | None
    error: str


@dataclass(frozen=True)
class IntakeResult:
    """What became of a batch: every event is in exactly one of the three."""

    accepted: int
    duplicate: int
    rejected: list[Rejection]


_RECEIVE = text(
    """
    INSERT INTO source_event (source, event_id, kind, occurred_at, body)
    SELECT source, event_id, kind, occurred_at, body
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        source text, event_id text, kind text, occurred_at timestamptz, body jsonb)
    ORDER BY source, event_id
    ON CONFLICT (source, event_id) DO NOTHING
    RETURNING source, event_id, id
    """
)
_ATTRIBUTE = text(
    """
    UPDATE source_event e SET contact_id = r.contact_id, identity_id = r.identity_id
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        id bigint, contact_id bigint, identity_id bigint)
    WHERE e.id = r.id
    """
)
_FORGET = text("DELETE FROM source_event WHERE id = ANY(:ids)")


def receive(
    session: Session, events: Sequence[object], *, now: datetime, secret_key: str
) -> IntakeResult:
    """Keep up to 1,000 events in the caller's transaction.

    The same (source, id) twice is one event, whenever it comes again; the order of arrival does
    not matter. UserError only for a batch that is too long.
    """
    if len(events) > MOST_EVENTS:
        raise UserError(f"一次最多 {MOST_EVENTS} 条事件。")
    facts: dict[tuple[str, str], Fact] = {}
    rejected: list[Rejection] = []
    for index, event in enumerate(events):
        try:
            fact = read_event(index, event, now=now, secret_key=secret_key)
            facts.setdefault((fact.source, fact.event_id), fact)
        except UserError as error:
            rejected.append(Rejection(index, _id_of(event), error.message_zh))
    kept, refused = _keep(session, list(facts.values())) if facts else (0, [])
    everything = sorted([*rejected, *refused], key=lambda one: one.index)
    return IntakeResult(kept, len(events) - kept - len(everything), everything)


def read_event(index: int, event: object, *, now: datetime, secret_key: str) -> Fact:
    """Check one event; UserError with the one sentence that says what is wrong with it."""
    if not isinstance(event, Mapping):
        raise UserError("事件要是 JSON 对象。")
    # First of all: what passes can be written as JSON, and is not nested without end.
    event_fields.check_storable(event)
    if len(json.dumps(event, ensure_ascii=False).encode()) > MOST_EVENT_BYTES:
        raise UserError(f"一条事件最多 {MOST_EVENT_BYTES // 1024} KB。")
    event_id = event_fields.short_text(event, "id", limit=128)
    source = event_fields.short_text(event, "source", limit=64)
    name = event_fields.short_text(event, "type", limit=64)
    kind = KINDS.get(name)
    if kind is None:
        raise UserError(f"type 不支持“{name}”，现在可以用：{'、'.join(KINDS)}。", field="type")
    occurred_at = event_fields.moment(event, "occurred_at", latest=now + _CLOCK_SLACK)
    detail = kind.read(event, secret_key)
    keys = _keys(event, name, source, secret_key)
    return Fact(index, source, event_id, name, occurred_at, keys, detail, _body(event, kind))


def _keys(
    event: Mapping[str, Any], kind: str, source: str, secret_key: str
) -> tuple[identity.Key, ...]:
    who = event.get("who")
    if who is not None and not isinstance(who, Mapping):
        raise UserError("who 要是对象。", field="who")
    numbers = dict(who or {})
    if kind == member_merges.KIND:
        return _keys_of_merge(event, numbers, source, secret_key)
    if kind == "member":
        # What a member event says of the member is as good as a `who`.
        if event.get("member_no") != numbers.setdefault("member_no", event.get("member_no")):
            raise UserError("who 里的会员号和 member_no 不一致。", field="member_no")
        for name in _TOLD_BY_MEMBER:
            if numbers.get(name) is None:
                numbers[name] = event.get(name) or None
    return identity.keys_of(numbers, source=source, secret_key=secret_key)


def _keys_of_merge(
    event: Mapping[str, Any], numbers: dict[str, Any], source: str, secret_key: str
) -> tuple[identity.Key, ...]:
    """Both cards first: they belong together whatever else is known of the person."""
    cards = {"member_no": event["member_no"]}, {"member_no": event["merged_member_no"]}
    kept, gone = (identity.keys_of(card, source=source, secret_key=secret_key) for card in cards)
    if any(numbers.values()):
        said = identity.keys_of(numbers, source=source, secret_key=secret_key)
    else:
        said = ()
    return tuple(dict.fromkeys((*kept, *gone, *said)))


def _body(event: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """What is kept of an event: the fields it is described by, and no mobile number.

    A till may put the number, and more about a person than anybody asked for, under any name.
    """
    known = {*_ENVELOPE, *(field.name for field in kind.fields)} - {"mobile"}
    body = {name: value for name, value in event.items() if name in known}
    if isinstance(body.get("who"), Mapping):
        numbers = set(identity.STRENGTH) - {"mobile"}
        body["who"] = {name: value for name, value in body["who"].items() if name in numbers}
    if "lines" in body:
        body["lines"] = order_lines.known(body["lines"])
    return body


def _keep(session: Session, facts: Sequence[Fact]) -> tuple[int, list[Rejection]]:
    new = _receive(session, facts)
    if not new:
        return 0, []
    refused: list[tuple[Rejection, int]] = []
    merges = [(fact, row) for fact, row in new if fact.kind == member_merges.KIND]
    wrong = member_merges.begin(session, merges) if merges else {}
    for fact, row in merges:
        if row in wrong:
            refused.append((Rejection(fact.index, fact.event_id, wrong[row]), row))
    new = [(fact, row) for fact, row in new if row not in wrong]
    found = identity.resolve_many(session, [_told(fact) for fact, _ in new])
    receipts: list[Receipt] = []
    for (fact, row), who in zip(new, found, strict=True):
        error = _clash(fact, who)
        if error:
            refused.append((Rejection(fact.index, fact.event_id, error), row))
        else:
            receipts.append(Receipt(fact, row, who.contact_id, who.identity_id, who.clashes))
    if refused:
        # Forgotten, so that the corrected event may come again under the same id.
        session.execute(_FORGET, {"ids": [row for _, row in refused]})
    _write(session, receipts)
    return len(receipts), [rejection for rejection, _ in refused]


def _receive(session: Session, facts: Sequence[Fact]) -> list[tuple[Fact, int]]:
    rows = [
        {
            "source": fact.source,
            "event_id": fact.event_id,
            "kind": fact.kind,
            "occurred_at": fact.occurred_at.isoformat(),
            "body": fact.body,
        }
        for fact in facts
    ]
    given = {"rows": json.dumps(rows, ensure_ascii=False)}
    ids = {(source, event_id): id for source, event_id, id in session.execute(_RECEIVE, given)}
    return [
        (fact, ids[fact.source, fact.event_id])
        for fact in facts
        if (fact.source, fact.event_id) in ids
    ]


def _told(fact: Fact) -> identity.Told:
    version = (fact.occurred_at.astimezone(UTC), fact.event_id, fact.source)
    return identity.Told(fact.keys, version, needs_card=fact.kind == "member")


def _clash(fact: Fact, who: identity.Resolved) -> str | None:
    """A member number of somebody else cannot be written; other numbers merely stay apart."""
    if fact.kind == "member" and IdentityKind.MEMBER_NO in who.clashes:
        return "member_no 已经属于另一位客户，或这位客户已有别的会员号。"
    return None


def _write(session: Session, receipts: Sequence[Receipt]) -> None:
    if not receipts:
        return
    touched = {receipt.contact_id for receipt in receipts}
    # All at once and before anything is written: two batches never wait for each other in a ring.
    lock_keys(session, Space.CARTS, carts.keys(_of(receipts, "cart")))
    lock_keys(session, Space.COUPONS, coupons.keys(_of(receipts, "coupon", "purchase")))
    orders = _of(receipts, "purchase", "refund", "purchase_moved")
    lock_keys(session, Space.ORDERS, purchases.keys(orders))
    entries: dict[str, dict[str, Any]] = {}
    for name, kind in KINDS.items():
        mine = [receipt for receipt in receipts if receipt.fact.kind == name]
        if not mine:
            continue
        touched |= kind.keep(session, mine)
        if kind.story:
            for receipt in sorted(mine, key=lambda r: (r.fact.occurred_at, r.fact.event_id)):
                entry = kind.story(receipt)
                if entry is not None:
                    entries[entry["dedupe_key"]] = entry
    rows = [
        {"id": r.source_event_id, "contact_id": r.contact_id, "identity_id": r.identity_id}
        for r in receipts
    ]
    session.execute(_ATTRIBUTE, {"rows": json.dumps(rows)})
    timeline.record_many(session, list(entries.values()))
    changes.mark(session, touched)


def _of(receipts: Sequence[Receipt], *kinds: str) -> list[Receipt]:
    return [receipt for receipt in receipts if receipt.fact.kind in kinds]


def _id_of(event: object) -> str | None:
    value = event.get("id") if isinstance(event, Mapping) else None
    return event_fields.shown(value[:128]) if isinstance(value, str) else None
