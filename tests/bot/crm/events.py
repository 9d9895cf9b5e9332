"""Events as a till or a mall sends them, and the people they are about, for the tests of facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from bot.crm import intake
from bot.crm.models import Contact

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
#: Thirty days ago, 12:00 in Shanghai; `at` counts minutes from here.
START = NOW - timedelta(days=30)
KEY = "a secret key of the tests"


def event(type, id, who=None, /, *, at=0, **given):
    return {
        "id": id,
        "source": "pos",
        "type": type,
        "occurred_at": (START + timedelta(minutes=at)).isoformat(),
        "who": {"member_no": "M1"} if who is None else who,
        **given,
    }


def line(name="对戒", category="对戒", amount_fen=100_000, **given):
    return {"name": name, "category": category, "amount_fen": amount_fen, **given}


def purchase(id="e1", order_no="O1", amount=128_000, who=None, **given):
    filled = {"order_no": order_no, "lines": [line(amount_fen=amount)], "amount_fen": amount}
    return event("purchase", id, who, **(filled | given))


def member(id="m1", member_no="M1", **given):
    return event("member", id, {"member_no": member_no}, member_no=member_no, **given)


def merged(id, kept, gone, **given):
    return event("member_merged", id, {}, member_no=kept, merged_member_no=gone, **given)


def receive(session, *events):
    return intake.receive(session, list(events), now=NOW, secret_key=KEY)


def accept(session, *events):
    """Receive events that have nothing wrong."""
    result = receive(session, *events)
    assert result.rejected == []
    return result


def error_of(session, one):
    """The sentence with which one event is refused."""
    result = receive(session, one)
    assert result.accepted == 0
    (rejection,) = result.rejected
    return rejection.error


def the(session, model):
    session.expire_all()
    return session.scalars(select(model)).one()


def rows(session, model):
    session.expire_all()
    return session.scalars(select(model).order_by(model.id)).all()


def live_contacts(session):
    session.expire_all()
    return session.scalars(
        select(Contact).where(Contact.merged_into_id.is_(None)).order_by(Contact.id)
    ).all()
