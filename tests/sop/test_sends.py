"""What machines send: due once, to whom has not refused, and ended by the carrier's answer."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from bot.clock import at
from bot.crm import opt_outs
from bot.crm.models import Member, OptOutChannel, TimelineEntry
from bot.outbox import CallState, Outbox
from bot.sms import Code
from content_library.models import ChannelTemplate
from sop import mass_sends, planning, send_results
from sop.quiet import QuietHours
from tests.factories import TODAY
from tests.fixtures_db import counting
from tests.sop.machines import (
    TEN,
    calls,
    customers,
    due,
    held,
    plan,
    task,
    templates,
    touches,
)
from tests.sop.plans import night

__all__ = ["templates"]


def test_the_night_writes_the_words_and_the_day_sends_them_once(session, make, templates):
    [contact] = customers(make)
    plan(session)
    one = task(session)
    assert (one.state, one.carrier, one.words) == (
        "open",
        "machine",
        "【星河珠宝】李先生您好，退订回TD",
    )
    assert touches(session) == [("sms", TODAY)]
    assert calls(session) == []
    assert due(session, at(TODAY, 9, 59)) == 0
    assert due(session) == 1
    assert due(session) == 0
    [call] = calls(session)
    body = json.loads(call.body)
    assert (call.kind, call.deadline) == ("sms", at(TODAY, 21))
    assert body["message_id"] == f"t{one.id}"
    assert (body["template"], body["params"]) == ("SMS_1", {"name": "李先生"})
    assert f"{contact.id:08}" not in call.body.decode()


def test_a_message_that_left_ends_its_task_and_is_told_once(session, make, templates):
    [contact] = customers(make)
    plan(session)
    due(session)
    delivery = held(session)
    for _ in range(2):
        send_results.sent(session, replace(delivery, state=CallState.DONE, result={"code": 0}))
    one = task(session)
    assert (one.state, one.sent_at, one.ended_at) == ("done", TEN, TEN)
    assert touches(session) == [("sms", TODAY)]
    told = select(TimelineEntry.text).where(
        TimelineEntry.contact_id == contact.id, TimelineEntry.kind == "task"
    )
    assert session.scalars(told).all() == ["短信发出了「回访」"]


def test_who_refused_after_the_plan_was_made_gets_nothing(session, make, templates):
    [contact] = customers(make)
    plan(session)
    opt_outs.refuse(session, contact.id, OptOutChannel.SMS, source="kf", at=at(TODAY, 9))
    assert due(session) == 1
    one = task(session)
    assert (one.state, one.state_reason) == ("withdrawn", "客户已退订短信")
    assert (touches(session), calls(session)) == ([], [])
    assert due(session) == 0


def test_a_message_that_waits_for_its_carrier_is_taken_back_when_she_refuses(
    session, make, templates
):
    [contact] = customers(make)
    plan(session)
    due(session)
    opt_outs.refuse(session, contact.id, OptOutChannel.SMS, source="kf", at=TEN)
    planning.plan(session, TODAY, at(TODAY, 10, 1), [contact.id])
    session.commit()
    assert (task(session).state, touches(session)) == ("withdrawn", [])
    due(session, at(TODAY, 10, 2))
    session.expire_all()
    assert [call.state for call in calls(session)] == ["cancelled"]


def test_who_has_no_number_any_more_is_told_of_as_a_reason(session, make, templates):
    customers(make)
    plan(session)
    session.execute(update(Member).values(mobile_sealed=None))
    due(session)
    one = task(session)
    assert (one.state, one.state_reason) == ("expired", "没有可用的联系方式：没有手机号")
    assert (touches(session), calls(session)) == ([], [])


def test_a_template_that_hq_took_away_ends_the_task(session, make, templates):
    customers(make)
    plan(session)
    session.execute(update(ChannelTemplate).values(is_active=False))
    due(session)
    assert task(session).state_reason == "没有可用的模板"


@pytest.mark.parametrize(
    ("state", "code", "ended", "keeps_claim", "refuses"),
    [
        (CallState.DEAD, Code.UNKNOWN_TEMPLATE, "expired", False, False),
        (CallState.CANCELLED, Code.WRONG_MOBILE, "expired", False, False),
        (CallState.CANCELLED, Code.REFUSED_BY_RECEIVER, "expired", False, True),
        (CallState.UNKNOWN, None, "expired", True, False),
        (CallState.EXPIRED, None, "open", True, False),
    ],
)
def test_how_a_call_failed_says_what_becomes_of_its_task(
    session, make, templates, state, code, ended, keeps_claim, refuses
):
    [contact] = customers(make)
    plan(session)
    due(session)
    failure = replace(held(session), state=state, last_errcode=code, last_error="x")
    for _ in range(2):
        send_results.failed(session, failure)
    assert task(session).state == ended
    assert bool(touches(session)) == keeps_claim
    assert bool(opt_outs.of(session, contact.id)) == refuses


def test_what_the_day_could_not_send_is_planned_again(session, make, templates):
    customers(make)
    plan(session)
    due(session)
    session.execute(update(Outbox).values(state=CallState.EXPIRED))
    tomorrow = TODAY + timedelta(days=1)
    night(session, tomorrow)
    assert (task(session).state, task(session).planned_on) == ("open", tomorrow)
    assert due(session, at(tomorrow, 10)) == 1
    first, second = (json.loads(call.body)["message_id"] for call in calls(session))
    assert first == second


def test_a_template_message_goes_to_the_openid_and_opens_the_page(session, make, templates):
    [contact] = customers(make)
    make.identity(contact, "openid", "o_1")
    plan(session, ["template_message", "sms"], {"sms": "短信", "template_message": "消息"})
    due(session)
    [call] = calls(session)
    assert (call.kind, call.api) == ("template_message", "message/template/send")
    assert json.loads(call.body) == {
        "touser": "o_1",
        "template_id": "T1",
        "data": {"thing1": {"value": "李先生"}},
        "url": "https://example.com/a",
    }


@pytest.mark.parametrize(
    ("code", "why", "refused"),
    [
        (43004, "客户没有关注公众号", []),
        (43019, "客户已拒收公众号消息", ["template_message"]),
        (43101, "客户已拒收公众号消息", ["template_message"]),
    ],
)
def test_who_does_not_follow_the_account_has_not_refused_it_for_ever(
    session, make, templates, code, why, refused
):
    [contact] = customers(make)
    make.identity(contact, "openid", "o_1")
    plan(session, "template_message", "消息")
    due(session)
    failure = replace(held(session), state=CallState.CANCELLED, last_errcode=code)
    send_results.failed(session, failure)
    one = task(session)
    assert (one.state, one.state_reason) == ("expired", f"公众号消息没有发出：{why}")
    assert [said.channel for said in opt_outs.of(session, contact.id)] == refused


def test_a_message_that_may_have_left_before_its_day_was_over_is_not_sent_by_another_task(
    session, make, templates
):
    customers(make)
    plan(session)
    due(session)
    failure = replace(
        held(session), state=CallState.EXPIRED, ambiguous=True, last_error="its deadline passed"
    )
    for _ in range(2):
        send_results.failed(session, failure)
    one = task(session)
    assert (one.state, one.state_reason) == ("expired", "短信不确定是否已经发出，没有重发")
    assert touches(session) == [("sms", TODAY)]


@pytest.mark.parametrize(
    ("quiet", "hour", "deadline"),
    [
        ("21:00-09:00", 10, at(TODAY, 21)),
        ("12:00-14:00", 10, at(TODAY, 12)),
        ("12:00-14:00", 15, at(TODAY, 23, 59)),
        ("00:00-08:00", 10, at(TODAY, 23, 59)),
        ("09:00-09:00", 8, at(TODAY, 23, 59)),
    ],
)
def test_what_is_tried_again_stops_where_quiet_hours_begin_next(quiet, hour, deadline):
    assert mass_sends.closes(at(TODAY, hour), QuietHours.parse(quiet)) == deadline


def test_a_report_is_kept_and_what_never_arrived_is_no_touch(session, make, templates):
    customers(make)
    plan(session)
    due(session)
    send_results.sent(session, held(session))
    one = task(session)
    assert send_results.reported(session, one.id, is_delivered=True, error="", at=TEN)
    assert not send_results.reported(session, one.id, is_delivered=True, error="", at=TEN)
    assert (task(session).outcome, touches(session)) == ("短信已送达", [("sms", TODAY)])
    assert send_results.reported(session, one.id, is_delivered=False, error="空号", at=TEN)
    assert (task(session).outcome, touches(session)) == ("短信没有送达：空号", [])
    assert not send_results.reported(session, 10**15, is_delivered=True, error="", at=TEN)


def test_a_report_that_is_quicker_than_our_own_note_is_not_lost(session, make, templates):
    customers(make)
    plan(session)
    due(session)
    delivery = held(session)
    send_results.reported(session, task(session).id, is_delivered=False, error="", at=TEN)
    send_results.sent(session, delivery)
    one = task(session)
    assert (one.state, one.outcome, touches(session)) == ("done", "短信没有送达：原因不明", [])


def test_the_statements_do_not_grow_with_the_customers(session, make, templates, engine):
    counts = []
    for many in (3, 40):
        customers(make, many)
        session.commit()
        if not counts:
            plan(session)
        else:
            night(session)
        with counting(engine) as seen:
            assert due(session) == many
        counts.append(seen.count)
    assert counts[0] == counts[1]
