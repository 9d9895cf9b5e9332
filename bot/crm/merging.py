"""Two contacts that are one person (合并): all moves to one, and can be given back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import changes, members
from bot.crm.models import ContactMerge
from bot.errors import UserError

# One statement moves and remembers. Foreign tables of higher floors are not moved: they speak of
# contacts that a guide follows, and a contact that goes has no guide.
_MERGE = text(
    """
    WITH pair AS (
        SELECT kept, gone, member, kept_member FROM jsonb_to_recordset(CAST(:pairs AS jsonb))
        AS r (kept bigint, gone bigint, member jsonb, kept_member jsonb)
    ), identities AS (
        UPDATE contact_identity t SET contact_id = kept FROM pair WHERE t.contact_id = gone
        RETURNING gone, t.id
    ), purchases AS (
        UPDATE purchase t SET contact_id = kept FROM pair WHERE t.contact_id = gone
        RETURNING gone, t.id
    ), entries AS (
        UPDATE timeline_entry t SET contact_id = kept FROM pair WHERE t.contact_id = gone
        RETURNING gone, t.id
    ), events AS (
        UPDATE source_event t SET contact_id = kept FROM pair WHERE t.contact_id = gone
        RETURNING gone, t.id
    ), earlier AS (
        UPDATE contact t SET merged_into_id = kept FROM pair WHERE t.merged_into_id = gone
        RETURNING t.id
    ), leaving AS (
        UPDATE contact t SET merged_into_id = kept FROM pair WHERE t.id = gone RETURNING t.id
    )
    INSERT INTO contact_merge (kept_contact_id, gone_contact_id, reason, moved)
    SELECT kept, gone, :reason, jsonb_build_object(
        'identities', (SELECT jsonb_agg(id) FROM identities i WHERE i.gone = pair.gone),
        'purchases', (SELECT jsonb_agg(id) FROM purchases i WHERE i.gone = pair.gone),
        'entries', (SELECT jsonb_agg(id) FROM entries i WHERE i.gone = pair.gone),
        'events', (SELECT jsonb_agg(id) FROM events i WHERE i.gone = pair.gone),
        'member', member, 'kept_member', kept_member)
    FROM pair ORDER BY kept, gone
    """
)
# What came under a number of the other person since the merge goes back to that person, too.
_GIVE_BACK = text(
    """
    WITH identities AS (
        UPDATE contact_identity SET contact_id = :gone
        WHERE id = ANY(:identities) AND contact_id = :kept
    ), purchases AS (
        UPDATE purchase SET contact_id = :gone
        WHERE contact_id = :kept AND (id = ANY(:purchases) OR identity_id = ANY(:identities))
        RETURNING id, source, order_no
    ), entries AS (
        UPDATE timeline_entry t SET contact_id = :gone
        WHERE contact_id = :kept AND (t.id = ANY(:entries) OR EXISTS (
            SELECT FROM purchases p
            WHERE t.dedupe_key = concat('purchase:', p.source, ':', p.order_no)))
    ), events AS (
        UPDATE source_event SET contact_id = :gone
        WHERE contact_id = :kept AND (id = ANY(:events) OR identity_id = ANY(:identities))
    ), earlier AS (
        UPDATE contact SET merged_into_id = :gone WHERE id IN (
            SELECT gone_contact_id FROM contact_merge
            WHERE kept_contact_id = :gone AND undone_at IS NULL)
    )
    UPDATE contact SET merged_into_id = NULL WHERE id = :gone
    """
)
_LOCK = text("SELECT id, merged_into_id FROM contact WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")


def merge(session: Session, pairs: Sequence[tuple[int, int]], *, reason: str) -> None:
    """Move everything of each (kept, gone) pair to the kept contact, in a few statements for all.

    The caller holds the locks of all of them. `gone` stays as an empty row that points to `kept`.
    """
    if not pairs:
        return
    before = members.load(session, (one for pair in pairs for one in pair))
    after = dict(before)
    trail: list[dict[str, Any]] = []
    for kept, gone in sorted(pairs):
        trail.append(
            {"kept": kept, "gone": gone, "member": after.get(gone), "kept_member": after.get(kept)}
        )
        leaving = after.pop(gone, None)
        if leaving is not None:
            after[kept] = members.fold(after.get(kept) or members.fresh(kept), leaving)
    # Dropped before written: a member number is unique and must not be there twice for a moment.
    members.drop(session, (gone for _, gone in pairs))
    members.write(session, (after[kept] for kept in {k for k, _ in pairs} if kept in after))
    session.execute(_MERGE, {"pairs": json.dumps(trail), "reason": reason})
    changes.mark(session, (one for pair in pairs for one in pair))


def unmerge(session: Session, merge_id: int, *, at: datetime) -> None:
    """Undo a merge: identities, purchases, story and member data go back to the other contact.

    UserError when there is no such merge, it is undone already, or a later one stands on it.
    """
    trail = session.get(ContactMerge, merge_id, with_for_update=True)
    if trail is None or trail.undone_at is not None:
        raise UserError("没有这条合并记录，或者已经撤销。", field="merge_id")
    kept, gone = trail.kept_contact_id, trail.gone_contact_id
    places: dict[int, int | None] = dict(session.execute(_LOCK, {"ids": [kept, gone]}).all())
    if places[kept] is not None or places[gone] != kept:
        raise UserError("请先撤销之后的合并。", field="merge_id")
    moved = {k: trail.moved.get(k) or [] for k in ("identities", "purchases", "entries", "events")}
    session.execute(_GIVE_BACK, {"kept": kept, "gone": gone, **moved})
    if trail.moved.get("member") is not None:
        _part_members(session, kept, trail.moved["member"], trail.moved.get("kept_member"))
    trail.undone_at = at
    changes.mark(session, (kept, gone))


def _part_members(
    session: Session, kept: int, theirs: members.Row, before: members.Row | None
) -> None:
    """Give the member data back; fields that were reported since the merge stay as they are."""
    now = members.load(session, [kept]).get(kept)
    if now is not None:
        own = before or members.fresh(kept)
        for name, columns in members.FIELDS.items():
            version = now["field_versions"].get(name)
            if version == theirs["field_versions"].get(name):
                now.update({column: own.get(column) for column in columns})
                now["field_versions"].pop(name, None)
                if name in own["field_versions"]:
                    now["field_versions"][name] = own["field_versions"][name]
        now["birthday_is_lunar"] = bool(now.get("birthday_is_lunar"))
        members.drop(session, [kept])
        has_own = before is not None or now["field_versions"]
        members.write(session, [now, theirs] if has_own else [theirs])
    else:
        members.write(session, [theirs])
