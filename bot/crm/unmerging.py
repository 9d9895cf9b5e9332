"""A merge that was wrong (撤销合并): each of the two gets what is hers, also what came since."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import changes, coupons, identity_moves, member_shares, members, merging
from bot.crm.models import ContactMerge
from bot.errors import UserError

# A fact belongs to the number it came under by its newest report, so what came under a number of
# the other person since the merge goes back to that person, too, and what was corrected to be the
# first one's stays. What came under no number goes by the trail. The story follows the facts.
_IS_HERS = """
    CASE
    WHEN t.dedupe_key LIKE 'purchase:%' THEN EXISTS (
        SELECT FROM purchases p
        WHERE t.dedupe_key = concat('purchase:', p.source, ':', p.order_no))
    WHEN t.dedupe_key LIKE 'cart:%' THEN COALESCE((
        SELECT h.identity_id = ANY(:identities) FROM cart_change h
        WHERE h.contact_id = :kept AND h.state = 'added'
          AND t.dedupe_key = concat('cart:', h.source, ':', h.cart_id)
        ORDER BY h.changed_at DESC, h.event_id COLLATE "C" DESC LIMIT 1), t.id = ANY(:entries))
    ELSE t.id = ANY(:entries) OR EXISTS (
        SELECT FROM events e WHERE t.dedupe_key = concat(e.kind, ':', e.source, ':', e.event_id))
    END
