"""Reminders of what waits for a guide: apart, only while it matters, once however often asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm.models import Brand
from bot.errors import UserError
from bot.outbox import Outbox
from sop import mass_reminders
from sop.send_board import SendKey
from tests.factories import TODAY, Make
from tests.sop.mass_plan import LATE, TEN, Plan, create, plan

__all__ = ["plan"]

HOUR = timedelta(hours=1)


def _key(plan: Plan) -> SendKey:
    return SendKey(plan.step.id, TODAY)


def _reminders(session: Session) -> list[Any]:
    query = select(Outbox).where(Outbox.kind == "mass_reminder").order_by(Outbox.id)
    return list(session.scalars(query))


def test_there_are_never_more_than_three_reminders_in_a_day(
    session: Session, make: Make, plan: Plan
) -> None:
    session.get_one(Brand, 1).settings = {"quiet_hours": "03:10-03:20"}
    create(session, plan, make.guide())
    reminded_at = []
    for hours in range(48):
        now = TEN + hours * HOUR
        try:
            assert mass_reminders.remind(session, _key(plan), None, now) == 1
        except UserError:
            continue
        reminded_at.append(now)
    assert reminded_at[0] == TEN
    for moment in reminded_at:
        day = timedelta(hours=24)
        assert sum(moment <= one < moment + day for one in reminded_at) <= 3
    assert len(_reminders(session)) == len(reminded_at) == 6


def test_what_is_confirmed_or_over_or_has_no_guide_any_more_is_not_reminded_of(
    session: Session, make: Make, plan: Plan
) -> None:
    guide = make.guide()
    send, [task] = create(session, plan, guide)
    for row, name, value in (
        (send, "state", "confirmed"),
        (send, "msgid", None),
        (task, "state", "expired"),
        (guide, "is_active", False),
    ):
        before = getattr(row, name)
        setattr(row, name, value)
        session.flush()
        with pytest.raises(UserError, match="没有可以提醒的导购"):
            mass_reminders.remind(session, _key(plan), None, TEN)
        setattr(row, name, before)
        session.flush()
    assert mass_reminders.remind(session, _key(plan), None, TEN) == 1


def test_a_reminder_ends_where_quiet_hours_begin(session: Session, make: Make, plan: Plan) -> None:
    create(session, plan, make.guide())
    with pytest.raises(UserError, match="免打扰时段（21:00–09:00）"):
        mass_reminders.remind(session, _key(plan), None, LATE)
    mass_reminders.remind(session, _key(plan), None, TEN)
    [call] = _reminders(session)
    assert call.deadline == TEN + 11 * HOUR
