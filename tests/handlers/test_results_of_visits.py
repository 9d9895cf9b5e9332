"""「结果 王女士 成交」: which appointment a guide means when a customer has several, or none."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select

from bot.clock import at, business_day
from bot.crm.models import TimelineEntry
from bot.db import transaction
from sop.models import Appointment
from tests.handlers.test_chat_of_leads import _ask, _contact
from tests.talk import Talk, rows, talk

__all__ = ["talk"]

DAY = timedelta(days=1)


def _slot(talk: Talk, contact_id: int, moment: datetime | None, **more: object) -> int:
    with transaction(talk.sessions) as session:
        row = Appointment(
            contact_id=contact_id,
            guide_id=talk.guide_id,
            slot_at=moment,
            slot_on=None if moment is None else business_day(moment),
            **{"state": "booked", **more},
        )
        session.add(row)
        session.flush()
        return row.id


def _outcomes(talk: Talk) -> list[str | None]:
    return list(rows(talk.sessions, select(Appointment.outcome).order_by(Appointment.id)))


def _today(talk: Talk, hour: int) -> datetime:
    return at(business_day(talk.clock.now()), hour)


def test_the_result_of_a_walk_in_is_not_written_onto_a_booking_of_next_week(talk: Talk) -> None:
    contact_id = _contact(talk, "王女士")
    _slot(talk, contact_id, _today(talk, 15) + 7 * DAY)
    _ask(talk, "到店 王女士")
    assert "王女士的结果：再看看" in _ask(talk, "结果 王女士 再看看")
    assert "王女士的结果：成交" in _ask(talk, "结果 王女士 成交")
    assert _outcomes(talk) == [None]
    told = select(TimelineEntry.text).where(TimelineEntry.text.startswith("到店结果"))
    assert rows(talk.sessions, told) == ["到店结果：成交"]


def test_a_booking_to_come_alone_has_no_result(talk: Talk) -> None:
    contact_id = _contact(talk, "王女士")
    _slot(talk, contact_id, _today(talk, 15) + DAY)
    assert "还没有邀约" in _ask(talk, "结果 王女士 成交")
    assert _outcomes(talk) == [None]


def test_the_appointment_of_today_is_meant_before_any_other(talk: Talk) -> None:
    contact_id = _contact(talk, "王女士")
    for days in (-3, 0, 3):
        _slot(talk, contact_id, _today(talk, 15) + days * DAY)
    _ask(talk, "结果 王女士 成交")
    assert _outcomes(talk) == [None, "成交", None]


def test_without_one_of_today_the_last_that_is_past_and_open_is_meant(talk: Talk) -> None:
    contact_id = _contact(talk, "王女士")
    for days, more in (
        (-9, {"state": "missed"}),
        (-5, {"state": "arrived", "arrived_at": _today(talk, 15) - 5 * DAY}),
        (-2, {"state": "missed", "outcome": "不来了"}),
        (-1, {"state": "cancelled"}),
        (2, {}),
    ):
        _slot(talk, contact_id, _today(talk, 15) + days * DAY, **more)
    _ask(talk, "结果 王女士 成交")
    assert _outcomes(talk) == [None, "成交", "不来了", None, None]


def test_of_two_visits_on_one_day_the_guide_is_asked_which(talk: Talk) -> None:
    contact_id = _contact(talk, "王女士")
    for hour in (11, 15):
        moment = _today(talk, hour)
        _slot(talk, contact_id, moment, state="arrived", arrived_at=moment)
    said = _ask(talk, "结果 王女士 成交")
    assert "王女士今天有 2 个预约（11:00、15:00）" in said
    assert "结果 王女士 11:00 成交" in said
    assert _outcomes(talk) == [None, None]
    assert "王女士的结果：成交" in _ask(talk, "结果 王女士 15:00 成交")
    assert _outcomes(talk) == [None, "成交"]


def test_who_came_is_meant_before_who_is_expected_in_the_afternoon(talk: Talk) -> None:
    contact_id = _contact(talk, "王女士")
    morning = _today(talk, 10)
    _slot(talk, contact_id, morning, state="arrived", arrived_at=morning)
    _slot(talk, contact_id, _today(talk, 16))
    _ask(talk, "结果 王女士 成交")
    assert _outcomes(talk) == ["成交", None]
