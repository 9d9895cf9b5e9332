"""Whom a channel does not reach: the same task goes on along its chain, and the next ones know."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from bot.clock import at
from bot.crm import channel_misses, opt_outs
from bot.crm.models import TimelineEntry
from bot.outbox import CallState, Outbox
from bot.sms import Code
from sop import explain, send_results
from tests.factories import TODAY
from tests.sop.machines import (
    TEN,
    calls,
    customers,
    due,
    held,
    plan,
    task,
    tasks,
    templates,
    touches,
)
from tests.sop.plans import night

__all__ = ["templates"]

BOTH = ["template_message", "sms"]
WORDS = {"sms": "短信", "template_message": "消息"}
DAY = timedelta(days=1)


def follower(make):
    """Someone with a number and an openid."""
    [contact] = customers(make)
    make.identity(contact, "openid", f"o{contact.id}")
    return contact


def fails(session, code, state=CallState.CANCELLED, now=TEN):
    """The call in hand ends so; it is told twice, as after a crash."""
    delivery = replace(held(session, now), state=state, last_errcode=code, last_error="x")
    for _ in range(2):
        send_results.failed(session, delivery)
    session.execute(update(Outbox).where(Outbox.id == delivery.id).values(state=state))
    session.commit()
    return delivery


def misses(session, contact, day=TODAY):
    return [(one.channel, one.missed_on) for one in channel_misses.of(session, contact.id, day)]


def test_who_does_not_follow_the_account_gets_the_same_task_by_sms(session, make, templates):
    contact = follower(make)
    plan(session, BOTH, WORDS)
    due(session)
    fails(session, 43004)
    one = task(session)
    assert (one.state, one.kind, one.carrier) == ("open", "sms", "machine")
    assert touches(session) == [("sms", TODAY)]
    assert misses(session, contact) == [("template_message", TODAY)]
    assert due(session, at(TODAY, 10, 1)) == 1
    assert due(session, at(TODAY, 10, 2)) == 0
    assert [call.kind for call in calls(session)] == ["template_message", "sms"]
    send_results.sent(session, held(session, at(TODAY, 10, 2)))
    one = task(session)
    assert (one.state, one.words) == ("done", "【星河珠宝】李先生您好，退订回TD")
    assert touches(session) == [("sms", TODAY)]
    told = select(TimelineEntry.text).where(TimelineEntry.kind == "task")
    assert session.scalars(told).all() == ["短信发出了「回访」"]


def test_explain_says_why_another_way_was_taken(session, make, templates):
    contact = follower(make)
    point = make.talking_point("您好").name
    plan(session, {"by": "tier", "S": "chat", "else": BOTH}, WORDS, talking_point=point)
    due(session)
    fails(session, 43004)
    told = explain.explain(session, contact.id, TODAY)
    [one] = told.tasks
    assert one.kind == "短信"
    assert one.channel == (
        "客户等级 未评，发公众号消息；公众号消息没有发出（客户没有关注公众号），改发短信"
    )
    [gate] = [gate for gate in told.gates if gate.key == "channel_missed"]
    month, day = (TODAY + 7 * DAY).month, (TODAY + 7 * DAY).day
    said = f"公众号消息 {TODAY.month}月{TODAY.day}日 没有送达"
    assert gate.words == f"{said}，{month}月{day}日 以前先走别的方式"


def test_a_refusal_and_a_wrong_number_go_on_too_and_what_is_last_ends(session, make, templates):
    contact = follower(make)
    plan(session, ["sms", "template_message"], WORDS)
    due(session)
    fails(session, Code.REFUSED_BY_RECEIVER)
    assert [said.channel for said in opt_outs.of(session, contact.id)] == ["sms"]
    assert (task(session).state, task(session).kind) == ("open", "template_message")
    night(session, TODAY, [contact])
    assert task(session).state == "open"
    due(session, at(TODAY, 10, 1))
    fails(session, 40003, now=at(TODAY, 10, 1))
    one = task(session)
    assert (one.state, one.state_reason) == (
        "expired",
        "公众号消息没有发出：客户不是这个公众号的用户",
    )
    assert touches(session) == []


def test_a_way_without_an_address_is_passed_over_and_a_mass_message_takes_her(
    session, make, templates
):
    point = make.talking_point("您好").name
    contact = follower(make)
    chain = ["sms", "template_message", "mass_message"]
    plan(session, chain, WORDS, talking_point=point)
    opt_outs.refuse(session, contact.id, "template_message", source="kf", at=at(TODAY, 1))
    due(session)
    fails(session, Code.WRONG_MOBILE)
    one = task(session)
    assert (one.state, one.kind, one.carrier) == ("open", "mass_message", "mass")
    night(session, TODAY, [contact])
    assert task(session).mass_send_id is not None
    assert touches(session) == [("mass_message", TODAY)]


@pytest.mark.parametrize("state", [CallState.UNKNOWN, CallState.DEAD])
def test_what_may_have_left_or_is_our_own_fault_is_not_sent_another_way(
    session, make, templates, state
):
    contact = follower(make)
    plan(session, BOTH, WORDS)
    due(session)
    fails(session, None if state == CallState.UNKNOWN else 47003, state)
    assert (task(session).state, task(session).kind) == ("expired", "template_message")
    assert misses(session, contact) == []


def test_the_next_tasks_take_the_other_way_until_the_days_are_over(session, make, templates):
    contact = follower(make)
    channel_misses.note(session, contact.id, "template_message", at(TODAY - 2 * DAY, 10))
    plan(session, BOTH, WORDS)
    assert [one.kind for one in tasks(session)] == ["sms"]
    assert misses(session, contact, TODAY + 4 * DAY) != []
    assert misses(session, contact, TODAY + 5 * DAY) == []


def test_a_chain_of_which_nothing_is_left_says_so(session, make, templates):
    contact = follower(make)
    for channel in BOTH:
        channel_misses.note(session, contact.id, channel, at(TODAY, 1))
    plan(session, BOTH, WORDS)
    assert task(session).state_reason == (
        "没有可用的联系方式：公众号消息近日没有送达、短信近日没有送达"
    )


@pytest.mark.parametrize(("later", "left"), [(True, 0), (False, 1)])
def test_a_sign_that_she_follows_again_clears_it_whenever_it_arrives(
    session, make, templates, later, left
):
    contact = follower(make)
    channel_misses.note(session, contact.id, "template_message", TEN)
    said_at = TEN + DAY if later else TEN - DAY
    opt_outs.allow(session, contact.id, "template_message", source="event", at=said_at)
    assert len(misses(session, contact)) == left


def test_a_message_that_arrived_clears_it(session, make, templates):
    contact = follower(make)
    plan(session, "template_message", "消息")
    channel_misses.note(session, contact.id, "template_message", at(TODAY, 1))
    due(session)
    send_results.sent(session, replace(held(session), state=CallState.DONE, result={}))
    assert misses(session, contact) == []
