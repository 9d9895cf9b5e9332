"""The town every random world shares, and the people settled in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from bot.crm import calendar
from bot.crm.models import Contact, FestivalDay, SourceEvent
from sop.models import Sop, SopVersion
from tests.factories import Make
from tests.tagging.worlds import orders, people, plans, rewards, signs
from tests.tagging.worlds.people import TAGS
from tests.tagging.worlds.plans import SOPS

#: What a person is made of; each gives `FACTS`, `rows`, `leaves` and `READ`.
NOUNS = (people, orders, rewards, plans, signs)
WINDOW_DAYS = 10
_MOST_EVENTS = 60


_AT = datetime(2020, 1, 1, tzinfo=UTC)


def persons() -> st.SearchStrategy[dict[str, Any]]:
    """A person as plain facts; days are ages as of the day asked about."""
    return st.fixed_dictionaries(
        {key: value for noun in NOUNS for key, value in noun.FACTS.items()}
    )


class Town:
    """Stores, guides, codes and tags that every world shares."""

    def __init__(self, session: Session) -> None:
        make = Make(session)
        east, west = make.region(code="east"), make.region(code="west")
        make.brand(festival_window_days=WINDOW_DAYS)
        self.stores = [
            make.store(
                code="SH001", tier="A", region_id=east.id, latitude=31.2304, longitude=121.4737
            ),
            make.store(
                code="CD001", tier=None, region_id=west.id, latitude=30.6571, longitude=104.0665
            ),
            make.store(code="XX001", tier="B", region_id=None),
        ]
        self.regions = ["east", "west", None]
        self.guides = [make.guide(store) for store in self.stores]
        self.codes = [make.channel_code(state="cashier"), make.channel_code(state="window")]
        self.tags = [make.tag(path) for path in TAGS]
        calendar.extend(session, date(2026, 1, 1))
        self.festivals: dict[str, list[date]] = defaultdict(list)
        for name, held_on in session.execute(select(FestivalDay.name, FestivalDay.held_on)):
            self.festivals[name].append(held_on)
        self.window_days = WINDOW_DAYS
        self.versions = [self._sop(session, name) for name in SOPS]
        self.events = [self._event(session, number) for number in range(_MOST_EVENTS)]
        session.commit()
        self._free_events = iter(self.events)

    def _sop(self, session: Session, name: str) -> tuple[int, int]:
        sop = Sop(name=name)
        session.add(sop)
        session.flush()
        version = SopVersion(
            sop_id=sop.id, number=1, state="published", trigger={"kind": "birthday"}
        )
        session.add(version)
        session.flush()
        return sop.id, version.id

    def _event(self, session: Session, number: int) -> int:
        event = SourceEvent(
            source="pos", event_id=f"e{number}", kind="points", occurred_at=_AT, body={}
        )
        session.add(event)
        session.flush()
        return event.id

    def event(self) -> int:
        """A receipt that stands under no other row of this world."""
        return next(self._free_events)

    def settle(self, session: Session, everybody: list[dict[str, Any]], day: date) -> list[int]:
        """Write the people; returns their contact ids in order."""
        contacts = [
            {
                "external_userid": f"wm{number}",
                "gender": one["gender"],
                "guide_id": None if one["guide"] is None else self.guides[one["guide"]].id,
                "followed_on": None
                if one["guide"] is None
                else day - timedelta(days=one["followed"]),
                "channel_code_id": None
                if one["channel"] is None
                else self.codes[one["channel"]].id,
            }
            for number, one in enumerate(everybody)
        ]
        ids = list(
            session.scalars(
                insert(Contact).returning(Contact.id, sort_by_parameter_order=True), contacts
            )
        )
        self._free_events = iter(self.events)
        rows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for id_, one in zip(ids, everybody, strict=True):
            for table, row in self._rows(id_, one, day):
                rows[table].append(row)
        for table, values in rows.items():
            session.execute(insert(table), values)
        return ids

    def _rows(
        self, id_: int, one: dict[str, Any], day: date
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        for noun in NOUNS:
            yield from noun.rows(self, id_, one, day)
