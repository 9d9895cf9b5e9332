"""What plans did to a person: touches and enrollments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from sop.models import Enrollment, Touch
from tests.tagging.worlds.leaves import COMPARE, Leaf, has_any, names, numbers

SOPS = ("新客首月", "生日", "节日")

FACTS: dict[str, st.SearchStrategy[Any]] = {
    # Days ago; a plan made ahead has touches on days to come.
    "touches": st.sets(st.integers(-3, 60), max_size=3),
    "sops": st.dictionaries(
        st.sampled_from(range(len(SOPS))),
        st.sampled_from(("active", "completed", "withdrawn")),
        max_size=2,
    ),
}


def rows(town: Any, id_: int, one: Any, day: date) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Touches and enrollments."""
    for ago in one["touches"]:
        yield (
            Touch,
            {"contact_id": id_, "touched_on": day - timedelta(days=ago), "channel": "chat"},
        )
    for place, state in one["sops"].items():
        sop_id, version_id = town.versions[place]
        yield (
            Enrollment,
            {
                "sop_id": sop_id,
                "version_id": version_id,
                "contact_id": id_,
                "anchored_on": day,
                "state": state,
            },
        )


def leaves() -> Leaf:
    """Values near the facts."""
    return numbers("last_touch_days", st.integers(0, 65)) | names("sop_active", SOPS)


def _touched(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    past = [ago for ago in one["touches"] if ago >= 0]
    return bool(past) and COMPARE[op](min(past), value)


def _active(town: Any, one: Any, op: str, value: Any, day: date) -> bool:
    held = {SOPS[place] for place, state in one["sops"].items() if state == "active"}
    return has_any(held, op, value)


READ = {"last_touch_days": _touched, "sop_active": _active}
