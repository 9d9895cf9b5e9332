"""Who is meant (身份合一): whatever number a person is known by leads to one contact.

People whom nobody knows yet become contacts without an external_userid. When two contacts prove to
be one person they are merged (`bot.crm.merging`); two different external_userids, unionids or
member numbers never are, because a mobile number may be a family's; two member numbers are one
where somebody said so (`bot.crm.aliases`). Two whom a person has parted (`bot.crm.unmerging`) are
two whatever tills say afterwards, until a person says that they are one. A number that two of them
claim is hers with whom it was said first, whenever that is heard (`bot.crm.identity_partition`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from bot.crm import identity_claims, identity_moves, identity_plan, identity_rows, merging, mobiles
from bot.crm.event_fields import short_text, shown
from bot.crm.identity_claims import Component
from bot.crm.identity_partition import STRENGTH, Key
from bot.crm.identity_plan import Plan, Told
from bot.crm.models import Contact, IdentityKind
from bot.errors import DaogouError, UserError

__all__ = ["STRENGTH", "Key", "Resolved", "Told", "find", "keys_of", "resolve_many"]

# Each pass either ends or finds that another transaction was quicker.
_MOST_PASSES = 8


@dataclass(frozen=True)
class Resolved:
    """The contact an event belongs to, the identity it came under, and numbers that disagreed."""

    contact_id: int
    identity_id: int
    clashes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Born:
    """What a pass wrote down: identities, where they stand, and the contacts that were new."""

    ids: Mapping[Key, int]
    places: Mapping[Key, int]
    contact_ids: Sequence[int]

    @property
    def is_whole(self) -> bool:
        """Whether nobody else wrote one of them at the same moment."""
        return len(self.ids) == len(self.places)


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


def find(session: Session, wanted: str, *, secret_key: str) -> Contact | None:
    """A contact by whatever number a person types: any identity, or our own id."""
    wanted = shown(wanted).strip()
    keys: list[Key] = [(kind.value, wanted) for kind in IdentityKind]
    with contextlib.suppress(UserError):
        index = mobiles.mobile_index(mobiles.normalize(wanted), secret_key)
        keys.append((IdentityKind.MOBILE.value, index))
    found = identity_rows.read(session, keys)
    rows = {(row["kind"], row["value"]): row["id"] for row in found}
    for key in sorted(rows, key=lambda key: STRENGTH.index(key[0])):
        return session.get(Contact, rows[key])
    own = int(wanted) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 18 else 0
    contact = session.get(Contact, own)
    if contact is not None and contact.merged_into_id is not None:
        return session.get(Contact, contact.merged_into_id)
    return contact


def resolve_many(session: Session, people: Sequence[Told]) -> list[Resolved]:
    """The contacts of many people, each given as what one report says of her.

    A constant number of statements whatever the number of people. On return the rows of all these
    contacts are locked until the end of the transaction. A report that needs its member number,
    where that is somebody else's, leaves no trace and names it in `clashes`.
    """
    if not people:
        return []
    for _ in range(_MOST_PASSES):
        plan = identity_plan.draw(session, people)
        if plan.strays:
            _fetch(session, plan, people)
            continue
        born = _create(session, plan)
        if born.is_whole:
            plan.ids |= born.ids
            # Read when everybody has a row, so that a component holds the new ones, too.
            whole = _component(session, plan) if plan.is_late else None
            if _hold(session, plan, born, whole, people):
                places = _settle(session, plan, born, whole, people)
                return [_resolved(told, plan, places) for told in people]
        identity_rows.scatter(session, born.ids, born.contact_ids)
    raise DaogouError("identities kept changing while they were being resolved")


def _fetch(session: Session, plan: Plan, people: Sequence[Told]) -> None:
    """Bring numbers that were left with a merged contact to where it went."""
    if _hold(session, plan, _Born({}, {}, ()), None, people):
        identity_rows.fetch(session, {id: to for id, (_, to) in plan.strays.items()})


def _create(session: Session, plan: Plan) -> _Born:
    """Write the contacts and identities that are missing."""
    if not plan.missing:
        return _Born({}, {}, ())
    newborn = [p for p in plan.distinct() if p.kept is None or p.missing_external_userid]
    ids = identity_rows.new_contact_ids(session, len(newborn))
    contacts = [
        {"id": new_id, "external_userid": person.missing_external_userid}
        for person, new_id in zip(newborn, ids, strict=True)
    ]
    for person, new_id in zip(newborn, ids, strict=True):
        person.contacts[new_id] = person.missing_external_userid
    # What is known of the person already stays where it stands until the contacts are locked.
    home = {id(person): new_id for person, new_id in zip(newborn, ids, strict=True)}
    places = {
        key: home.get(id(plan.persons[key]), plan.persons[key].kept or 0) for key in plan.missing
    }
    rows = [{"kind": k, "value": v, "contact_id": to} for (k, v), to in sorted(places.items())]
    return _Born(identity_rows.write(session, contacts, rows), places, ids)


def _component(session: Session, plan: Plan) -> Component:
    return identity_claims.component(session, plan.ids.values())


def _hold(
    session: Session, plan: Plan, born: _Born, whole: Component | None, people: Sequence[Told]
) -> bool:
    """Lock every contact of the plan; False when something is no longer as the plan says."""
    wanted = {contact_id for person in plan.distinct() for contact_id in person.contacts}
    if not identity_rows.lock(session, wanted.union(whole.homes if whole else ())):
        return False
    if whole is not None:
        return _component(session, plan) == whole
    homes = {id: set(home.numbers.values()) for id, home in plan.homes.items()}
    for key, identity_id in born.ids.items():
        homes.setdefault(born.places[key], set()).add(identity_id)
    strays = {id: standing for id, (standing, _) in plan.strays.items()}
    if identity_rows.has_changed(session, homes, strays):
        return False
    if not plan.has_clashes:
        return True
    return identity_plan.same_cards(session, plan.homes.values(), people) == plan.rules.same


def _settle(
    session: Session, plan: Plan, born: _Born, whole: Component | None, people: Sequence[Told]
) -> dict[Key, int]:
    """Make it so; returns the contact of every number of the batch."""
    if whole is None:
        gone = [(p.kept or 0, c) for p in plan.distinct() for c in p.contacts if c != p.kept]
        merging.merge(session, gone, reason="identity")
        identity_claims.write(session, identity_plan.claims_of(plan, people), plan.ids)
        return {key: plan.persons[key].kept or 0 for key in plan.places}
    persons = identity_plan.decide(plan, whole, born.ids, people)
    identity_claims.write(session, identity_plan.claims_of(plan, people), plan.ids)
    return identity_moves.apply(session, whole, persons)


def _resolved(told: Told, plan: Plan, places: Mapping[Key, int]) -> Resolved:
    first, *others = told.keys
    clashes = tuple(key[0] for key in others if places[key] != places[first])
    return Resolved(places[first], plan.ids[first], clashes)
