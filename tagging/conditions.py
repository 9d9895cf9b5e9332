"""Conditions (条件): `{all|any|not: …}` over `{field, op, value}`, as HQ writes them.

One tree becomes SQL, a Chinese sentence and an explanation. No condition (None) means everybody; an
empty one is an error, for it would reach people nobody thought of. What a leaf means when a fact is
missing, and what `not` means, is written in `tagging.fields.field`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, and_, not_, or_, select, true
from sqlalchemy.orm import Session

from bot.crm.models import Contact
from bot.errors import UserError
from tagging import condition_names
from tagging.condition_names import CODES, Lookup, load_lookup, named
from tagging.fields import (
    activity,
    follows,
    history,
    members,
    orders,
    places,
    plans,
    rewards,
    tags,
)
from tagging.fields.field import OPPOSITE, Field, Home
from tagging.fields.kinds import Choice, Words, as_texts, nearest, shown

__all__ = [
    "FIELDS",
    "Lookup",
    "Reading",
    "check",
    "clause",
    "homes",
    "load_lookup",
    "mentioned",
    "moves_with_time",
    "names_of",
    "options_of",
    "readings",
    "sentence",
]

_NOUNS = (orders, history, rewards, members, activity, follows, places, tags, plans)
#: Every field a condition can use, in the order the editor lists them.
FIELDS: dict[str, Field] = {field.key: field for noun in _NOUNS for field in noun.FIELDS}

_DEEPEST = 8
_MOST_LEAVES = 100
_DENIALS = {positive: negative for negative, positive in OPPOSITE.items()}
_INNER_QUOTES = str.maketrans("“”", "‘’")


@dataclass(frozen=True)
class Reading:
    """How one part of a condition stands for one contact; `now` is `actual` within a sentence."""

    label: str
    wanted: str
    actual: str
    holds: bool
    now: str


@dataclass(frozen=True)
class _Leaf:
    field: Field
    op: str
    value: Any


@dataclass(frozen=True)
class _Group:
    """`word` is `all` or `any`."""

    word: str
    terms: tuple[_Node, ...]


@dataclass(frozen=True)
class _Not:
    term: _Node


_Node = _Leaf | _Group | _Not


def names_of(session: Session, *conditions: Any) -> Lookup:
    """What people call the codes in these conditions; asks only for what they mention.

    A condition this program does not understand (any more) mentions nothing.
    """
    wanted: dict[str, set[str]] = {}
    for condition in conditions:
        for leaf in _leaves_of(condition):
            kind = leaf.field.kind
            if isinstance(kind, Words) and kind.names in CODES:
                codes = as_texts(leaf.field.label, leaf.op, leaf.value)
                wanted.setdefault(kind.names, set()).update(codes)
    return Lookup(**{key: named(session, key, wanted[key]) for key in wanted})


def mentioned(condition: Any, names: str) -> set[str]:
    """The names of one list of `Lookup` (say `sops`) that a condition speaks of."""
    return {
        name
        for leaf in _leaves_of(condition)
        if isinstance(leaf.field.kind, Words) and leaf.field.kind.names == names
        for name in as_texts(leaf.field.label, leaf.op, leaf.value)
    }


def moves_with_time(condition: Any) -> bool:
    """Whether somebody may come to match, or not to match, only because days pass."""
    return any(leaf.field.moves_with_time for leaf in _leaves_of(condition))


def check(condition: Any, lookup: Lookup) -> None:
    """Raise `UserError` for anything that cannot be asked; None (everybody) is in order."""
    if condition is not None:
        _check_names(_parse(condition), lookup)


def clause(condition: Any, day: date, beside: Collection[Home] = ()) -> ColumnElement[bool]:
    """The condition over `contact` as of `day`; raises `UserError` if it cannot be asked.

    `beside`: homes that the query outer-joins to the contact itself, because it asks for many
    conditions at once; all others are looked up contact by contact.
    """
    return true() if condition is None else _compile(_parse(condition), day, frozenset(beside))


def homes(condition: Any) -> list[Home]:
    """Where the facts of a condition live, each home once."""
    leaves = [] if condition is None else _leaves(_parse(condition))
    return list(dict.fromkeys(leaf.field.home for leaf in leaves))


def sentence(condition: Any, names: Lookup | None = None) -> str:
    """The condition as HQ reads it, e.g. "累计消费不少于 5 万元，且距上次消费少于 365 天".

    With `names` (`load_lookup`, `names_of`) a store is 南京路店, without them its code.
    """
    if condition is None:
        return "所有客户"
    return _sentence(_parse(condition), names or Lookup(), is_outer=True)


def readings(session: Session, condition: Any, contact_id: int, day: date) -> list[Reading]:
    """How each part stands for one contact, in one statement; all hold = the condition holds.

    The parts are the terms of an outer `all`, else the condition as a whole. No such contact: [].
    """
    if condition is None:
        return []
    node = _parse(condition)
    terms = node.terms if isinstance(node, _Group) and node.word == "all" else (node,)
    columns: list[ColumnElement[Any]] = []
    for term in terms:
        columns.append(_total(term, day))
        columns.extend(_fact(leaf, day) for leaf in _leaves(term))
    row = session.execute(
        select(*(column.label(f"c{n}") for n, column in enumerate(columns))).where(
            Contact.id == contact_id
        )
    ).one_or_none()
    return [] if row is None else _read(terms, list(row), names_of(session, condition))


def _read(terms: tuple[_Node, ...], values: list[Any], names: Lookup) -> list[Reading]:
    found = []
    for term in terms:
        holds, leaves = values.pop(0), _leaves(term)
        known = [_called(leaf, values.pop(0), names) for leaf in leaves]
        facts = [leaf.field.actual(fact) for leaf, fact in zip(leaves, known, strict=True)]
        if isinstance(term, _Leaf):
            label, actual, now = term.field.label, facts[0], term.field.now(known[0])
        else:
            label = "、".join(dict.fromkeys(leaf.field.label for leaf in leaves))
            actual = "；".join(
                dict.fromkeys(
                    f"{leaf.field.label}：{fact}" for leaf, fact in zip(leaves, facts, strict=True)
                )
            )
            now = f"现在{actual}"
        found.append(
            Reading(label, _sentence(term, names, is_outer=True), actual, bool(holds), now)
        )
    return found


def _fact(leaf: _Leaf, day: date) -> ColumnElement[Any]:
    if leaf.field.reads is not None:
        return leaf.field.reads(leaf.value, day)
    return leaf.field.home.read(leaf.field.fact(day))


def _leaves_of(condition: Any) -> list[_Leaf]:
    try:
        return [] if condition is None else _leaves(_parse(condition))
    except UserError:
        return []


def _leaves(node: _Node) -> list[_Leaf]:
    if isinstance(node, _Leaf):
        return [node]
    if isinstance(node, _Not):
        return _leaves(node.term)
    return [leaf for term in node.terms for leaf in _leaves(term)]


# --- Reading what HQ wrote ---------------------------------------------------------------------


def _parse(condition: Any) -> _Node:
    node = _parse_node(condition, 1)
    if len(_leaves(node)) > _MOST_LEAVES:
        raise UserError(f"一个条件最多写 {_MOST_LEAVES} 项。", field="condition")
    return node


def _parse_node(given: Any, depth: int) -> _Node:
    if depth > _DEEPEST:
        raise UserError(f"条件最多嵌套 {_DEEPEST} 层。", field="condition")
    if not isinstance(given, Mapping) or not given:
        raise UserError("条件不能为空，要写 all、any、not 或 field。", field="condition")
    if "field" in given:
        return _parse_leaf(given)
    if len(given) != 1 or next(iter(given)) not in ("all", "any", "not"):
        keys = "、".join(str(key) for key in given)
        raise UserError(
            f"条件里看不懂{shown(keys)}，只能写 all、any、not 或 field。", field="condition"
        )
    word, inner = next(iter(given.items()))
    if word == "not" and not isinstance(inner, list):
        return _Not(_parse_node(inner, depth + 1))
    if not isinstance(inner, list) or not inner:
        raise UserError(f"“{word}”里至少要有一个条件。", field="condition")
    terms = tuple(_parse_node(one, depth + 1) for one in inner)
    if word == "not":
        # Several things denied: none of them may hold.
        return _Not(terms[0] if len(terms) == 1 else _Group("any", terms))
    return _Group(word, terms)


def _parse_leaf(given: Mapping[str, Any]) -> _Leaf:
    unknown = [str(key) for key in given if key not in ("field", "op", "value")]
    if unknown:
        raise UserError(f"条件里看不懂“{unknown[0]}”，只能写 field、op、value。", field="condition")
    key = given["field"]
    if not isinstance(key, str) or key not in FIELDS:
        near = nearest(key, FIELDS) if isinstance(key, str) else ""
        raise UserError(f"没有{shown(key)}这个条件字段{near}。", field="field")
    field, op = FIELDS[key], given.get("op")
    if not isinstance(op, str) or op not in field.operators:
        raise UserError(
            f"“{field.label}”不能用 {shown(op)}，可以用 {'、'.join(field.operators)}。", field="op"
        )
    if "value" not in given:
        raise UserError(f"“{field.label}”缺少 value。", field="value")
    return _Leaf(field, op, field.kind.check(field.label, op, given["value"]))


def _check_names(node: _Node, lookup: Lookup) -> None:
    for leaf in _leaves(node):
        condition_names.check(leaf.field, leaf.op, leaf.value, lookup)


# --- SQL ---------------------------------------------------------------------------------------


def _compile(node: _Node, day: date, beside: frozenset[Home] = frozenset()) -> ColumnElement[bool]:
    """True exactly for those who match; for the others false or, outside a `not`, NULL."""
    if isinstance(node, _Leaf):
        is_beside = node.field.home in beside
        return node.field.clause(node.op, node.value, day, is_beside=is_beside)
    if isinstance(node, _Not):
        inner = _compile(node.term, day, beside)
        # NOT EXISTS becomes an anti-join; a comparison that may be NULL must not stay NULL.
        return not_(inner) if _is_total(node.term, beside) else inner.is_not(true())
    folded: dict[Home, list[_Node]] = {}
    terms: list[ColumnElement[bool]] = []
    for term in node.terms:
        home = _one_home(term)
        if home is None:
            terms.append(_compile(term, day, beside))
        else:
            folded.setdefault(home, []).append(term)
    for home, same in folded.items():
        test = _join(node.word, [_inside(term, day) for term in same])
        terms.append(home.holds_beside(test) if home in beside else home.holds(test))
    return _join(node.word, terms)


def _total(node: _Node, day: date) -> ColumnElement[bool]:
    return _compile(node, day).is_(true())


def _join(word: str, terms: list[ColumnElement[bool]]) -> ColumnElement[bool]:
    return and_(*terms) if word == "all" else or_(*terms)


def _one_home(node: _Node) -> Home | None:
    """The one-row home all of this is about, so that it can be one look at that row."""
    if isinstance(node, _Leaf):
        is_opposite = node.field.is_opposite(node.op, node.value)
        foldable = node.field.home.source is not None and node.field.home.is_single
        return node.field.home if foldable and not is_opposite else None
    if isinstance(node, _Not):
        return None
    homes = {_one_home(term) for term in node.terms}
    return homes.pop() if len(homes) == 1 else None


def _inside(node: _Node, day: date) -> ColumnElement[bool]:
    """The bare comparison, to stand inside the EXISTS of its home."""
    if isinstance(node, _Leaf):
        return node.field.test(node.op, node.value, day)
    if isinstance(node, _Group):
        return _join(node.word, [_inside(term, day) for term in node.terms])
    raise TypeError("a `not` is never folded")


def _is_total(node: _Node, beside: frozenset[Home]) -> bool:
    """Never NULL: built of EXISTS only."""
    if isinstance(node, _Leaf):
        return node.field.home.source is not None and node.field.home not in beside
    return isinstance(node, _Not) or all(_is_total(term, beside) for term in node.terms)


# --- Words -------------------------------------------------------------------------------------


def _sentence(node: _Node, names: Lookup, *, is_outer: bool = False) -> str:
    if isinstance(node, _Leaf):
        return node.field.sentence(node.op, _called(node, node.value, names))
    if isinstance(node, _Not):
        return _denied(node.term, names)
    terms = [_sentence(term, names) for term in node.terms]
    words = ("，且" if node.word == "all" else "，或").join(terms)
    return words if is_outer or len(node.terms) == 1 else f"（{words}）"


def _denied(node: _Node, names: Lookup) -> str:
    """The opposite: in its own words where one leaf has them, else the sentence in quotes."""
    if isinstance(node, _Leaf) and node.field.is_many and node.op in _DENIALS:
        return _sentence(_Leaf(node.field, _DENIALS[node.op], node.value), names)
    inner = _sentence(node, names, is_outer=True).translate(_INNER_QUOTES)
    return f"并非“{inner}”"


def _called(leaf: _Leaf, value: Any, names: Lookup) -> Any:
    """The value, or a list of them, with what people call it in the place of a code."""
    kind = leaf.field.kind
    known = getattr(names, kind.names) if isinstance(kind, Words) and kind.names else None
    if not isinstance(known, Mapping):
        return value
    if isinstance(value, list):
        return [known.get(one, one) for one in value]
    return known.get(value, value)


def options_of(field: Field) -> Mapping[str, str] | None:
    """The keys and Chinese words to choose from in an editor; None where there is no fixed set."""
    return field.kind.options if isinstance(field.kind, Choice) else None
