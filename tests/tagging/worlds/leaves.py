"""Leaves of conditions as strategies, and the operators read plainly."""

from __future__ import annotations

import operator
from collections.abc import Collection
from typing import Any

from hypothesis import strategies as st

NUMBER_OPS = ("=", "!=", ">", ">=", "<", "<=")
NEAR_OPS = ("=", ">", ">=", "<", "<=")

COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "between": lambda fact, two: two[0] <= fact <= two[1],
    "in": lambda fact, names: fact in names,
    "not_in": lambda fact, names: fact not in names,
}

Leaf = st.SearchStrategy[dict[str, Any]]


def numbers(key: str, values: st.SearchStrategy[Any], ops: tuple[str, ...] = NUMBER_OPS) -> Leaf:
    """A comparison of a number, `between` included."""
    single = st.builds(
        lambda op, value: {"field": key, "op": op, "value": value}, st.sampled_from(ops), values
    )
    pair = st.tuples(values, values).map(sorted)
    return single | pair.map(lambda two: {"field": key, "op": "between", "value": list(two)})


def names(key: str, values: Any, ops: tuple[str, ...] = ()) -> Leaf:
    """A comparison with one name or a list of them."""

    def leaf(op: str, chosen: list[str]) -> dict[str, Any]:
        return {"field": key, "op": op, "value": chosen if op in ("in", "not_in") else chosen[0]}

    return st.builds(
        leaf,
        st.sampled_from(ops or ("=", "!=", "in", "not_in")),
        st.lists(st.sampled_from(values), min_size=1, max_size=3),
    )


def flags(key: str) -> Leaf:
    """Yes or no."""
    return st.booleans().map(lambda value: {"field": key, "op": "=", "value": value})


def has_any(held: Collection[str], op: str, value: Any) -> bool:
    """A field that holds several things: `=` and `in` ask for one of them, the others for none."""
    wanted = value if isinstance(value, list) else [value]
    return any(one in held for one in wanted) == (op in ("=", "in"))


def any_near(facts: Collection[Any], op: str, value: Any) -> bool:
    """Whether one of several numbers compares so."""
    return any(COMPARE[op](fact, value) for fact in facts)
