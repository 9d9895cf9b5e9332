"""Random conditions over every field, and the plain reading of them."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import strategies as st

from tests.tagging.worlds.town import NOUNS, Town

#: The plain reading of every field.
READ = {key: read for noun in NOUNS for key, read in noun.READ.items()}


def leaves() -> st.SearchStrategy[dict[str, Any]]:
    """Every field with every operator, and values near the facts."""
    return st.one_of(*(noun.leaves() for noun in NOUNS))


def conditions() -> st.SearchStrategy[dict[str, Any]]:
    """Trees of all, any and not over the leaves."""

    def groups(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(inner, min_size=1, max_size=3)
        return (
            several.map(lambda terms: {"all": terms})
            | several.map(lambda terms: {"any": terms})
            | inner.map(lambda term: {"not": term})
            | several.map(lambda terms: {"not": terms})
        )

    return st.recursive(leaves(), groups, max_leaves=8)


def matches(town: Town, one: dict[str, Any], condition: dict[str, Any], day: date) -> bool:
    """Does this person match, read without SQL?"""
    if "all" in condition:
        return all(matches(town, one, term, day) for term in condition["all"])
    if "any" in condition:
        return any(matches(town, one, term, day) for term in condition["any"])
    if "not" in condition:
        inner = condition["not"]
        terms = inner if isinstance(inner, list) else [inner]
        return not any(matches(town, one, term, day) for term in terms)
    read = READ[condition["field"]]
    return read(town, one, condition["op"], condition["value"], day)
