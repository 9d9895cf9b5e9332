"""A plan that machines carry out, its templates, and the call in a worker's hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import leases
from bot.clock import at
from bot.crm import mobiles
from bot.crm.models import Contact
from bot.outbox import Delivery, Outbox
from content_library.models import ChannelTemplate
from sop import sends
from sop.models import Task, Touch
from tests.factories import TODAY, Make
from tests.sop import plans
from tests.sop.plans import days_ago, night, publish

KEY = "a key of the tests"
TEN = at(TODAY, 10)


@pytest.fixture
def templates(session: Session, make: Make) -> None:
    make._add(
        ChannelTemplate(
            name="短信",
            channel="sms",
            code="SMS_1",
            signature="星河珠宝",
            text="{客户称呼}您好，退订回TD",
            data={"name": "{客户称呼}"},
        )
    )
    make._add(
        ChannelTemplate(
            name="消息",
            channel="template_message",
            code="T1",
            data={"thing1": "{客户称呼}"},
            url="https://example.com/a",
        )
    )


def customers(make: Make, count: int = 1) -> list[Contact]:
    """People who were added yesterday, with a mobile number."""
    guide = make.guide()
    found = []
    for _ in range(count):
        contact = make.contact(guide, followed_on=days_ago(1), name="李雷", gender=1)
        sealed = mobiles.seal_mobile(f"138{contact.id:08}", KEY)
        make.member(contact, mobile_sealed=sealed, name="李雷")
        found.append(contact)
    return found


def plan(session: Session, kind: Any = "sms", template: Any = "短信", **more: Any) -> None:
    step = {"day": 1, "kind": kind, "title": "回访", "template": template, **more}
    publish(session, plans.spec("回访", {"kind": "followed"}, step))
    night(session)


def due(session: Session, now: datetime = TEN) -> int:
    count = sends.queue_due(session, now)
    session.commit()
    return count


def task(session: Session) -> Task:
    [found] = tasks(session)
    return found


def tasks(session: Session) -> Sequence[Task]:
    query = select(Task).order_by(Task.id).execution_options(populate_existing=True)
    return session.scalars(query).all()


def held(session: Session, now: datetime = TEN) -> Delivery:
    """The one call in a worker's hand."""
    [found] = leases.claim(session, "send", now=now, most=10)
    return found


def touches(session: Session) -> list[tuple[str, date]]:
    return [(one.channel, one.touched_on) for one in session.scalars(select(Touch))]


def calls(session: Session) -> Sequence[Outbox]:
    return session.scalars(select(Outbox).order_by(Outbox.id)).all()
