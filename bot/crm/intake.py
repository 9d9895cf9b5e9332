"""Facts from POS, ERP and mall (数据接入): checked one by one, kept as one batch, once each.

A batch of any size takes the same number of statements. What is wrong with one event is told in
one sentence and hurts no other event.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import changes, event_fields, identity, members, purchases, timeline
from bot.crm.models import IdentityKind
from bot.crm.receipts import Fact, Receipt
from bot.errors import UserError

#: Events kept in one transaction; a longer list is for the caller to cut.
MOST_EVENTS = 1000
MOST_EVENT_BYTES = 64 * 1024
# A till's clock may run ahead of ours.
_CLOCK_SLACK = timedelta(minutes=10)


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


@dataclass(frozen=True)
class Kind:
    """One type of event: how it is read, kept, and told in the customer's story.

    `keep` returns contacts, besides those the events name, whose facts changed.
    """

    read: Callable[[Mapping[str, Any], str], Any]
    keep: Callable[[Session, Sequence[Receipt]], set[int]]
    story: Callable[[Receipt], dict[str, Any]] | None = None


def _read_purchase(event: Mapping[str, Any], secret_key: str) -> dict[str, Any]:
    return purchases.read(event)


def _read_refund(event: Mapping[str, Any], secret_key: str) -> dict[str, Any]:
    return purchases.read_refund(event)


def _read_member(event: Mapping[str, Any], secret_key: str) -> dict[str, members.Row]:
    return members.read(event, secret_key=secret_key)


def _keep_members(session: Session, receipts: Sequence[Receipt]) -> set[int]:
    reports = [
        members.MemberReport(
            receipt.contact_id,
            members.version_of(receipt.fact.occurred_at, receipt.fact.event_id),
            receipt.fact.detail,
        )
        for receipt in receipts
    ]
    members.apply(session, reports)
    return set()


#: Every type of event there is; a further one is one more line (and its room).
KINDS: dict[str, Kind] = {
    "member": Kind(_read_member, _keep_members),
    "purchase": Kind(_read_purchase, purchases.apply, purchases.story),
    "refund": Kind(_read_refund, purchases.apply_refunds, purchases.refund_story),
}

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
    keys = _keys(event, name, secret_key)
    return Fact(index, source, event_id, name, occurred_at, keys, detail, _body(event))


def _keys(event: Mapping[str, Any], kind: str, secret_key: str) -> tuple[identity.Key, ...]:
    who = event.get("who")
    if who is not None and not isinstance(who, Mapping):
        raise UserError("who 要是对象。", field="who")
    numbers = dict(who or {})
    if kind == "member":
        # What a member event says of the member is as good as a `who`.
        if event.get("member_no") != numbers.setdefault("member_no", event.get("member_no")):
            raise UserError("who 里的会员号和 member_no 不一致。", field="member_no")
        if numbers.get("mobile") is None:
            numbers["mobile"] = event.get("mobile") or None
    return identity.keys_of(numbers, secret_key=secret_key)


def _body(event: Mapping[str, Any]) -> dict[str, Any]:
    body = {name: value for name, value in event.items() if name != "mobile"}
    if isinstance(body.get("who"), Mapping):
        body["who"] = {name: value for name, value in body["who"].items() if name != "mobile"}
    return body


def _keep(session: Session, facts: Sequence[Fact]) -> tuple[int, list[Rejection]]:
    new = _receive(session, facts)
    if not new:
        return 0, []
    found = identity.resolve_many(session, [fact.keys for fact, _ in new])
    receipts: list[Receipt] = []
    refused: list[tuple[Rejection, int]] = []
    for (fact, event_row), who in zip(new, found, strict=True):
        error = _clash(fact, who)
        if error:
            refused.append((Rejection(fact.index, fact.event_id, error), event_row))
        else:
            receipts.append(Receipt(fact, event_row, who.contact_id, who.identity_id))
    if refused:
        # Forgotten, so that the corrected event may come again under the same id.
        session.execute(_FORGET, {"ids": [event_row for _, event_row in refused]})
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
    purchases.lock_orders(session, [r for r in receipts if r.fact.kind in ("purchase", "refund")])
    entries: dict[str, dict[str, Any]] = {}
    for name, kind in KINDS.items():
        mine = [receipt for receipt in receipts if receipt.fact.kind == name]
        if not mine:
            continue
        touched |= kind.keep(session, mine)
        if kind.story:
            for receipt in sorted(mine, key=lambda r: (r.fact.occurred_at, r.fact.event_id)):
                entry = kind.story(receipt)
                entries[entry["dedupe_key"]] = entry
    rows = [
        {"id": r.source_event_id, "contact_id": r.contact_id, "identity_id": r.identity_id}
        for r in receipts
    ]
    session.execute(_ATTRIBUTE, {"rows": json.dumps(rows)})
    timeline.record_many(session, list(entries.values()))
    changes.mark(session, touched)


def _id_of(event: object) -> str | None:
    value = event.get("id") if isinstance(event, Mapping) else None
    return event_fields.shown(value[:128]) if isinstance(value, str) else None
