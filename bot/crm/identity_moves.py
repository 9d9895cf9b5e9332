"""Numbers that prove to be somebody else's (号码改归): they go there, with their facts.

Called when it was worked out anew who is who (`bot.crm.identity_partition`). Whole contacts that
prove to be one person are merged; what is parted needs no trail, for the claims tell it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import (
    changes,
    coupons,
    identity_claims,
    identity_rows,
    member_shares,
    merging,
    opt_out_events,
)
from bot.crm.identity_claims import Component, Home
from bot.crm.identity_partition import Key, Person, rank
from bot.crm.models import AuditEntry, IdentityKind
from bot.errors import DaogouError

_MOST_PASSES = 8

_GIVEN = """
    given AS (
        SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
            id bigint, from_id bigint, to_id bigint)
    )
"""
_TOLD = {
    "purchases": "concat('purchase:', t.source, ':', t.order_no)",
    "events": "CASE WHEN t.kind NOT IN ('purchase', 'cart')"
    " THEN concat(t.kind, ':', t.source, ':', t.event_id) END",
}
_MOVING = ", ".join(
    f"""
    {name} AS (
        UPDATE {table} t SET contact_id = g.to_id FROM given g
        WHERE t.contact_id = g.from_id AND t.identity_id = g.id
        RETURNING t.contact_id, {_TOLD.get(name, "NULL")} AS story
    )
    """
    for name, table in merging.MOVES.items()
    if name not in ("identities", "entries")
)
# The lines of the story follow what they tell.
_MOVE = text(
    f"""
    WITH {_GIVEN}, identities AS (
        UPDATE contact_identity t SET contact_id = g.to_id FROM given g WHERE t.id = g.id
    ), {_MOVING}
    UPDATE timeline_entry t SET contact_id = m.contact_id
    FROM (SELECT * FROM purchases UNION ALL SELECT * FROM events) AS m
    WHERE t.dedupe_key = m.story
    """
)
# A cart has one line, of the report that filled it last.
_MOVE_CART_LINES = text(
    """
    WITH touched AS (
        SELECT DISTINCT source, cart_id FROM cart_change WHERE contact_id = ANY(:ids)
    ), filled AS (
        SELECT DISTINCT ON (source, cart_id) source, cart_id, contact_id
        FROM cart_change JOIN touched USING (source, cart_id) WHERE state = 'added'
        ORDER BY source, cart_id, changed_at DESC, event_id COLLATE "C" DESC
    )
    UPDATE timeline_entry t SET contact_id = f.contact_id FROM filled f
    WHERE t.dedupe_key = concat('cart:', f.source, ':', f.cart_id)
      AND t.contact_id <> f.contact_id
    """
)


@dataclass(frozen=True)
class _Move:
    """One identity that goes from one contact to another."""

    key: Key
    identity_id: int
    from_id: int
    to_id: int


def settle(session: Session, identity_ids: Iterable[int]) -> None:
    """Work out anew who is who among all that hangs together with these numbers.

    For what persons say; what events tell is worked out where it is told (`bot.crm.identity`).
    """
    wanted = list(identity_ids)
    for _ in range(_MOST_PASSES):
        whole = identity_claims.component(session, wanted)
        if (
            identity_rows.lock(session, whole.homes)
            and identity_claims.component(session, wanted) == whole
        ):
            apply(session, whole, whole.persons())
            return
    raise DaogouError("identities kept changing while they were being settled")


def apply(session: Session, whole: Component, persons: Mapping[Key, Person]) -> dict[Key, int]:
    """Bring every number to its person, whose contacts are locked; returns the contact of each."""
    distinct = list({id(person): person for person in persons.values()}.values())
    chosen = _choose(whole.homes.values(), persons)
    bare = [person for person in distinct if id(person) not in chosen]
    ids = identity_rows.new_contact_ids(session, len(bare))
    identity_rows.write_contacts(session, ids)
    chosen |= {id(person): new_id for person, new_id in zip(bare, ids, strict=True)}
    places = {key: chosen[id(person)] for key, person in persons.items()}
    stayed = set(chosen.values())
    whole_ones, left_over = [], []
    moves: list[_Move] = []
    for home in whole.homes.values():
        goals = {places[key] for key in home.numbers}
        if home.contact_id not in stayed and len(goals) == 1:
            whole_ones.append((goals.pop(), home.contact_id))
            continue
        if home.contact_id not in stayed and home.numbers:
            left_over.append((places[min(home.numbers, key=rank)], home.contact_id))
        moves += [
            _Move(key, identity_id, home.contact_id, places[key])
            for key, identity_id in home.numbers.items()
            if places[key] != home.contact_id
        ]
    merging.merge(session, whole_ones, reason="identity")
    _move(session, moves)
    merging.merge(session, left_over, reason="identity")
    return places


def _choose(homes: Iterable[Home], persons: Mapping[Key, Person]) -> dict[int, int]:
    """The contact of each person: the one WeCom knows, else the oldest whose strongest number she
    has, else the oldest of which she has any."""
    chosen: dict[int, int] = {}
    free = []
    for home in sorted(homes, key=lambda one: one.contact_id):
        if home.external_userid is None:
            free.append(home)
        else:
            known = persons[IdentityKind.EXTERNAL_USERID.value, home.external_userid]
            chosen[id(known)] = home.contact_id
    for strongest_only in (True, False):
        rest = []
        for home in free:
            keys = sorted(home.numbers, key=rank)
            wanted = [id(persons[key]) for key in (keys[:1] if strongest_only else keys)]
            found = next((one for one in wanted if one not in chosen), None)
            if found is None:
                rest.append(home)
            else:
                chosen[found] = home.contact_id
        free = rest
    return chosen


def _move(session: Session, moves: Sequence[_Move]) -> None:
    if not moves:
        return
    rows = [{"id": m.identity_id, "from_id": m.from_id, "to_id": m.to_id} for m in moves]
    touched = {id for move in moves for id in (move.from_id, move.to_id)}
    session.execute(_MOVE, {"rows": json.dumps(rows)})
    session.execute(_MOVE_CART_LINES, {"ids": sorted(touched)})
    member_shares.part(session, touched)
    opt_out_events.part(session, touched)
    coupons.part_redeemers(session, touched)
    merging.recount(session, touched)
    changes.mark(session, touched)
    session.add_all(
        AuditEntry(
            actor="system:identity",
            action="identity_moved",
            object=f"contact:{move.to_id}",
            detail={"identity_id": move.identity_id, "from_contact_id": move.from_id},
        )
        for move in moves
    )
