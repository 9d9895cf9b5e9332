"""What was told and said of pairs of numbers (同名与裁定): written, and read where it decides."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import aliases
from bot.crm.identity_partition import (
    BEGINNING,
    Claim,
    Key,
    Person,
    Rules,
    Version,
    bonds,
    earliest,
    partition,
)
from bot.crm.models import IdentityKind

_IS_EARLIER = """
    ({0}.said_at, {0}.event_id COLLATE "C", {0}.source COLLATE "C", {0}.place)
    < (c.said_at, c.event_id COLLATE "C", c.source COLLATE "C", c.place)
"""
# A pair that was told before is looked up and left alone: a conflict would lock its row, and every
# purchase of a member would write.
_WRITE = text(
    f"""
    INSERT INTO identity_claim AS c (one_id, other_id, said_at, event_id, source, place)
    SELECT r.* FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        one_id bigint, other_id bigint, said_at timestamptz, event_id text, source text,
        place smallint)
    LEFT JOIN identity_claim c USING (one_id, other_id)
    WHERE c.one_id IS NULL OR {_IS_EARLIER.format("r")}
    ORDER BY one_id, other_id
    ON CONFLICT (one_id, other_id) DO UPDATE SET said_at = excluded.said_at,
        event_id = excluded.event_id, source = excluded.source, place = excluded.place
    WHERE {_IS_EARLIER.format("excluded")}
    """
)
# Pair by pair, for a number that thousands claim has thousands of claims that are not asked for.
_INSIDE = text(
    """
    SELECT a.kind, a.value, b.kind AS other_kind, b.value AS other_value,
           t.said_at, t.event_id, t.source, t.place
    FROM contact_identity a
    JOIN contact_identity b ON b.contact_id = a.contact_id AND b.id > a.id
    CROSS JOIN LATERAL (
        SELECT said_at, event_id, source, place FROM identity_claim c
        WHERE c.one_id = a.id AND c.other_id = b.id
        UNION ALL
        SELECT NULL, '', '', 0 FROM identity_ruling r
        WHERE r.one_id = a.id AND r.other_id = b.id AND r.is_one
        OFFSET 0) AS t
    WHERE a.contact_id = ANY(:ids)
    """
)
# Everybody whom a chain of claims and rulings leads to; a contact brings all its numbers along.
_REACHED = text(
    """
    WITH RECURSIVE reached (id) AS (
        SELECT contact_id FROM contact_identity WHERE id = ANY(:ids)
        UNION
        SELECT o.contact_id FROM reached r
        JOIN contact_identity i ON i.contact_id = r.id
        CROSS JOIN LATERAL (
            SELECT other_id AS id FROM identity_claim WHERE one_id = i.id
            UNION ALL SELECT one_id FROM identity_claim WHERE other_id = i.id
            UNION ALL SELECT other_id FROM identity_ruling WHERE one_id = i.id AND is_one) AS n
        JOIN contact_identity o ON o.id = n.id
    )
    SELECT c.id, c.external_userid,
           (SELECT m.member_no FROM member m WHERE m.contact_id = c.id) AS member_no,
           (SELECT jsonb_agg(jsonb_build_array(i.id, i.kind, i.value) ORDER BY i.id)
            FROM contact_identity i WHERE i.contact_id = c.id) AS numbers
    FROM reached JOIN contact c USING (id) WHERE c.merged_into_id IS NULL ORDER BY c.id
    """
)
_CLAIMS_OF = text(
    """
    SELECT one_id, other_id, said_at, event_id, source, place FROM identity_claim
    WHERE one_id = ANY(:ids) ORDER BY one_id, other_id
    """
)
_RULINGS_OF = text(
    """
    SELECT one_id, other_id, is_one FROM identity_ruling
    WHERE one_id = ANY(:ids) ORDER BY merge_id, one_id, other_id
    """
)


@dataclass(frozen=True)
class Home:
    """One contact and the numbers that stand with it; `numbers` gives the identity of each."""

    contact_id: int
    external_userid: str | None
    numbers: Mapping[Key, int]
    #: What the rows of contact and member say besides.
    shown: tuple[Key, ...]

    @property
    def keys(self) -> set[Key]:
        """Every number by which the contact is known."""
        return {*self.numbers, *self.shown}


@dataclass(frozen=True)
class Component:
    """All people whom a chain of claims connects, and everything that decides who is who."""

    homes: Mapping[int, Home]
    claims: Sequence[Claim]
    ones: Sequence[tuple[Key, Key]]
    rules: Rules

    @property
    def ids(self) -> dict[Key, int]:
        """The identity of every number."""
        return {key: id for home in self.homes.values() for key, id in home.numbers.items()}

    def persons(self, told: Sequence[Claim] = (), new: Iterable[Key] = ()) -> dict[Key, Person]:
        """Who is who once `told` is told, too; where `new` numbers stand means nothing."""
        said = [Claim(BEGINNING, one, other) for one, other in self.ones]
        ids, fresh = self.ids, set(new)
        heard = {key for claim in (*said, *self.claims) for key in (claim.one, claim.other)}
        heard |= self.rules.apart.keys()
        keys: set[Key] = set()
        glued: list[Claim] = []
        for home in self.homes.values():
            own = {*home.numbers, *(key for key in home.shown if key not in ids)}
            keys |= own
            glued += bonds(own - fresh, heard)
        every = earliest([*self.claims, *told]).values()
        return partition(self.rules, keys, said, every, glued)


def write(session: Session, claims: Iterable[Claim], ids: Mapping[Key, int]) -> None:
    """Keep claims, one statement; the contacts of their numbers are locked."""
    rows = []
    for claim in earliest(claims).values():
        one, other = sorted((ids[claim.one], ids[claim.other]))
        said_at, event_id, source, place = claim.version
        rows.append(
            {"one_id": one, "other_id": other, "said_at": said_at.isoformat()}
            | {"event_id": event_id, "source": source, "place": place}
        )
    if rows:
        session.execute(_WRITE, {"rows": json.dumps(rows, ensure_ascii=False)})


def inside(session: Session, contact_ids: Iterable[int]) -> list[Claim]:
    """What holds the numbers of each of these contacts together."""
    rows = session.execute(_INSIDE, {"ids": sorted(contact_ids)})
    return [
        Claim(_version(*rest), (kind, value), (other_kind, other_value))
        for kind, value, other_kind, other_value, *rest in rows
    ]


def component(session: Session, identity_ids: Iterable[int]) -> Component:
    """Everybody whom claims connect with these identities; reads as much as there is."""
    reached = session.execute(_REACHED, {"ids": sorted(identity_ids)}).mappings()
    homes = [home(dict(row)) for row in reached]
    keys = {id: key for one in homes for key, id in one.numbers.items()}
    given = {"ids": sorted(keys)}
    claims = [
        Claim(_version(*rest), keys[one], keys[other])
        for one, other, *rest in session.execute(_CLAIMS_OF, given)
        if other in keys
    ]
    rulings = session.execute(_RULINGS_OF, given).all()
    apart: dict[Key, set[Key]] = {}
    ones = []
    for one, other, is_one in rulings:
        if other in keys and is_one:
            ones.append((keys[one], keys[other]))
        elif other in keys:
            apart.setdefault(keys[one], set()).add(keys[other])
    cards = {value for one in homes for kind, value in one.keys if kind == IdentityKind.MEMBER_NO}
    rules = Rules(aliases.same(session, cards), apart)
    return Component({one.contact_id: one for one in homes}, claims, ones, rules)


def home(row: Mapping[str, Any]) -> Home:
    """A contact as `component` and `identity_rows.read` select it."""
    shown = (
        (IdentityKind.EXTERNAL_USERID.value, row["external_userid"]),
        (IdentityKind.MEMBER_NO.value, row["member_no"]),
    )
    numbers = {(kind, value): id for id, kind, value in row["numbers"] or []}
    return Home(
        row["id"],
        row["external_userid"],
        numbers,
        tuple((kind, value) for kind, value in shown if value and (kind, value) not in numbers),
    )


def _version(said_at: datetime | None, event_id: str, source: str, place: int) -> Version:
    return BEGINNING if said_at is None else (said_at.astimezone(UTC), event_id, source, place)