"""
_GIVING = ", ".join(
    f"""
    {name} AS (
        UPDATE {table} SET contact_id = :gone
        WHERE contact_id = :kept
          AND (identity_id = ANY(:identities) OR (identity_id IS NULL AND id = ANY(:{name})))
        RETURNING *
    )
    """
    for name, table in merging.MOVES.items()
    if name not in ("identities", "entries")
)
_GIVE_BACK = text(
    f"""
    WITH RECURSIVE identities AS (
        UPDATE contact_identity SET contact_id = :gone
        WHERE id = ANY(:identities) AND contact_id = :kept
    ), {_GIVING}, entries AS (
        UPDATE timeline_entry t SET contact_id = :gone
        WHERE contact_id = :kept AND {_IS_HERS}
    ), hers (id) AS (
        SELECT gone_contact_id FROM contact_merge
        WHERE kept_contact_id = :gone AND undone_at IS NULL
        UNION
        SELECT m.gone_contact_id FROM contact_merge m JOIN hers h ON m.kept_contact_id = h.id
        WHERE m.undone_at IS NULL
    ), earlier AS (
        UPDATE contact SET merged_into_id = :gone WHERE id IN (SELECT id FROM hers)
    )
    UPDATE contact SET merged_into_id = NULL WHERE id = :gone
    """
)
_LOCK = text("SELECT id, merged_into_id FROM contact WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
_LATER_MEMBERS = text(
    """
    SELECT moved -> 'member' FROM contact_merge
    WHERE kept_contact_id = :kept AND id > :id AND undone_at IS NULL
      AND jsonb_typeof(moved -> 'member') = 'object'
    ORDER BY id
    """
)
# What was the one's and what was the other's when they were merged is two persons' from now on;
# whose is what they were told with since, the claims tell.
_DROP_ONE = text("DELETE FROM identity_ruling WHERE merge_id = :merge_id AND is_one")
_RULE_TWO = text(
    """
    WITH pair AS (
        SELECT k.id AS kept, g.id AS gone
        FROM contact_identity k CROSS JOIN contact_identity g
        WHERE k.id = ANY(:kept) AND g.id = ANY(:gone) AND k.id <> g.id
    )
    INSERT INTO identity_ruling (one_id, other_id, is_one, merge_id)
    SELECT kept, gone, false, :merge_id FROM pair
    UNION SELECT gone, kept, false, :merge_id FROM pair
    ORDER BY 1, 2
    ON CONFLICT (one_id, other_id) DO UPDATE SET is_one = false, merge_id = excluded.merge_id
    """
)
# What was refused while they were one holds for both: nobody is written to against her word.
_PART_OPT_OUTS = text(
    """
    WITH theirs AS (
        SELECT * FROM jsonb_populate_recordset(NULL::opt_out, CAST(:theirs AS jsonb))
    ), own AS (
        SELECT * FROM jsonb_populate_recordset(NULL::opt_out, CAST(:own AS jsonb))
    ), borrowed AS (
        SELECT o.channel FROM opt_out o JOIN theirs t
            ON t.channel = o.channel AND t.event_key = o.event_key
        WHERE o.contact_id = :kept
          AND NOT EXISTS (SELECT FROM own w
                          WHERE w.channel = o.channel AND w.event_key = o.event_key)
    ), shared AS (
        SELECT :gone AS contact_id, channel, is_out, source, said_at, words, event_key
        FROM opt_out WHERE contact_id = :kept AND is_out AND said_at >= :merged_at
        UNION ALL
        SELECT :gone, channel, is_out, source, said_at, words, event_key FROM theirs
    ), given AS (
        INSERT INTO opt_out (contact_id, channel, is_out, source, said_at, words, event_key)
        SELECT DISTINCT ON (channel) * FROM shared ORDER BY channel, said_at DESC, event_key DESC
        ON CONFLICT (contact_id, channel) DO NOTHING
    ), restored AS (
        UPDATE opt_out o SET is_out = w.is_out, source = w.source, said_at = w.said_at,
            words = w.words, event_key = w.event_key
        FROM own w JOIN borrowed b USING (channel)
        WHERE o.contact_id = :kept AND o.channel = w.channel
    )
    DELETE FROM opt_out o USING borrowed b
    WHERE o.contact_id = :kept AND o.channel = b.channel
      AND NOT EXISTS (SELECT FROM own w WHERE w.channel = b.channel)
    """
)
_PART_REPLIES = text(
    """
    WITH given AS (
        INSERT INTO contact_activity (contact_id, replied_on)
        SELECT :gone, CAST(:theirs AS date) WHERE CAST(:theirs AS date) IS NOT NULL
        ON CONFLICT (contact_id) DO UPDATE SET replied_on = excluded.replied_on
    )
    UPDATE contact_activity SET replied_on = CAST(:own AS date)
    WHERE contact_id = :kept AND replied_on = CAST(:theirs AS date)
    """
)


def unmerge(session: Session, merge_id: int, *, at: datetime) -> ContactMerge:
    """Undo a merge: identities, facts, story and member data go back to the other contact.

    UserError when there is no such merge, it is undone already, or a later one stands on it.
    """
    trail = session.get(ContactMerge, merge_id, with_for_update=True)
    if trail is None or trail.undone_at is not None:
        raise UserError("没有这条合并记录，或者已经撤销。", field="merge_id")
    kept, gone = trail.kept_contact_id, trail.gone_contact_id
    places: dict[int, int | None] = dict(session.execute(_LOCK, {"ids": [kept, gone]}).all())
    if places[kept] is not None or places[gone] != kept:
        raise UserError("请先撤销之后的合并。", field="merge_id")
    moved = {name: trail.moved.get(name) or [] for name in merging.MOVES}
    pair = {"kept": kept, "gone": gone}
    session.execute(_GIVE_BACK, pair | moved)
    trail.undone_at = at
    # Written before anything is worked out again: the alias that came of this merge is gone.
    session.flush()
    _part_members(session, trail)
    words = {
        "theirs": json.dumps(trail.moved.get("opt_outs") or []),
        "own": json.dumps(trail.moved.get("kept_opt_outs") or []),
    }
    session.execute(_PART_OPT_OUTS, pair | words | {"merged_at": trail.merged_at})
    days = {"theirs": trail.moved.get("replied_on"), "own": trail.moved.get("kept_replied_on")}
    session.execute(_PART_REPLIES, pair | days)
    coupons.part_redeemers(session, [kept, gone])
    merging.recount(session, {kept, gone})
    changes.mark(session, (kept, gone))
    _rule_two(session, trail, moved["identities"])
    return trail


def _rule_two(session: Session, trail: ContactMerge, given_back: Sequence[int]) -> None:
    """From now on the two are two; what only held together by them goes where it belongs."""
    theirs = trail.moved.get("kept_identities") or []
    given = {"kept": theirs, "gone": given_back, "merge_id": trail.id}
    session.execute(_DROP_ONE, {"merge_id": trail.id})
    session.execute(_RULE_TWO, given)
    identity_moves.settle(session, [*theirs, *given_back])


def _part_members(session: Session, trail: ContactMerge) -> None:
    """Each gets the member data of before, with what was reported of each since."""
    kept, gone = trail.kept_contact_id, trail.gone_contact_id
    now = members.load(session, [kept]).get(kept)
    rows: dict[int, members.Row] = {}
    for contact_id, name in ((kept, "kept_member"), (gone, "member")):
        before = trail.moved.get(name)
        row = before or members.fresh(contact_id)
        copied = {"contact_id": contact_id, "field_versions": dict(row["field_versions"])}
        rows[contact_id] = row | copied
    for other in session.scalars(_LATER_MEMBERS, {"kept": kept, "id": trail.id}):
        rows[kept] = members.fold(rows[kept], other)
    told = member_shares.reports(session, [kept, gone])
    for report in told:
        for name, columns in report.values.items():
            members.put(rows[report.contact_id], name, columns, report.version)
    if now is not None:
        owners = {report.version: report.contact_id for report in told}
        member_shares.give_mobile(rows, now, owners, kept)
    member_shares.store(session, rows)
