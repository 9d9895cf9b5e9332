"""Who lacks a tag of a rule, or has one too many (标签差异): many rules in one look at everybody.

Each rule of a round is one bit of a number. One pass over the contacts, with the rows that
conditions ask about beside them, gives every contact the number of the rules that match; the tags
she has give two more, and only contacts whose numbers disagree go any further. A rule costs the
pass some comparisons a contact, and no look at any table of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from itertools import groupby
from operator import attrgetter, or_
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Subquery,
    any_,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy import or_ as any_of
from sqlalchemy.sql.elements import Grouping

from bot.crm.models import Contact
from tagging import conditions
from tagging.fields import tags
from tagging.fields.field import Home
from tagging.models import TagAssignment, TagSource
from tagging.scope import only

#: Bits of a round: a bigint has 63 that are not its sign.
MOST_RULES = 60
# Tags whose ids lie further apart than this are told apart one by one.
_WIDEST = 5_000


@dataclass(frozen=True)
class Rule:
    """An active rule; `when` can be asked."""

    id: int
    tag_id: int
    when: Any


@dataclass(frozen=True)
class Tagged:
    """A tag with the bits of all its rules."""

    id: int
    bits: int
    #: A rule of it cannot be asked: nobody loses the tag.
    is_kept: bool


@dataclass(frozen=True)
class Round:
    """Rules that are asked together, each with its bit; all rules of a tag are in one round."""

    rules: tuple[tuple[Rule, int], ...]
    tags: tuple[Tagged, ...]


def rounds(rules: Sequence[Rule], kept: Collection[int]) -> list[Round]:
    """The rules in as few rounds as possible; `kept`: tags that nobody may lose now.

    Rules that ask for tags come last and alone, in their order, so that each sees what the rules
    before it have given and taken.
    """
    ordered = sorted(rules, key=attrgetter("tag_id", "id"))
    by_tag = [list(same) for _, same in groupby(ordered, key=attrgetter("tag_id"))]
    plain = [same for same in by_tag if not any(_asks_for_tags(rule) for rule in same)]
    alone = sorted((same for same in by_tag if same not in plain), key=lambda same: same[0].id)
    packed: list[list[list[Rule]]] = []
    for same in plain:
        if not packed or sum(map(len, packed[-1])) + len(same) > MOST_RULES:
            packed.append([])
        packed[-1].append(same)
    return [_round(together, kept) for together in (*packed, *([same] for same in alone))]


def find(one: Round, day: date, contact_ids: Collection[int] | None) -> Select[Any]:
    """Contacts whose tags differ: contact_id, `matched`, `has` and `given` (by a rule), as bits.

    `has` and `given` have all bits of a tag's rules or none of them.
    """
    beside = _beside(rule for rule, _ in one.rules)
    source: FromClause = Contact.__table__
    for home in beside:
        assert home.source is not None
        source = source.outerjoin(home.source, home.joined)
    held = _held(one, contact_ids)
    source = source.outerjoin(held, held.c.contact_id == Contact.id)
    bits: list[ColumnElement[int]] = [
        case((conditions.clause(rule.when, day, beside), _bits(bit)), else_=_bits(0))
        for rule, bit in one.rules
    ]
    matched = reduce(lambda sum_, bit: sum_.op("|")(bit), bits)
    # OFFSET 0: worked out once a contact, and not again for each place that speaks of it.
    asked = (
        select(
            Contact.id.label("contact_id"),
            case((Contact.merged_into_id.is_(None), matched), else_=_bits(0)).label("matched"),
            func.coalesce(held.c.has, 0).label("has"),
            func.coalesce(held.c.given, 0).label("given"),
        )
        .select_from(source)
        .where(only(Contact.id, contact_ids))
        .offset(literal_column("0"))
        .subquery("asked")
    )
    return select(asked.c.contact_id, asked.c.matched, asked.c.has, asked.c.given).where(
        any_of(*_differs(one, asked))
    )


def _asks_for_tags(rule: Rule) -> bool:
    return tags.ASSIGNMENT in conditions.homes(rule.when)


def _round(together: Sequence[Sequence[Rule]], kept: Collection[int]) -> Round:
    rules = [rule for same in together for rule in same]
    bit_of = {rule.id: 1 << place for place, rule in enumerate(rules)}
    return Round(
        tuple((rule, bit_of[rule.id]) for rule in rules),
        tuple(
            Tagged(
                same[0].tag_id,
                reduce(or_, (bit_of[rule.id] for rule in same)),
                same[0].tag_id in kept,
            )
            for same in together
        ),
    )


def _beside(rules: Iterable[Rule]) -> list[Home]:
    """The one-row homes of the conditions, one of each table."""
    found: dict[Any, Home] = {}
    for rule in rules:
        for home in conditions.homes(rule.when):
            if home.source is not None and home.is_single:
                found.setdefault(next(iter(home.source.primary_key)).table, home)
    return list(found.values())


def _held(one: Round, contact_ids: Collection[int] | None) -> Subquery:
    """The tags of this round that contacts have, and those of them that rules gave."""
    bits = _bits_of_tag(one)
    by_rule = TagAssignment.source == TagSource.RULE.value
    wanted = cast(literal([tag.id for tag in one.tags], ARRAY(BigInteger)), ARRAY(BigInteger))
    return (
        select(
            TagAssignment.contact_id,
            func.bit_or(bits).label("has"),
            func.bit_or(case((by_rule, bits), else_=_bits(0))).label("given"),
        )
        .where(
            TagAssignment.is_on,
            TagAssignment.tag_id == any_(wanted),
            only(TagAssignment.contact_id, contact_ids),
        )
        .group_by(TagAssignment.contact_id)
        .subquery("held")
    )


def _bits_of_tag(one: Round) -> ColumnElement[Any]:
    bits = {tag.id: tag.bits for tag in one.tags}
    first, last = min(bits), max(bits)
    if last - first > _WIDEST:
        return case({id_: _bits(bit) for id_, bit in bits.items()}, value=TagAssignment.tag_id)
    # Looked up by its place: a brand has some assignments a contact, and each would be compared
    # with half of all tags.
    numbers = [bits.get(id_, 0) for id_ in range(first, last + 1)]
    places = cast(literal(numbers, ARRAY(BigInteger)), ARRAY(BigInteger))
    return Grouping(places)[TagAssignment.tag_id - literal(first - 1, BigInteger)]


def _differs(one: Round, asked: Any) -> list[ColumnElement[bool]]:
    """Tags of one rule are compared all at once, the few with several rules one by one."""
    single = [tag for tag in one.tags if tag.bits.bit_count() == 1]
    missing = asked.c.matched.op("&")(asked.c.has.op("#")(_bits(-1)))
    excess = asked.c.given.op("&")(asked.c.matched.op("#")(_bits(-1)))
    differs = [
        missing.op("&")(_bits(_union(single))) != 0,
        excess.op("&")(_bits(_union(tag for tag in single if not tag.is_kept))) != 0,
    ]
    for tag in one.tags:
        if tag not in single:
            matches = asked.c.matched.op("&")(_bits(tag.bits)) != 0
            has = asked.c.has.op("&")(_bits(tag.bits)) != 0
            given = asked.c.given.op("&")(_bits(tag.bits)) != 0
            differs.append(matches & ~has)
            if not tag.is_kept:
                differs.append(given & ~matches)
    return differs


def _union(several: Iterable[Tagged]) -> int:
    return reduce(or_, (tag.bits for tag in several), 0)


def _bits(number: int) -> ColumnElement[int]:
    # Named in full: a statement that makes a table is sent with its values written out.
    return cast(literal(number, BigInteger), BigInteger)
