"""Who is meant (身份合一): whatever number a person is known by leads to one contact.

People whom nobody knows yet become contacts without an external_userid. When two contacts prove to
be one person they are merged (`bot.crm.merging`); two different external_userids, unionids or
member numbers never are, because a mobile number may be a family's; two member numbers are one
where somebody said so (`bot.crm.aliases`). Two whom a person has parted (`bot.crm.unmerging`) are
two whatever tills say afterwards, until a person says that they are one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import aliases, merging, mobiles
from bot.crm.event_fields import short_text, shown
from bot.crm.models import Contact, IdentityKind
from bot.errors import DaogouError, UserError

#: (kind, value); a mobile's value is its blind index.
Key = tuple[str, str]

#: Strongest first: when the numbers of one event disagree, the event belongs to the first.
STRENGTH = tuple(kind.value for kind in IdentityKind)
_EXCLUSIVE = (IdentityKind.EXTERNAL_USERID, IdentityKind.UNIONID, IdentityKind.MEMBER_NO)
# Each pass either ends or creates what another transaction was quicker to create.
_MOST_PASSES = 8

# What was parted may have been merged with others since, so both are followed to where they are.
_READ = text(
    """
    WITH wanted AS (
        SELECT kind, value
        FROM jsonb_to_recordset(CAST(:keys AS jsonb)) AS r (kind text, value text)
    ), found AS (
        SELECT i.kind, i.value, i.id AS identity_id, i.contact_id
        FROM wanted JOIN contact_identity i USING (kind, value)
        UNION ALL
        SELECT 'external_userid', c.external_userid, NULL, c.id
        FROM contact c WHERE c.external_userid = ANY(:external_userids)
        UNION ALL
        SELECT 'member_no', m.member_no, NULL, m.contact_id
        FROM member m WHERE m.member_no = ANY(:member_nos)
    )
    SELECT f.kind, f.value, f.identity_id, g.id <> c.id AS is_stray, c.id AS contact_id,
           c.external_userid,
           ARRAY(SELECT i.value FROM contact_identity i
                 WHERE i.contact_id = c.id AND i.kind = 'unionid') AS unionids,
           ARRAY(SELECT i.value FROM contact_identity i
                 WHERE i.contact_id = c.id AND i.kind = 'member_no'
                 UNION SELECT m.member_no FROM member m
                 WHERE m.contact_id = c.id AND m.member_no IS NOT NULL) AS member_nos,
           ARRAY(SELECT COALESCE(o.merged_into_id, o.id)
                 FROM (SELECT c.id UNION ALL
                       SELECT m.id FROM contact m WHERE m.merged_into_id = c.id) AS hers (id)
                 CROSS JOIN LATERAL (
                     SELECT gone_contact_id AS id FROM contact_merge
                     WHERE kept_contact_id = hers.id AND undone_at IS NOT NULL
                     UNION ALL SELECT kept_contact_id FROM contact_merge
                     WHERE gone_contact_id = hers.id AND undone_at IS NOT NULL) AS t
                 JOIN contact o ON o.id = t.id) AS parted
    FROM found f
    JOIN contact g ON g.id = f.contact_id
    JOIN contact c ON c.id = COALESCE(g.merged_into_id, g.id)
    ORDER BY f.identity_id NULLS LAST
    """
)
# A number written down for a contact that was merged away in the same moment follows it.
_FETCH = text(
    """
    UPDATE contact_identity i SET contact_id = r.contact_id
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id bigint, contact_id bigint)
    WHERE i.id = r.id
    """
)
_NEW_IDS = text(
    "SELECT nextval(pg_get_serial_sequence('contact', 'id')) FROM generate_series(1, :n)"
)
# Sorted inserts: two batches with the same new people wait for each other in the same order.
_INSERT_CONTACTS = text(
    """
    INSERT INTO contact (id, external_userid)
    SELECT id, external_userid
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id bigint, external_userid text)
    ORDER BY external_userid, id
    ON CONFLICT (external_userid) DO NOTHING
    """
)
_INSERT_IDENTITIES = text(
    """
    INSERT INTO contact_identity (kind, value, contact_id)
    SELECT r.kind, r.value, c.id
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (kind text, value text, contact_id bigint)
    JOIN contact c ON c.id = r.contact_id
    ORDER BY r.kind, r.value
    ON CONFLICT (kind, value) DO NOTHING
    """
)
_DROP_ORPHANS = text(
    """
    DELETE FROM contact c WHERE c.id = ANY(:ids) AND c.external_userid IS NULL
    AND NOT EXISTS (SELECT FROM contact_identity i WHERE i.contact_id = c.id)
    """
)
# Whoever writes facts of a contact holds its row until commit: sorted, so nobody waits in a ring.
_LOCK = text(
    """
    SELECT id FROM contact WHERE id = ANY(:ids) AND merged_into_id IS NULL
    ORDER BY id FOR NO KEY UPDATE
    """
)


@dataclass(frozen=True)
class Resolved:
    """The contact an event belongs to, the identity it came under, and numbers that disagreed."""

    contact_id: int
    identity_id: int
    clashes: tuple[str, ...] = ()


@dataclass
class _Group:
    """Numbers and contacts that are one person."""

    keys: set[Key] = field(default_factory=set)
    contacts: dict[int, str | None] = field(default_factory=dict)
    #: Contacts that a person said are somebody else.
    parted: set[int] = field(default_factory=set)
    exclusive: dict[str, set[str]] = field(
        default_factory=lambda: {kind.value: set() for kind in _EXCLUSIVE}
    )

    def agrees_with(self, other: _Group) -> bool:
        return self.parted.isdisjoint(other.contacts) and all(
            len(self.exclusive[k] | other.exclusive[k]) <= 1 for k in self.exclusive
        )

    def absorb(self, other: _Group) -> None:
        self.keys |= other.keys
        self.contacts |= other.contacts
        self.parted |= other.parted
        for kind, values in other.exclusive.items():
            self.exclusive[kind] |= values

    @property
    def kept(self) -> int | None:
        """The contact that stays: the one WeCom knows, else the oldest."""
        return min(self.contacts, key=lambda c: (self.contacts[c] is None, c), default=None)

    @property
    def missing_external_userid(self) -> str | None:
        """An external_userid no contact bears yet."""
        borne = set(self.contacts.values())
        return next((v for v in self.exclusive["external_userid"] if v not in borne), None)


@dataclass
class _Plan:
    groups: dict[Key, _Group]
    identity_ids: dict[Key, int]
    clashes: list[tuple[str, ...]]
    #: Identities that stand with a contact which was merged away -> where it went.
    strays: dict[int, int]

    def distinct(self) -> list[_Group]:
        return list({id(group): group for group in self.groups.values()}.values())


def keys_of(who: Mapping[str, Any], *, source: str, secret_key: str) -> tuple[Key, ...]:
    """The numbers in a `who`, strongest first; UserError when there is none or one is malformed.

    `source` is who says so: the account of one mall is nobody in another.
    """
    keys: list[Key] = []
    for kind in STRENGTH:
        if who.get(kind) is None:
            continue
        value = short_text(who, kind, limit=128)
        if kind == IdentityKind.MOBILE:
            value = mobiles.mobile_index(mobiles.normalize(value), secret_key)
        elif kind == IdentityKind.MALL_ID:
            value = f"{source}:{value}"
        keys.append((kind, value))
    if not keys:
        raise UserError(f"who 要有 {'、'.join(STRENGTH)} 之一。", field="who")
    return tuple(keys)


def resolve(session: Session, who: Mapping[str, Any], *, source: str, secret_key: str) -> Resolved:
    """The contact of one `who`; makes one, or merges two, where the numbers say so."""
    return resolve_many(session, [keys_of(who, source=source, secret_key=secret_key)])[0]


def find(session: Session, wanted: str, *, secret_key: str) -> Contact | None:
    """A contact by whatever number a person types: any identity, or our own id."""
    wanted = shown(wanted).strip()
    keys: list[Key] = [(kind.value, wanted) for kind in IdentityKind]
    with contextlib.suppress(UserError):
        index = mobiles.mobile_index(mobiles.normalize(wanted), secret_key)
        keys.append((IdentityKind.MOBILE.value, index))
    rows = {(row["kind"], row["value"]): row["contact_id"] for row in _read(session, keys)}
    for key in sorted(rows, key=lambda key: STRENGTH.index(key[0])):
        return session.get(Contact, rows[key])
    own = int(wanted) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 18 else 0
    contact = session.get(Contact, own)
    if contact is not None and contact.merged_into_id is not None:
        return session.get(Contact, contact.merged_into_id)
    return contact


def resolve_many(session: Session, people: Sequence[Sequence[Key]]) -> list[Resolved]:
    """The contacts of many people, each given as its keys, strongest first.

    A constant number of statements whatever the number of people. On return the rows of all these
    contacts are locked until the end of the transaction.
    """
    if not people:
        return []
    for _ in range(_MOST_PASSES):
        plan = _plan(session, people)
        if _create(session, plan):
            continue
        kept = {group.kept or 0 for group in plan.distinct()}
        gone = {c: group.kept or 0 for group in plan.distinct() for c in group.contacts}
        if not _lock(session, kept | set(gone)):
            continue
        if plan.strays:
            rows = [{"id": one, "contact_id": home} for one, home in plan.strays.items()]
            session.execute(_FETCH, {"rows": json.dumps(rows)})
        merging.merge(session, [(k, g) for g, k in gone.items() if g != k], reason="identity")
        return [
            Resolved(plan.groups[keys[0]].kept or 0, plan.identity_ids[keys[0]], clashes)
            for keys, clashes in zip(people, plan.clashes, strict=True)
        ]
    raise DaogouError("identities kept changing while they were being resolved")


def _plan(session: Session, people: Sequence[Sequence[Key]]) -> _Plan:
    keys = sorted({key for person in people for key in person})
    groups = {key: _Group({key}) for key in keys}
    rows = _read(session, keys)
    cards = {value for kind, value in keys if kind == IdentityKind.MEMBER_NO}
    same = aliases.same(session, cards.union(*(row["member_nos"] for row in rows)))
    for kind, value in keys:
        if kind in groups[kind, value].exclusive:
            is_card = kind == IdentityKind.MEMBER_NO
            groups[kind, value].exclusive[kind].add(same.get(value, value) if is_card else value)
    identity_ids: dict[Key, int] = {}
    of_contact: dict[int, Key] = {}
    for row in rows:
        key = (row["kind"], row["value"])
        if row["identity_id"] is not None:
            identity_ids[key] = row["identity_id"]
        group = groups[key]
        group.contacts[row["contact_id"]] = row["external_userid"]
        group.parted |= set(row["parted"])
        group.exclusive["external_userid"] |= {row["external_userid"]} - {None}
        group.exclusive["unionid"] |= set(row["unionids"])
        group.exclusive["member_no"] |= {same.get(card, card) for card in row["member_nos"]}
        _unite(groups, groups[of_contact.setdefault(row["contact_id"], key)], group)
    clashes = [_join(groups, person) for person in people]
    strays = {row["identity_id"]: row["contact_id"] for row in rows if row["is_stray"]}
    return _Plan(groups, identity_ids, clashes, strays)


def _read(session: Session, keys: Sequence[Key]) -> list[Mapping[str, Any]]:
    values = {kind: [v for k, v in keys if k == kind] for kind in STRENGTH}
    given = {
        "keys": json.dumps([{"kind": kind, "value": value} for kind, value in keys]),
        "external_userids": values["external_userid"],
        "member_nos": values["member_no"],
    }
    return [dict(row) for row in session.execute(_READ, given).mappings()]


def _join(groups: dict[Key, _Group], person: Sequence[Key]) -> tuple[str, ...]:
    """Unite what one event says belongs together; the kinds that contradict stay apart."""
    clashes = []
    for key in person[1:]:
        mine, other = groups[person[0]], groups[key]
        if mine is other:
            continue
        if mine.agrees_with(other):
            _unite(groups, mine, other)
        else:
            clashes.append(key[0])
    return tuple(clashes)


def _unite(groups: dict[Key, _Group], mine: _Group, other: _Group) -> None:
    if mine is not other:
        mine.absorb(other)
        for key in other.keys:
            groups[key] = mine


def _create(session: Session, plan: _Plan) -> bool:
    """Write the contacts and identities that are missing; True when anything was."""
    missing = [k for k in plan.groups if k not in plan.identity_ids]
    if not missing:
        return False
    newborn = [g for g in plan.distinct() if g.kept is None or g.missing_external_userid]
    ids = session.scalars(_NEW_IDS, {"n": len(newborn)}).all() if newborn else []
    home = {id(group): new_id for group, new_id in zip(newborn, ids, strict=True)}
    contacts = [
        {"id": home[id(group)], "external_userid": group.missing_external_userid}
        for group in newborn
    ]
    identities = [
        {
            "kind": k,
            "value": v,
            "contact_id": home.get(id(plan.groups[k, v]), plan.groups[k, v].kept),
        }
        for k, v in missing
    ]
    if contacts:
        session.execute(_INSERT_CONTACTS, {"rows": json.dumps(contacts)})
    session.execute(_INSERT_IDENTITIES, {"rows": json.dumps(identities)})
    if contacts:
        session.execute(_DROP_ORPHANS, {"ids": list(ids)})
    return True


def _lock(session: Session, contact_ids: Iterable[int]) -> bool:
    """Lock these contacts in order; False when one was merged away meanwhile."""
    wanted = sorted(contact_ids)
    return len(session.scalars(_LOCK, {"ids": wanted}).all()) == len(wanted)
