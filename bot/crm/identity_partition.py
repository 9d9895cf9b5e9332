"""Which numbers are one person (归人): worked out from all that was told, in any order.

Every pair of numbers that a report names together is a claim, dated by the earliest report. The
claims are gone through in the order of their dates; each unites two persons, unless that would make
one of two whom WeCom or a member number tells apart, or whom a person has parted. See
docs/decisions/0013.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from bot.crm.models import IdentityKind

#: (kind, value); a mobile's value is its blind index.
Key = tuple[str, str]
#: (said at, event id, source, which pair of its report)
Version = tuple[datetime, str, str, int]

#: Strongest first: when the numbers of one event disagree, the event belongs to the first.
STRENGTH = tuple(kind.value for kind in IdentityKind)
#: The version of what holds before anything was told.
BEGINNING: Version = (datetime.min.replace(tzinfo=UTC), "", "", 0)

_EXCLUSIVE = (IdentityKind.EXTERNAL_USERID, IdentityKind.UNIONID, IdentityKind.MEMBER_NO)
_RANK = {kind: rank for rank, kind in enumerate(STRENGTH)}


class Claim(NamedTuple):
    """Two numbers that one report named together."""

    version: Version
    one: Key
    other: Key


@dataclass
class Person:
    """Numbers that are one person, the contacts that bear them, and the claims that hold them."""

    keys: set[Key]
    exclusive: dict[str, set[str]]
    contacts: dict[int, str | None] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)

    def absorb(self, other: Person) -> None:
        """Make the other's numbers this person's."""
        self.keys |= other.keys
        self.contacts |= other.contacts
        self.claims += other.claims
        for kind, values in other.exclusive.items():
            self.exclusive.setdefault(kind, set()).update(values)

    @property
    def kept(self) -> int | None:
        """The contact that stays: the one WeCom knows, else the oldest."""
        return min(self.contacts, key=lambda c: (self.contacts[c] is None, c), default=None)

    @property
    def missing_external_userid(self) -> str | None:
        """An external_userid no contact bears yet."""
        borne = set(self.contacts.values())
        said = self.exclusive.get(IdentityKind.EXTERNAL_USERID, set())
        return next((value for value in sorted(said) if value not in borne), None)


@dataclass(frozen=True)
class Rules:
    """What tells two persons apart.

    `same` gives one member number for all that mean one person (`bot.crm.aliases`), `apart` the
    numbers that a person said are somebody else's, each by both of the two.
    """

    same: Mapping[str, str]
    apart: Mapping[Key, AbstractSet[Key]]

    def person(self, keys: Iterable[Key]) -> Person:
        """A person who is known by these numbers."""
        made = Person(set(keys), {})
        for kind, value in made.keys:
            if kind in _EXCLUSIVE:
                is_card = kind == IdentityKind.MEMBER_NO
                one = self.same.get(value, value) if is_card else value
                made.exclusive.setdefault(kind, set()).add(one)
        return made

    def agree(self, one: Person, other: Person) -> bool:
        """Whether the two can be one person."""
        for kind, values in one.exclusive.items():
            if len(values | other.exclusive.get(kind, values)) > 1:
                return False
        if not self.apart:
            return True
        return not any(other.keys & self.apart[key] for key in one.keys if key in self.apart)


def rank(key: Key) -> tuple[int, str]:
    """By what numbers are sorted, strongest first."""
    return _RANK[key[0]], key[1]


def earliest(claims: Iterable[Claim]) -> dict[tuple[Key, Key], Claim]:
    """The earliest claim of each pair."""
    found: dict[tuple[Key, Key], Claim] = {}
    for claim in claims:
        one, other = sorted((claim.one, claim.other))
        held = found.get((one, other))
        if held is None or claim.version < held.version:
            found[one, other] = claim
    return found


def bonds(keys: Iterable[Key], heard: AbstractSet[Key]) -> list[Claim]:
    """What holds those numbers of one contact that are not `heard` of: no claim, no ruling.

    They were written down some other way than by a report; they stay where the strongest number is.
    """
    standing = set(keys)
    loose = sorted(standing - heard, key=rank)
    anchor = min(standing & heard, key=rank, default=loose[0] if loose else None)
    return [Claim(BEGINNING, anchor, key) for key in loose if anchor and key != anchor]


def before(rules: Rules, person: Person, start: Key, version: Version) -> Person:
    """The person whom `start` belonged to when only what is older than `version` was told.

    Exact, for two numbers that are one person now were united by the claims between her numbers,
    and no others.
    """
    ways: dict[Key, list[Key]] = {}
    for claim in person.claims:
        if claim.version < version:
            ways.setdefault(claim.one, []).append(claim.other)
            ways.setdefault(claim.other, []).append(claim.one)
    reached, waiting = {start}, [start]
    while waiting:
        found = set(ways.get(waiting.pop(), ())) - reached
        reached |= found
        waiting += found
    return rules.person(reached)


def partition(
    rules: Rules,
    keys: Iterable[Key],
    said: Iterable[Claim],
    told: Iterable[Claim],
    glued: Iterable[Claim],
) -> dict[Key, Person]:
    """The person of every number.

    `glued` numbers stand together whatever they are; then comes what persons `said`, in the order
    they said it, and at last what was `told`, by its version.
    """
    found = {key: rules.person([key]) for key in keys}
    for claim in glued:
        unite(found, found[claim.one], found[claim.other])
    for claim in (*said, *sorted(told)):
        mine, other = found[claim.one], found[claim.other]
        if mine is not other and rules.agree(mine, other):
            unite(found, mine, other)
    return found


def unite(persons: dict[Key, Person], mine: Person, other: Person) -> Person:
    """Make two of `persons` one, and return it."""
    if mine is other:
        return mine
    if len(mine.keys) < len(other.keys):
        mine, other = other, mine
    mine.absorb(other)
    for key in other.keys:
        persons[key] = mine
    return mine
