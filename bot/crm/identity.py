"""Who is meant (身份合一): whatever number a person is known by leads to one contact.

People whom nobody knows yet become contacts without an external_userid. When two contacts prove to
be one person they are merged (`bot.crm.merging`); two different external_userids, unionids or
member numbers never are, because a mobile number may be a family's; two member numbers are one
where somebody said so (`bot.crm.aliases`). Two whom a person has parted (`bot.crm.unmerging`) are
two whatever tills say afterwards, until a person says that they are one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from bot.crm import aliases, identity_rows, merging, mobiles
from bot.crm.event_fields import short_text, shown
from bot.crm.identity_rows import STRENGTH, Key
from bot.crm.models import Contact, IdentityKind
from bot.errors import DaogouError, UserError

__all__ = ["STRENGTH", "Key", "Resolved", "find", "keys_of", "resolve", "resolve_many"]

_EXCLUSIVE = (IdentityKind.EXTERNAL_USERID, IdentityKind.UNIONID, IdentityKind.MEMBER_NO)
# Each pass either ends or creates what another transaction was quicker to create.
_MOST_PASSES = 8


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
    #: Identity -> the contact it stands with.
    homes: dict[int, int]
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
    found = identity_rows.read(session, keys)
    rows = {(row["kind"], row["value"]): row["contact_id"] for row in found}
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
        if not identity_rows.lock(session, kept | set(gone)):
            continue
        if identity_rows.are_given_away(session, plan.homes):
            continue
        identity_rows.fetch(session, plan.strays)
        merging.merge(session, [(k, g) for g, k in gone.items() if g != k], reason="identity")
        return [
            Resolved(plan.groups[keys[0]].kept or 0, plan.identity_ids[keys[0]], clashes)
            for keys, clashes in zip(people, plan.clashes, strict=True)
        ]
    raise DaogouError("identities kept changing while they were being resolved")


def _plan(session: Session, people: Sequence[Sequence[Key]]) -> _Plan:
    keys = sorted({key for person in people for key in person})
    groups = {key: _Group({key}) for key in keys}
    rows = identity_rows.read(session, keys)
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
    known = [row for row in rows if row["identity_id"] is not None]
    homes = {row["identity_id"]: row["home_id"] for row in known}
    strays = {r["identity_id"]: r["contact_id"] for r in known if r["home_id"] != r["contact_id"]}
    return _Plan(groups, identity_ids, clashes, homes, strays)


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
    ids = identity_rows.new_contact_ids(session, len(newborn))
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
    identity_rows.write(session, contacts, identities)
    return True
