"""Signs of life of a person, what she refused, and where she lives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from bot.crm.models import ContactActivity, OptOut
from tests.tagging.worlds.leaves import COMPARE, Leaf, names, numbers

CHANNELS = ("all", "chat", "mass_message", "sms", "template_message")
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_ago = st.none() | st.integers(0, 200)

FACTS: dict[str, st.SearchStrategy[Any]] = {
    "activity": st.none() | st.tuples(_ago, _ago, _ago),
    "refused": st.dictionaries(st.sampled_from(CHANNELS), st.booleans(), max_size=2),
    # Near the first store, near the second one, or half known. Written with the member data.
    "home": st.none()
    | st.tuples(st.floats(31.1, 31.4), st.floats(121.3, 121.6))
    | st.tuples(st.floats(30, 31), st.none()),
}


def rows(town: Any, id_: int, one: Any, day: date) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The newest days, and the words about channels."""
    if one["activity"] is not None:
        days = [None if ago is None else day - timedelta(days=ago) for ago in one["activity"]]
        kinds = ("replied_on", "visited_on", "viewed_on")
        yield ContactActivity, {"contact_id": id_, **dict(zip(kinds, days, strict=True))}
    for channel, is_out in one["refused"].items():
        yield (
            OptOut,
            {
                "contact_id": id_,
                "channel": channel,
                "is_out": is_out,
                "source": "event",
                "said_at": _AT,
                "event_key": "e",
            },
        )


def leaves() -> Leaf:
    """Values near the facts."""
    days = st.integers(0, 210)
    km = st.integers(0, 400).map(lambda tenths: tenths / 10) | st.sampled_from((1600, 1700.5))
    return st.one_of(
        numbers("replied_days", days),
        numbers("visited_days", days),
        numbers("viewed_days", days),
        names("opted_out", CHANNELS),
        numbers("distance_to_store_km", km, (">", ">=", "<", "<=")),
    )


def _since(place: int) -> Any:
    def read(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
        ago = None if one["activity"] is None else one["activity"][place]
        return ago is not None and COMPARE[op](ago, value)

    return read


def _refused(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    out = {channel for channel, is_out in one["refused"].items() if is_out}
    wanted = value if isinstance(value, list) else [value]
    return ("all" in out or any(each in out for each in wanted)) == (op in ("=", "in"))


def _distance(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    if one["member"] is None or one["home"] is None or one["guide"] is None:
        return False
    latitude, longitude = one["home"]
    store = town.stores[one["guide"]]
    if longitude is None or store.latitude is None:
        return False
    # The spherical law by chords instead of the formula of the product.
    angles = [math.radians(each) for each in (latitude, longitude, store.latitude, store.longitude)]
    here, there = _point(*angles[:2]), _point(*angles[2:])
    km = 2 * 6371.0088 * math.asin(math.dist(here, there) / 2)
    return COMPARE[op](math.floor(km * 10) / 10, value)


def _point(latitude: float, longitude: float) -> tuple[float, float, float]:
    flat = math.cos(latitude)
    return flat * math.cos(longitude), flat * math.sin(longitude), math.sin(latitude)


READ = {
    "replied_days": _since(0),
    "visited_days": _since(1),
    "viewed_days": _since(2),
    "opted_out": _refused,
    "distance_to_store_km": _distance,
}
