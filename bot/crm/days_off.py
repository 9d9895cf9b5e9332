"""Days on which a guide does not work (休息日), as she says herself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot.crm.models import GuideDayOff


def take(session: Session, guide_id: int, days: Sequence[date]) -> None:
    """She is off on these days; saying it twice is saying it once."""
    rows = [{"guide_id": guide_id, "day": day} for day in sorted(set(days))]
    if rows:
        session.execute(insert(GuideDayOff).values(rows).on_conflict_do_nothing())


def give_back(session: Session, guide_id: int, days: Sequence[date]) -> None:
    """She works on these days after all."""
    session.execute(
        delete(GuideDayOff).where(GuideDayOff.guide_id == guide_id, GuideDayOff.day.in_(days))
    )


def coming(session: Session, guide_id: int, day: date, limit: int = 10) -> list[date]:
    """Her next days off, from `day` on."""
    return list(
        session.scalars(
            select(GuideDayOff.day)
            .where(GuideDayOff.guide_id == guide_id, GuideDayOff.day >= day)
            .order_by(GuideDayOff.day)
            .limit(limit)
        )
    )
