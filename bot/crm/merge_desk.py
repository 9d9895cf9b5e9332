"""Merges by hand (人工合并): a person says that two contacts are one, or that they are not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from bot.crm import aliases, identity_moves, merging, unmerging
from bot.crm.identity_partition import STRENGTH
from bot.crm.models import AuditEntry, Contact, ContactIdentity, ContactMerge, IdentityKind
from bot.errors import UserError

_LOCK = text(
    """
    SELECT id FROM contact WHERE id = ANY(:ids) AND merged_into_id IS NULL
    ORDER BY id FOR NO KEY UPDATE
    """
)
_LINK = text(
    """
    INSERT INTO member_merge (kept_no, gone_no, merged_at, event_id, contact_merge_id)
    VALUES (:kept_no, :gone_no, :at, :event_id, :merge_id)
    """
)
# The strongest number of each stands for the person; nothing parts any two of them any more.
_RULE_ONE = text(
    """
    WITH trail AS (SELECT moved FROM contact_merge WHERE id = :merge_id), side AS (
        SELECT name, i.id, row_number() OVER (
            PARTITION BY name ORDER BY array_position(CAST(:strength AS text[]), i.kind), i.id) AS n
        FROM trail CROSS JOIN (VALUES ('kept_identities'), ('identities')) AS names (name)
        CROSS JOIN LATERAL jsonb_array_elements_text(
            COALESCE(NULLIF(moved -> name, 'null'), '[]')) AS listed (id)
        JOIN contact_identity i ON i.id = CAST(listed.id AS bigint)
    ), pair AS (
        SELECT a.id AS one_id, b.id AS other_id, a.n = 1 AND b.n = 1 AS stands
        FROM side a JOIN side b ON a.name <> b.name
    ), void AS (
        DELETE FROM identity_ruling r USING pair p
        WHERE r.one_id = p.one_id AND r.other_id = p.other_id AND NOT r.is_one AND NOT p.stands
    )
    INSERT INTO identity_ruling (one_id, other_id, is_one, merge_id)
    SELECT one_id, other_id, true, :merge_id FROM pair WHERE stands ORDER BY one_id, other_id
    ON CONFLICT (one_id, other_id) DO UPDATE SET is_one = true, merge_id = excluded.merge_id
    """
)


def merge(
    session: Session, one: Contact, other: Contact, *, actor: str, at: datetime
) -> merging.Merged:
    """Make two contacts one; the one WeCom knows stays, else the older.

    UserError where it cannot be: the same row, or two people whom WeCom tells apart.
    """
    if one.id == other.id:
        raise UserError("这是同一位客户。", field="other")
    ids = sorted((one.id, other.id))
    if len(session.scalars(_LOCK, {"ids": ids}).all()) < 2:
        raise UserError("其中一位刚刚被合并了，请重新查一下。", field="other")
    kept, gone = sorted((one, other), key=lambda c: (c.external_userid is None, c.id))
    if gone.external_userid is not None:
        raise UserError("两位都是企业微信里的客户，不能合并。", field="other")
    numbers = _numbers(session, ids)
    unionids = {value for id in ids for value in numbers[id, IdentityKind.UNIONID]}
    if len(unionids) > 1:
        raise UserError("两位的微信 unionid 不同，不能合并。", field="other")
    (made,) = merging.merge(session, [(kept.id, gone.id)], reason="by_hand")
    cards = [numbers[id, IdentityKind.MEMBER_NO] for id in (kept.id, gone.id)]
    _link(session, cards, made, at)
    _rule_one(session, made)
    session.add(
        AuditEntry(
            actor=actor,
            action="merge",
            object=f"contact:{kept.id}",
            detail={"gone_contact_id": gone.id, "merge_id": made.merge_id},
        )
    )
    return made


def unmerge(session: Session, merge_id: int, *, actor: str, at: datetime) -> ContactMerge:
    """Undo a merge; UserError when it cannot be (see `unmerging.unmerge`)."""
    trail = unmerging.unmerge(session, merge_id, at=at)
    session.add(
        AuditEntry(
            actor=actor,
            action="unmerge",
            object=f"contact:{trail.kept_contact_id}",
            detail={"gone_contact_id": trail.gone_contact_id, "merge_id": merge_id},
        )
    )
    return trail


def of(session: Session, contact_id: int) -> list[ContactMerge]:
    """Every merge a contact was part of, undone ones too, newest first."""
    mine = or_(
        ContactMerge.kept_contact_id == contact_id, ContactMerge.gone_contact_id == contact_id
    )
    return list(session.scalars(select(ContactMerge).where(mine).order_by(ContactMerge.id.desc())))


def _rule_one(session: Session, made: merging.Merged) -> None:
    """From now on the two are one, whatever was said before and whatever is told."""
    session.execute(_RULE_ONE, {"merge_id": made.merge_id, "strength": list(STRENGTH)})
    moved = session.get_one(ContactMerge, made.merge_id).moved
    ids = (moved.get("kept_identities") or []) + (moved.get("identities") or [])
    identity_moves.settle(session, ids)


def _numbers(session: Session, ids: Sequence[int]) -> dict[tuple[int, str], list[str]]:
    found: dict[tuple[int, str], list[str]] = {
        (id, kind): [] for id in ids for kind in (IdentityKind.UNIONID, IdentityKind.MEMBER_NO)
    }
    rows = session.execute(
        select(ContactIdentity.contact_id, ContactIdentity.kind, ContactIdentity.value)
        .where(ContactIdentity.contact_id.in_(ids))
        .order_by(ContactIdentity.id)
    )
    for contact_id, kind, value in rows:
        found.get((contact_id, kind), []).append(value)
    return found


def _link(
    session: Session, cards: Sequence[Sequence[str]], made: merging.Merged, at: datetime
) -> None:
    """Two members by hand made one have two numbers of one person."""
    kept, gone = cards
    if kept and gone:
        given = {"kept_no": kept[0], "gone_no": gone[0], "at": at, "merge_id": made.merge_id}
        session.execute(_LINK, given | {"event_id": f"merge:{made.merge_id}"})
        aliases.settle(session, [made.kept])
