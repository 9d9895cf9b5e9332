"""Whom a night counts again (重算名单): those whose facts changed or whose day has come.

Whoever writes a fact marks its contact in the same transaction (`bot.crm.changes`), and whoever
takes a mark counts the contact, so between two nights nobody else's totals can have changed. The
night therefore counts again only contacts that are marked still, contacts without a score row, and
contacts who pass a limit of days today. Everybody is counted when there is no night to build on:
the first one, after a change of the settings or of the way of counting, or for an earlier day. And
a slice of all is counted every night, so that whatever went past the marks is found in a month.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Table, select, text, union
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot.crm.brand import BrandSettings
from bot.crm.models import ChangedContact, Contact
from tagging import churn, lifecycle, tier
from tagging.models import ContactScore, ScoreBasis

#: Another number with every change of what a score row says: everybody is counted anew then.
COUNTING = 3
_SLICES = 30
_NAME = "to_count"
#: The list of one night, a table of its transaction.
TO_COUNT = Table(_NAME, MetaData(), Column("contact_id", BigInteger))


def is_whole(session: Session, day: date, limits: BrandSettings) -> bool:
    """Whether everybody has to be counted, nothing being there to build on."""
    basis = session.get(ScoreBasis, 1, populate_existing=True)
    return basis is None or basis.settings != _settings(limits) or basis.day > day


def gather(session: Session, day: date, limits: BrandSettings) -> None:
    """Write the list of those to be counted again into `TO_COUNT`."""
    basis = session.get_one(ScoreBasis, 1)
    drop(session)
    has_row = select(ContactScore.contact_id).where(ContactScore.contact_id == Contact.id).exists()
    found = union(
        select(ChangedContact.contact_id),
        select(Contact.id).where(~has_row),
        *lifecycle.passing(basis.day, day, limits.lifecycle),
        *churn.passing(basis.day, day, limits.churn, limits.lifecycle),
        *tier.passing(basis.day, day),
        select(Contact.id).where(Contact.id % _SLICES == day.toordinal() % _SLICES),
    ).subquery("found")
    session.execute(select(found.c.contact_id).into(_NAME, temporary=True))
    session.execute(text(f"ANALYZE pg_temp.{_NAME}"))


def drop(session: Session) -> None:
    """Forget the list."""
    session.execute(text(f"DROP TABLE IF EXISTS pg_temp.{_NAME}"))


def remember(session: Session, day: date, limits: BrandSettings) -> None:
    """Keep what the scores of everybody stand on now."""
    row = insert(ScoreBasis).values(id=1, day=day, settings=_settings(limits))
    session.execute(
        row.on_conflict_do_update(
            index_elements=[ScoreBasis.id],
            set_={"day": row.excluded.day, "settings": row.excluded.settings},
        )
    )


def _settings(limits: BrandSettings) -> dict[str, Any]:
    return {
        "counting": COUNTING,
        "lifecycle": asdict(limits.lifecycle),
        "tier": asdict(limits.tier),
        "churn": asdict(limits.churn),
    }
