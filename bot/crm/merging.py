"""Two contacts that are one person (合并): all moves to one; `bot.crm.unmerging` gives it back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import activity, aliases, carts, changes, coupons, members, points

#: What moves, by the name under which the trail remembers it: the tables whose `contact_id` says
#: whose a row is. What speaks of a contact that a guide follows (relations, tags, tasks) does not
#: move: a contact that goes has no guide.
MOVES = {
    "identities": "contact_identity",
    "purchases": "purchase",
    "entries": "timeline_entry",
    "events": "source_event",
    "cart_changes": "cart_change",
    "points": "points_change",
    "coupons": "coupon",
    "visits": "visit",
    "views": "material_view",
}

_PAIR = """
    pair AS (
        SELECT kept, gone, member, kept_member FROM jsonb_to_recordset(CAST(:pairs AS jsonb))
        AS r (kept bigint, gone bigint, member jsonb, kept_member jsonb)
    )
"""
_MOVING = ", ".join(
    f"""
    {name} AS (
        UPDATE {table} t SET contact_id = kept FROM pair WHERE t.contact_id = gone
        RETURNING gone, t.id
    )
    """
    for name, table in MOVES.items()
)
_MOVED = ", ".join(
    f"'{name}', (SELECT jsonb_agg(id) FROM {name} i WHERE i.gone = pair.gone)" for name in MOVES
)
# One statement moves and remembers.
_MERGE = text(
    f"""
    WITH {_PAIR}, {_MOVING}, earlier AS (
        UPDATE contact t SET merged_into_id = kept FROM pair WHERE t.merged_into_id = gone
        RETURNING t.id
    ), leaving AS (
        UPDATE contact t SET merged_into_id = kept FROM pair WHERE t.id = gone RETURNING t.id
    )
    INSERT INTO contact_merge (kept_contact_id, gone_contact_id, reason, moved)
    SELECT kept, gone, :reason, jsonb_build_object(
        {_MOVED}, 'member', member, 'kept_member', kept_member,
        'kept_identities', (
            SELECT jsonb_agg(i.id ORDER BY i.id) FROM contact_identity i WHERE i.contact_id = kept),
        'opt_outs', (SELECT jsonb_agg(to_jsonb(o)) FROM opt_out o WHERE o.contact_id = gone),
        'kept_opt_outs',
            (SELECT jsonb_agg(to_jsonb(o)) FROM opt_out o WHERE o.contact_id = kept),
        'replied_on', (SELECT replied_on FROM contact_activity a WHERE a.contact_id = gone),
        'kept_replied_on', (SELECT replied_on FROM contact_activity a WHERE a.contact_id = kept))
    FROM pair ORDER BY kept, gone
    RETURNING kept_contact_id, gone_contact_id, id
    """
)
# Of what both said about one channel the newer word holds.
_MOVE_OPT_OUTS = text(
    f"""
    WITH {_PAIR}, moving AS (
        DELETE FROM opt_out o USING pair WHERE o.contact_id = gone
        RETURNING kept, o.*
    )
    INSERT INTO opt_out AS o (contact_id, channel, is_out, source, said_at, words, event_key)
    SELECT DISTINCT ON (m.kept, m.channel)
           m.kept, m.channel, m.is_out, m.source, m.said_at, m.words, m.event_key
    FROM moving m
    ORDER BY m.kept, m.channel, m.said_at DESC, m.event_key DESC
    ON CONFLICT (contact_id, channel) DO UPDATE SET is_out = excluded.is_out,
        source = excluded.source, said_at = excluded.said_at, words = excluded.words,
        event_key = excluded.event_key
    WHERE (o.said_at, o.event_key) < (excluded.said_at, excluded.event_key)
    """
)
_MOVE_REPLIES = text(
    f"""
    WITH {_PAIR}, moving AS (
        DELETE FROM contact_activity a USING pair WHERE a.contact_id = gone
        RETURNING kept, a.replied_on
    )
    INSERT INTO contact_activity AS a (contact_id, replied_on)
    SELECT kept, max(replied_on) FROM moving GROUP BY kept ORDER BY kept
    ON CONFLICT (contact_id) DO UPDATE SET
        replied_on = GREATEST(a.replied_on, excluded.replied_on)
    """
)


@dataclass(frozen=True)
class Merged:
    """One merge that was made: the row that stayed, the one that went, and the trail's id."""

    kept: int
    gone: int
    merge_id: int


def merge(session: Session, pairs: Sequence[tuple[int, int]], *, reason: str) -> list[Merged]:
    """Move everything of each (kept, gone) pair to the kept contact, in a few statements for all.

    The caller holds the locks of all of them. `gone` stays as an empty row that points to `kept`.
    """
    if not pairs:
        return []
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
    stayed = {kept for kept, _ in pairs}
    # Dropped before written: a member number is unique and must not be there twice for a moment.
    members.drop(session, (gone for _, gone in pairs))
    members.write(session, (after[kept] for kept in stayed if kept in after))
    given = {"pairs": json.dumps(trail)}
    made = session.execute(_MERGE, given | {"reason": reason}).all()
    session.execute(_MOVE_OPT_OUTS, given)
    session.execute(_MOVE_REPLIES, given)
    coupons.move_redeemers(session, given["pairs"])
    recount(session, stayed)
    changes.mark(session, (one for pair in pairs for one in pair))
    return [Merged(*row) for row in made]


def recount(session: Session, contact_ids: set[int]) -> None:
    """Work out again what is derived from the rows of these contacts, after rows moved."""
    aliases.settle(session, contact_ids)
    points.settle(session, contact_ids)
    activity.recount(session, contact_ids)
    carts.refold(session, contact_ids)
