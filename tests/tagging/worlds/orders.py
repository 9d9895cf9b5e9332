"""What a person bought, order by order: spans, festivals, stores, refunds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from typing import Any

from hypothesis import strategies as st

from bot.crm.models import Purchase
from tests.tagging.worlds.leaves import Leaf, flags, has_any, names

FESTIVALS = ("七夕", "春节", "520")
_numbers = count(1)

_when = st.integers(-2, 900) | st.tuples(
    st.sampled_from(FESTIVALS), st.integers(0, 3), st.integers(-3, 13)
)
_order = st.fixed_dictionaries(
    {
        "when": _when,
        "amount": st.sampled_from((0, 100, 5000)),
        "refunded": st.sampled_from((0, 0, 0, 100, 5000)),
        "store": st.none() | st.integers(0, 2),
    }
).map(lambda one: {**one, "refunded": min(one["refunded"], one["amount"])})
FACTS: dict[str, st.SearchStrategy[Any]] = {"orders": st.lists(_order, max_size=3)}


def bought_on(town: Any, order: Any, day: date) -> date:
    """The day of an order: so many days ago, or so many days before some past festival."""
    if isinstance(order["when"], int):
        return day - timedelta(days=order["when"])
    name, years, before = order["when"]
    held = max(on for on in town.festivals[name] if on.year <= min(day.year - years, 2029))
    return held - timedelta(days=before)


def bought_at(town: Any, order: Any, day: date) -> datetime:
    """Noon in Shanghai."""
    return datetime.combine(bought_on(town, order, day), time(4), tzinfo=UTC)


def kept(one: Any) -> list[Any]:
    """The orders of which something is left."""
    return [order for order in one["orders"] if order["amount"] > order["refunded"]]


def rows(town: Any, id_: int, one: Any, day: date) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The orders."""
    for order in one["orders"]:
        yield (
            Purchase,
            {
                "source": "pos",
                "order_no": f"W{next(_numbers)}",
                "contact_id": id_,
                "store_id": None if order["store"] is None else town.stores[order["store"]].id,
                "amount_fen": order["amount"],
                "refunded_fen": order["refunded"],
                "purchased_at": bought_at(town, order, day),
                "purchased_on": bought_on(town, order, day),
            },
        )


def leaves() -> Leaf:
    """Spans of all lengths, and the names."""
    days = st.dates(date(2023, 1, 1), date(2029, 12, 31))
    span = st.tuples(days, st.integers(0, 400)).map(
        lambda two: [two[0].isoformat(), (two[0] + timedelta(days=two[1])).isoformat()]
    )
    return st.one_of(
        st.builds(
            lambda op, value: {"field": "bought_between", "op": op, "value": value},
            st.sampled_from(("=", "!=")),
            span,
        ),
        names("bought_in_festival", FESTIVALS),
        names("bought_in_store", ("SH001", "CD001", "XX001")),
        flags("refunded"),
    )


def _between(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    found = any(
        value[0] <= bought_on(town, each, day).isoformat() <= value[1] for each in kept(one)
    )
    return found == (op == "=")


def _in_festival(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    held = {
        name
        for name, days in town.festivals.items()
        for order in kept(one)
        for on in days
        if 0 <= (on - bought_on(town, order, day)).days <= town.window_days
    }
    return has_any(held, op, value)


def _in_store(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    held = {town.stores[each["store"]].code for each in kept(one) if each["store"] is not None}
    return has_any(held, op, value)


def _refunded(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    return any(order["refunded"] > 0 for order in one["orders"]) is value


READ = {
    "bought_between": _between,
    "bought_in_festival": _in_festival,
    "bought_in_store": _in_store,
    "refunded": _refunded,
}
