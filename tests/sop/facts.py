"""Rows of carts, coupons, points, visits, leads and the like, for the tests of the SOP floor."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import count
from typing import Any

from sqlalchemy.orm import Session

from bot.crm.models import Cart, Coupon, OptOut, PointsChange, SourceEvent, Visit
from content_library.models import ChannelTemplate, CouponTemplate
from sop.models import Appointment, Lead

_numbers = count(1)


def moment(day: date, hour: int = 12) -> datetime:
    """An hour of a Shanghai day."""
    return datetime(day.year, day.month, day.day, hour - 8, tzinfo=UTC)


def add(session: Session, row: Any) -> Any:
    session.add(row)
    session.flush()
    return row


def event(session: Session, kind: str, day: date) -> SourceEvent:
    number = next(_numbers)
    return add(
        session,
        SourceEvent(
            source="pos", event_id=f"e{number}", kind=kind, occurred_at=moment(day), body={}
        ),
    )


def cart(session: Session, contact: Any, day: date, **given: Any) -> Cart:
    number = next(_numbers)
    plain = {
        "source": "pos",
        "cart_id": f"c{number}",
        "contact_id": contact.id,
        "state": "added",
        "opened_at": moment(day),
        "opened_on": day,
        "changed_at": moment(day),
        "event_id": f"e{number}",
        "amount_fen": 500_000,
        "categories": ["对戒"],
        "first_item": "星光对戒",
    }
    return add(session, Cart(**plain | given))


def coupon(session: Session, contact: Any, **given: Any) -> Coupon:
    number = next(_numbers)
    plain = {
        "issuer": "pos",
        "coupon_no": f"N{number}",
        "contact_id": contact.id,
        "state": "issued",
        "template": "生日礼券",
        "value_fen": 20_000,
    }
    return add(session, Coupon(**plain | given))


def points(session: Session, contact: Any, day: date, delta: int, **given: Any) -> PointsChange:
    told = event(session, "points", day)
    plain = {
        "source_event_id": told.id,
        "source": "pos",
        "contact_id": contact.id,
        "delta": delta,
        "changed_at": moment(day),
        "changed_on": day,
        "event_id": told.event_id,
        "remaining": max(delta, 0),
    }
    return add(session, PointsChange(**plain | given))


def visit(session: Session, contact: Any, day: date, **given: Any) -> Visit:
    plain = {
        "contact_id": contact.id,
        "store_code": "",
        "kind": "到店",
        "visited_at": moment(day),
        "visited_on": day,
    }
    return add(session, Visit(**plain | given))


def lead(session: Session, contact: Any, day: date, **given: Any) -> Lead:
    plain = {
        "contact_id": contact.id,
        "guide_id": contact.guide_id,
        "state": "assigned",
        "raised_at": moment(day),
        "raised_on": day,
    }
    return add(session, Lead(**plain | given))


def appointment(session: Session, contact: Any, day: date, **given: Any) -> Appointment:
    plain = {
        "contact_id": contact.id,
        "guide_id": contact.guide_id,
        "state": "booked",
        "slot_at": moment(day, 15),
        "slot_on": day,
    }
    return add(session, Appointment(**plain | given))


def opt_out(session: Session, contact: Any, channel: str, day: date) -> OptOut:
    number = next(_numbers)
    return add(
        session,
        OptOut(
            contact_id=contact.id,
            channel=channel,
            is_out=True,
            source="guide",
            said_at=moment(day),
            event_key=f"k{number}",
        ),
    )


def template(session: Session, name: str, channel: str = "sms") -> ChannelTemplate:
    return add(
        session, ChannelTemplate(name=name, channel=channel, code=f"T{name}", text="您好", data={})
    )


def coupon_template(session: Session, name: str) -> CouponTemplate:
    return add(session, CouponTemplate(name=name, title=name, value_fen=20_000, valid_days=30))
