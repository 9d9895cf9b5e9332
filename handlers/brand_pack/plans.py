"""SOPs of a pack: a changed one becomes a new published version, an equal one changes nothing."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot.errors import UserError
from handlers.brand_pack import terms
from handlers.brand_pack.reading import Map, Seq, fail, line_at, plain
from sop import specs, versions
from sop.models import Reach, Sop, SopVersion, VersionState
from tagging import conditions

# The keys that `versions` gives to steps by itself; a pack need not say them.
_OWN_KEY = re.compile(r"s[0-9]+")


def load_names(session: Session, pack: Map) -> None:
    """Make the SOPs of the pack that are not there yet, without a version; `load` writes them."""
    names = [item["name"].strip() for item in pack.get("sops", Seq())]
    rows = [{"name": name} for name in dict.fromkeys(names) if name]
    if rows:
        statement = insert(Sop).values(rows)
        session.execute(statement.on_conflict_do_nothing(index_elements=["name"]))


def load(session: Session, pack: Map, *, by: str, now: datetime) -> int:
    """Publish every SOP whose spec differs from its published version; returns how many."""
    count = 0
    lookup = conditions.load_lookup(session)
    for item in pack.get("sops", Seq()):
        terms.check(item, "audience", lookup)
        spec = plain(item)
        try:
            wanted = specs.settle(session, spec)
            if _stands(session, spec, wanted):
                continue
            draft = versions.save_draft(session, item["name"], spec, by)
            versions.publish(session, draft.sop_id, Reach.NEW_ONLY, by, now)
        except UserError as error:
            fail(_line(item, error), f"SOP「{item['name']}」{error.message_zh}")
        count += 1
    return count


def _stands(session: Session, spec: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether the published version of this name says what is wanted, keys of steps included."""
    published = session.scalar(
        select(SopVersion.id)
        .join(Sop, Sop.id == SopVersion.sop_id)
        .where(Sop.name == spec["name"], SopVersion.state == VersionState.PUBLISHED)
    )
    if published is None or specs.spec_of(session, published) != wanted:
        return False
    kept = specs.spec_of(session, published, with_keys=True)["steps"]
    return all(
        step.get("key") in (None, stored["key"])
        for step, stored in zip(spec["steps"], kept, strict=True)
    )


def _line(item: Map, error: UserError) -> int:
    path = error.field or "name"
    parts = path.split(".")
    if (
        parts[0] == "steps"
        and len(parts) == 2
        and isinstance(step := item["steps"][int(parts[1])], Map)
    ):
        # An error about a step as a whole is a key it should not have.
        unknown = next((key for key in step if key not in specs.STEP_KEYS), None)
        path = path if unknown is None else f"{path}.{unknown}"
    return line_at(item, path)


def dump(session: Session) -> dict[str, Any]:
    """Every published SOP as its spec."""
    found = session.scalars(
        select(SopVersion.id)
        .join(Sop, Sop.id == SopVersion.sop_id)
        .where(SopVersion.state == VersionState.PUBLISHED)
        .order_by(Sop.id)
    )
    return {"sops": [_spec(session, version_id) for version_id in found]}


def _spec(session: Session, version_id: int) -> dict[str, Any]:
    spec = specs.spec_of(session, version_id)
    kept = specs.spec_of(session, version_id, with_keys=True)["steps"]
    for step, stored in zip(spec["steps"], kept, strict=True):
        if not _OWN_KEY.fullmatch(stored["key"]):
            step["key"] = stored["key"]
    return spec
