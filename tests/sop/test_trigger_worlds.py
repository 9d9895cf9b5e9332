"""Every trigger that counts days finds whom a person with a calendar and a pencil would find."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from bot.crm.models import Cart, Coupon, Member, PointsChange, Purchase, PurchaseLine
from sop import triggers
from tagging.models import ContactScore
from tests.sop import facts, trigger_worlds
from tests.sop.plans import TODAY
from tests.sop.trigger_worlds import Case

_PEOPLE = 6
_MOST_POINTS = 3 * _PEOPLE


class Town:
    """Contacts that every world dresses anew; `settle` writes, the caller rolls back."""

    def __init__(self, session: Session, make: Any) -> None:
        self.session = session
        guide = make.guide()
        self.ids = [make.contact(guide).id for _ in range(_PEOPLE)]
        self.stores = {code: make.store(code=code).id for code in trigger_worlds.STORES}
        self.events = [facts.event(session, "points", TODAY).id for _ in range(_MOST_POINTS)]
        session.commit()

    def settle(self, case: Case) -> None:
        """The rows of a case's people, a statement for each table."""
        numbers, events = count(1), iter(self.events)
        rows: dict[Any, list[dict[str, Any]]] = {
            model: [] for model in (Member, Purchase, PurchaseLine, Cart, Coupon, PointsChange)
        }
        for id_, person in zip(self.ids, case.people, strict=True):
            rows[Member].append(_member(id_, person))
            for one in person["purchases"]:
                number = next(numbers)
                rows[Purchase].append(self._purchase(number, id_, one))
                rows[PurchaseLine].append(_line(number, one))
            rows[Cart] += [_cart(next(numbers), id_, one) for one in person["carts"]]
            rows[Coupon] += [_coupon(next(numbers), id_, one) for one in person["coupons"]]
            rows[PointsChange] += [_points(next(events), id_, one) for one in person["points"]]
        for model, given_rows in rows.items():
            if given_rows:
                self.session.execute(insert(model), given_rows)
        self.session.execute(
            update(ContactScore),
            [
                {"contact_id": id_, "last_purchased_on": person["bought"]}
                for id_, person in zip(self.ids, case.people, strict=True)
            ],
        )

    def _purchase(self, number: int, id_: int, one: dict[str, Any]) -> dict[str, Any]:
        at: datetime = one["at"]
        return {
            "id": number,
            "source": "pos",
            "order_no": str(number),
            "contact_id": id_,
            "store_id": self.stores.get(one["store"]),
            "amount_fen": one["amount"],
            "refunded_fen": min(one["refunded"], one["amount"]),
            "purchased_at": at,
            "purchased_on": at.date(),
        }


def _line(number: int, one: dict[str, Any]) -> dict[str, Any]:
    return {
        "purchase_id": number,
        "line_no": 1,
        "name": one["category"],
        "category": one["category"],
        "amount_fen": one["amount"],
        "is_returned": one["came_back"],
    }


def _member(id_: int, person: dict[str, Any]) -> dict[str, Any]:
    (born, is_lunar), (since, wed) = (
        person["birth"] or (None, False),
        person["wedding"] or (None,) * 2,
    )
    return {
        "contact_id": id_,
        "birth_month": born and born[0],
        "birth_day": born and born[1],
        "birthday_is_lunar": is_lunar,
        "wedding_year": since,
        "wedding_month": wed and wed[0],
        "wedding_day": wed and wed[1],
        "registered_on": person["joined"],
    }


def _cart(number: int, id_: int, one: dict[str, Any]) -> dict[str, Any]:
    return {
        "source": "pos",
        "cart_id": str(number),
        "contact_id": id_,
        "state": one["state"],
        "opened_at": one["at"],
        "opened_on": one["at"].date(),
        "changed_at": one["at"],
        "event_id": str(number),
        "amount_fen": one["amount"],
        "categories": one["categories"],
    }


def _coupon(number: int, id_: int, one: dict[str, Any]) -> dict[str, Any]:
    return {
        "issuer": "pos",
        "coupon_no": str(number),
        "contact_id": id_,
        "state": one["state"],
        "template": one["template"],
        "expires_on": one["expires"],
    }


def _points(event_id: int, id_: int, one: dict[str, Any]) -> dict[str, Any]:
    return {
        "source_event_id": event_id,
        "source": "pos",
        "contact_id": id_,
        "delta": 100,
        "changed_at": facts.moment(TODAY),
        "changed_on": TODAY,
        "event_id": str(event_id),
        "expires_on": one["expires"],
        "remaining": one["left"],
    }


def test_each_trigger_finds_whom_a_plain_reading_finds(session: Session, make: Any) -> None:
    town, hits = Town(session, make), Counter[str]()

    # A world does not become simpler in any useful time.
    @settings(
        max_examples=40,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(trigger_worlds.cases())
    def compare(case: Case) -> None:
        try:
            town.settle(case)
            for kind, asked in case.asked.items():
                query = triggers.TRIGGERS[kind].due(case.first, case.last, {"kind": kind, **asked})
                found = {(row.contact_id, row.anchored_on) for row in session.execute(query)}
                wanted = {(town.ids[number], on) for number, on in trigger_worlds.plain(case, kind)}
                assert found == wanted, (kind, asked, case.first, case.last)
                hits.update({kind} if wanted else ())
        finally:
            session.rollback()

    compare()
    # Worlds in which nobody is found would prove nothing.
    assert set(hits) == set(trigger_worlds.ASKED)


@pytest.mark.parametrize(
    ("year", "month", "day", "kept_on"),
    [
        # The twelfth month that ends in February 2026 has 29 days; its 30th is its last day.
        (2026, 12, 30, date(2026, 2, 16)),
        # 2025 has a second sixth month, 2028 a second fifth one; neither is kept again.
        (2025, 6, 1, date(2025, 6, 25)),
        (2028, 5, 1, date(2028, 5, 24)),
    ],
)
def test_a_lunar_birthday_is_kept_once_a_year(
    session: Session, make: Any, year: int, month: int, day: int, kept_on: date
) -> None:
    contact = make.contact(make.guide())
    make.member(contact, birth_month=month, birth_day=day, birthday_is_lunar=True)
    window = date(year, 1, 20), date(year, 12, 31)
    rows = session.execute(triggers.TRIGGERS["birthday"].due(*window, {"kind": "birthday"}))
    assert [row.anchored_on for row in rows] == [kept_on]
