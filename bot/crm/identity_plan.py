"""Who is meant, worked out for one batch (归人计划): what has to be written, before it is written.

Where nothing contradicts anything, uniting needs no order and nothing but the numbers named. Where
two persons cannot be one, the claims that hold each of them together tell whether they could have
been when it was said; only then, and where member cards were made one, all is worked out again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from bot.crm import aliases, identity_claims, identity_rows
from bot.crm.identity_claims import Component, Home
from bot.crm.identity_partition import Claim, Key, Person, Rules, before, bonds, unite
from bot.crm.models import IdentityKind


@dataclass(frozen=True)
class Told:
    """The numbers that one report names together, strongest first, and when it was said.

    `version` is (said at, event id, source). A report that `needs_card` is refused where its
    member number is somebody else's.
    """

    keys: tuple[Key, ...]
    version: tuple[datetime, str, str]
    needs_card: bool = False

    @property
    def claims(self) -> list[Claim]:
        """Each further number with the first."""
        first, *others = self.keys
        return [Claim((*self.version, n), first, key) for n, key in enumerate(others, 1)]

    @property
    def cards(self) -> list[str]:
        """The member numbers; two of them were made one."""
        return [value for kind, value in self.keys if kind == IdentityKind.MEMBER_NO]


@dataclass
class Plan:
    """The persons of one batch and the rows they were read from."""

    rules: Rules
    homes: dict[int, Home]
    #: Key -> the contacts that are known by it; each key of the batch.
    places: dict[Key, set[int]]
    #: Key -> identity, for those that exist.
    ids: dict[Key, int]
    #: Identities that stand with a contact which was merged away -> (where they stand, where to).
    strays: dict[int, tuple[int, int]]
    persons: dict[Key, Person] = field(default_factory=dict)
    #: Reports that cannot be kept, by their place in the batch.
    refused: set[int] = field(default_factory=set)
    #: Somebody who contradicts was met.
    has_clashes: bool = False
    #: Something told before may have to be decided otherwise.
    is_late: bool = False

    @property
    def missing(self) -> list[Key]:
        """The keys that nobody has yet."""
        return [key for key in self.places if key not in self.ids]

    def distinct(self) -> list[Person]:
        """Every person once."""
        return list({id(person): person for person in self.persons.values()}.values())


def draw(session: Session, people: Sequence[Told]) -> Plan:
    """Read what is known of the numbers and unite those that are one person."""
    plan = _read(session, people)
    _unite(plan, people, None)
    if plan.has_clashes:
        _unite(plan, people, identity_claims.inside(session, plan.homes))
    if any(len(told.cards) > 1 for told in people):
        plan.is_late |= _leaves_cards_apart(session, plan, people)
    return plan


def same_cards(session: Session, homes: Iterable[Home], people: Sequence[Told]) -> dict[str, str]:
    """For each member number that has a say here one that stands for all it is the same as."""
    keys = {key for told in people for key in told.keys}.union(*(home.keys for home in homes))
    return aliases.same(session, {v for kind, v in keys if kind == IdentityKind.MEMBER_NO})


def claims_of(plan: Plan, people: Sequence[Told]) -> list[Claim]:
    """What the reports say that are not refused."""
    heard = (told for place, told in enumerate(people) if place not in plan.refused)
    return [claim for told in heard for claim in told.claims]


def decide(
    plan: Plan, whole: Component, new: Iterable[Key], people: Sequence[Told]
) -> dict[Key, Person]:
    """Who is who, worked out from the beginning; adds the reports that cannot be kept."""
    fresh = set(new)
    while True:
        persons = whole.persons(claims_of(plan, people), fresh)
        more = {
            place
            for place, told in enumerate(people)
            if place not in plan.refused and _is_refused(told, persons)
        }
        if not more:
            return persons
        plan.refused |= more


def _is_refused(told: Told, persons: Mapping[Key, Person]) -> bool:
    first = persons[told.keys[0]]
    return told.needs_card and any(
        key[0] == IdentityKind.MEMBER_NO and persons[key] is not first for key in told.keys
    )


def _read(session: Session, people: Sequence[Told]) -> Plan:
    keys = sorted({key for told in people for key in told.keys})
    rows = identity_rows.read(session, keys)
    homes = {row["id"]: identity_claims.home(row) for row in rows}
    places: dict[Key, set[int]] = {key: set() for key in keys}
    for row in rows:
        places[row["kind"], row["value"]].add(row["id"])
    known = [row for row in rows if row["identity_id"] is not None]
    ids = {(row["kind"], row["value"]): row["identity_id"] for row in known}
    strays = {
        row["identity_id"]: (row["home_id"], row["id"])
        for row in known
        if row["home_id"] != row["id"]
    }
    rules = Rules(same_cards(session, homes.values(), people), _apart(rows))
    return Plan(rules, homes, places, ids, strays)


def _apart(rows: Iterable[Mapping[str, Any]]) -> dict[Key, set[Key]]:
    found: dict[Key, set[Key]] = {}
    for row in rows:
        for kind, value, other_kind, other in row["apart"] or ():
            found.setdefault((kind, value), set()).add((other_kind, other))
            found.setdefault((other_kind, other), set()).add((kind, value))
    return found


def _unite(plan: Plan, people: Sequence[Told], inside: Sequence[Claim] | None) -> None:
    """Unite what is one person; `inside`: what holds contacts together, read where it decides."""
    plan.persons = _standing(plan, inside or ())
    plan.refused.clear()
    for place, told in sorted(enumerate(people), key=lambda one: one[1].version):
        if told.needs_card and _needs_refusal(plan, told, inside is not None):
            plan.refused.add(place)
            continue
        for claim in told.claims:
            mine, other = plan.persons[claim.one], plan.persons[claim.other]
            if mine is other or plan.rules.agree(mine, other):
                unite(plan.persons, mine, other).claims.append(claim)
            else:
                plan.has_clashes = True
                plan.is_late |= inside is not None and not _were_two(plan.rules, mine, other, claim)


def _standing(plan: Plan, inside: Sequence[Claim]) -> dict[Key, Person]:
    """The persons before anything of the batch was told."""
    home_of = {key: home.contact_id for home in plan.homes.values() for key in home.numbers}
    held: dict[int, list[Claim]] = {}
    for claim in inside:
        held.setdefault(home_of[claim.one], []).append(claim)
    persons: dict[Key, Person] = {}
    at: dict[int, Person] = {}
    for home in plan.homes.values():
        person = plan.rules.person(home.keys)
        # What the rows show besides tells people apart, but leads nobody here.
        person.keys = set(home.numbers)
        person.contacts = {home.contact_id: home.external_userid}
        claims = held.get(home.contact_id, [])
        heard = {key for claim in claims for key in (claim.one, claim.other)}
        person.claims = [*claims, *bonds(home.keys, heard)]
        at[home.contact_id] = person
        persons |= dict.fromkeys(home.numbers, person)
    for key, contact_ids in plan.places.items():
        person = persons.setdefault(key, plan.rules.person([key]))
        for contact_id in contact_ids:
            person = unite(persons, person, at[contact_id])
            at |= dict.fromkeys(person.contacts, person)
    return persons


def _were_two(rules: Rules, mine: Person, other: Person, claim: Claim) -> bool:
    """Whether the two could not be one already when this was said.

    Then it changes nothing, for everything up to that moment is as it was.
    """
    one = before(rules, mine, claim.one, claim.version)
    return not rules.agree(one, before(rules, other, claim.other, claim.version))


def _needs_refusal(plan: Plan, told: Told, is_known: bool) -> bool:
    """Whether a report's member number is somebody else's; `is_known`: contradictions are dated."""
    whole = Person(set(), {})
    whole.absorb(plan.persons[told.keys[0]])
    for claim in told.claims:
        mine, other = plan.persons[claim.one], plan.persons[claim.other]
        if mine is other or plan.rules.agree(whole, other):
            whole.absorb(other)
        elif claim.other[0] == IdentityKind.MEMBER_NO:
            plan.has_clashes = True
            return is_known and _were_two(plan.rules, mine, other, claim)
    return False


def _leaves_cards_apart(session: Session, plan: Plan, people: Sequence[Told]) -> bool:
    """Whether member numbers that are one now still stand with several persons.

    What was left out because the numbers were two may then have to be let in.
    """
    told = [one for one in people if len(one.cards) > 1]
    contacts = aliases.contacts(session, [one.cards[0] for one in told])
    at = {id: person for person in plan.distinct() for id in person.contacts}
    for one in told:
        persons: set[object] = {
            id(plan.persons[IdentityKind.MEMBER_NO.value, card]) for card in one.cards
        }
        for contact_id in contacts.get(one.cards[0], ()):
            persons.add(id(at[contact_id]) if contact_id in at else ("contact", contact_id))
        if len(persons) > 1:
            return True
    return False
