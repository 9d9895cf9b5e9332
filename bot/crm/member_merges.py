"""Member cards that a till or mall made one (会员合并).

The two numbers become aliases (`bot.crm.aliases`); from then on every event under either of them
is one person's. Two contacts whom WeCom knows by different ids stay two until a person decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import aliases, event_fields
from bot.crm.models import AuditEntry, IdentityKind
from bot.crm.receipts import Fact, Receipt, entry
from bot.errors import UserError

KIND = "member_merged"

_WRITE = text(
    """
    INSERT INTO member_merge (source_event_id, kept_no, gone_no, merged_at, event_id)
    SELECT source_event_id, kept_no, gone_no, merged_at, event_id
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        source_event_id bigint, kept_no text, gone_no text, merged_at timestamptz, event_id text)
    ON CONFLICT (source_event_id) DO NOTHING
    """
)
# The merge of contacts that this transaction made because of these cards: it moved the identity
# of one of the two numbers.
_EXPLAIN = text(
    """
    WITH caused AS (
        SELECT m.id AS member_merge_id, max(t.id) AS contact_merge_id
        FROM member_merge m
        JOIN contact_identity i ON i.kind = 'member_no' AND i.value IN (m.kept_no, m.gone_no)
        JOIN contact_merge t ON t.kept_contact_id = i.contact_id AND t.merged_at = now()
            AND t.undone_at IS NULL AND t.moved -> 'identities' @> to_jsonb(i.id)
        WHERE m.source_event_id = ANY(:ids)
        GROUP BY m.id
    ), told AS (
        UPDATE contact_merge t SET reason = 'member_merged' FROM caused c
        WHERE t.id = c.contact_merge_id
    )
    UPDATE member_merge m SET contact_merge_id = c.contact_merge_id FROM caused c
    WHERE m.id = c.member_merge_id
    """
)


def read(event: Mapping[str, Any]) -> dict[str, Any]:
    """The two numbers of a `member_merged` event; UserError names the field that is wrong."""
    kept = event_fields.short_text(event, "member_no", limit=128)
    gone = event_fields.short_text(event, "merged_member_no", limit=128)
    if kept == gone:
        raise UserError("member_no 和 merged_member_no 不能是同一个。", field="merged_member_no")
    return {"kept_no": kept, "gone_no": gone}


def begin(session: Session, facts: Sequence[tuple[Fact, int]]) -> dict[int, str]:
    """Make the numbers aliases, before anybody is looked up; each fact with its receipt's id.

    Returns what is wrong with the facts that were not kept, by receipt: a card cannot go into one
    that went into it.
    """
    ways = aliases.leads_to(session, [fact.detail["kept_no"] for fact, _ in facts])
    rows, wrong = [], {}
    for fact, receipt in sorted(facts, key=lambda one: (one[0].occurred_at, one[0].event_id)):
        kept, gone = fact.detail["kept_no"], fact.detail["gone_no"]
        if _reaches(ways, kept, gone):
            wrong[receipt] = f"会员 {kept} 已经并入 {gone}，不能再反过来合并。"
            continue
        ways.setdefault(gone, set()).add(kept)
        rows.append(
            {
                "source_event_id": receipt,
                "kept_no": kept,
                "gone_no": gone,
                "merged_at": fact.occurred_at.isoformat(),
                "event_id": fact.event_id,
            }
        )
    if rows:
        session.execute(_WRITE, {"rows": json.dumps(rows, ensure_ascii=False)})
    return wrong


def keep(session: Session, receipts: Sequence[Receipt]) -> set[int]:
    """Note what the merges of cards did to contacts; cards that stay apart are left to a person."""
    session.execute(_EXPLAIN, {"ids": [receipt.source_event_id for receipt in receipts]})
    aliases.settle(session, (receipt.contact_id for receipt in receipts))
    session.add_all(
        AuditEntry(
            actor=f"source:{receipt.fact.source}",
            action="member_merge_needs_person",
            object=f"contact:{receipt.contact_id}",
            detail=dict(receipt.fact.detail),
        )
        for receipt in receipts
        if _stays_apart(receipt)
    )
    return set()


def story(receipt: Receipt) -> dict[str, Any]:
    """The line a merge of cards writes into the customer's story."""
    kept, gone = receipt.fact.detail["kept_no"], receipt.fact.detail["gone_no"]
    said = f"会员号 {gone} 并入 {kept}"
    if _stays_apart(receipt):
        said += "，但两位客户的微信身份不同，需要人工确认"
    return entry(receipt, "member_merged", said)


def _stays_apart(receipt: Receipt) -> bool:
    return IdentityKind.MEMBER_NO in receipt.clashes


def _reaches(ways: Mapping[str, set[str]], start: str, end: str) -> bool:
    waiting, seen = [start], {start}
    while waiting:
        number = waiting.pop()
        if number == end:
            return True
        waiting += ways.get(number, set()) - seen
        seen |= ways.get(number, set())
    return False
