"""Leads of the model (线索): what people do raises them, what they buy or refuse ends them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from tests.year.model.person import Lead, Person

_CATCH_UP, _RETURN_DAYS, _LIVES_DAYS = 3, 180, 14
_LEAST_SECONDS = 10
#: (when, key)
Signal = tuple[datetime, str]


def raise_due(person: Person, now: datetime) -> None:
    """Bring a person's lead up to `now`: refused, raised or grown, won, expired."""
    refuses = bool(person.refused & {"all", "chat"})
    if person.lead is not None and refuses and not person.lead.said:
        person.lead = None
    if not refuses:
        for seen, key in _signals(person, now):
            if key not in person.signals and not _bought_after(person, seen):
                _count(person, seen, key, now)
    lead = person.lead
    if lead is None:
        return
    oldest = now - timedelta(days=_LIVES_DAYS)
    won = any(order.at >= lead.raised_at for order in person.kept)
    if won or (lead.raised_at < oldest and not any(seen >= oldest for seen in lead.seen)):
        person.lead = None


def say(person: Person, key: str, now: datetime) -> None:
    """She asks for something, or leaves the store with a strong wish."""
    if key not in person.signals:
        _count(person, now, key, now).said = True


def _count(person: Person, seen: datetime, key: str, now: datetime) -> Lead:
    person.signals.add(key)
    if person.lead is None:
        person.lead = Lead(now, person.guide)
    person.lead.seen.append(seen)
    return person.lead


def _signals(person: Person, now: datetime) -> Iterator[Signal]:
    """What the last days saw, one behavior after the other."""
    first = now.date() - timedelta(days=_CATCH_UP)

    def is_fresh(moment: datetime) -> bool:
        return first <= moment.date() <= now.date() and moment <= now

    for place, (at, seconds) in enumerate(person.views):
        if is_fresh(at) and seconds >= _LEAST_SECONDS:
            yield at, f"view:{place}"
    for cart in person.carts:
        if cart.is_open and is_fresh(cart.at):
            yield cart.at, f"cart:{cart.cart_id}"
    returned = sorted(_returns(person, first, now))
    if returned and returned[0][0] <= now:
        yield returned[0]
    for visit in person.visits:
        if visit.kind != "线上" and is_fresh(visit.at):
            yield visit.at, f"visit:{visit.at.date()}:{visit.store}"


def _returns(person: Person, first: date, now: datetime) -> Iterator[Signal]:
    """Who buys or comes after half a year of silence."""
    bought = [order.at for order in person.kept]
    came = [visit.at for visit in person.visits if visit.kind != "线上"]
    days = {at.date() for at in bought} | {visit.at.date() for visit in person.visits}
    for at in (*bought, *came):
        before = max((day for day in days if day < at.date()), default=None)
        is_fresh = first <= at.date() <= now.date()
        if before is not None and is_fresh and (at.date() - before).days >= _RETURN_DAYS:
            yield at, f"return:{before}"


def _bought_after(person: Person, seen: datetime) -> bool:
    return any(order.at > seen for order in person.kept)
