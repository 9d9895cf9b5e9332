"""SOPs of a pack: a changed one becomes a new published version, an equal one changes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.errors import UserError
from handlers.brand_pack.reading import Map, Seq, fail, plain
from sop import specs, versions
from sop.models import Reach, Sop, SopVersion, VersionState


def load(session: Session, pack: Map, *, by: str, now: datetime) -> int:
    """Publish every SOP whose spec differs from its published version; returns how many."""
    count = 0
    for item in pack.get("sops", Seq()):
        spec = plain(item)
        published = session.execute(
            select(Sop.id, SopVersion.id)
            .join(SopVersion, SopVersion.sop_id == Sop.id)
            .where(Sop.name == item["name"], SopVersion.state == VersionState.PUBLISHED)
        ).one_or_none()
        try:
            if published and specs.spec_of(session, published[1]) == specs.normal(spec):
                continue
            draft = versions.save_draft(session, item["name"], spec, by)
            versions.publish(session, draft.sop_id, Reach.NEW_ONLY, by, now)
        except UserError as error:
            fail(item.line, f"SOP「{item['name']}」{error.message_zh}")
        count += 1
    return count


def dump(session: Session) -> dict[str, Any]:
    """Every published SOP as its spec."""
    found = session.execute(
        select(SopVersion.id)
        .join(Sop, Sop.id == SopVersion.sop_id)
        .where(SopVersion.state == VersionState.PUBLISHED)
        .order_by(Sop.id)
    )
    return {"sops": [specs.spec_of(session, version_id) for (version_id,) in found]}
