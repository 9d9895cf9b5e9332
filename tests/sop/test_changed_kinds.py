"""A new version that does a step another way: tasks that wait go that way, and HQ was told so."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from bot.clock import at
from bot.crm import changes
from bot.outbox import Outbox
from sop import sends, versions
from sop.models import MassSend, Reach, Touch
from tests.sop import facts
from tests.sop.plans import TODAY, night, publish, spec, step, tasks

FOLLOWED = {"kind": "followed"}
NOON = at(TODAY, 12)


@pytest.fixture
def one(session, make):
    """A customer of today with a number, and the words and templates of every way."""
    facts.template(session, "短信一", "sms")
    make.talking_point("您好", name="您好")
    contact = make.contact(make.guide(), followed_on=TODAY)
    make.member(contact, mobile_sealed=b"sealed")
    session.commit()
    return contact


def way(kind, **given):
    words = {"talking_point": "您好"} if kind != "sms" else {}
    template = {"template": "短信一"} if "sms" in str(kind) else {}
    return step("问候", kind=kind, **words, **template, **given)


def change(session, kind, reach=Reach.EVERYONE):
    """Publish the step in another way; what HQ was told is what was done."""
    draft = versions.save_draft(session, "新客", spec("新客", FOLLOWED, way(kind)), "hq")
    told = versions.impact(session, draft.sop_id, reach, NOON)
    done = versions.publish(session, draft.sop_id, reach, "hq", NOON)
    session.commit()
    assert told == done
    return done


def stands(session):
    [task] = tasks(session)
    return task.kind, task.carrier, task.state


def touched(session):
    return list(session.scalars(select(Touch.channel)))


@pytest.mark.parametrize(
    ("before", "after", "carrier"),
    [
        ("chat", "sms", "machine"),
        ("chat", "mass_message", "mass"),
        ("sms", "chat", "guide"),
        ("mass_message", "chat", "guide"),
    ],
)
def test_a_task_that_another_does_now_is_planned_anew_on_the_same_day(
    session, one, before, after, carrier
):
    publish(session, spec("新客", FOLLOWED, way(before)))
    night(session)
    told = change(session, after)
    assert (told.tasks_updated, told.tasks_rerouted, told.tasks_withdrawn) == (1, 1, 0)
    assert "更新 1 项任务（其中 1 项换了方式）" in told.sentence()
    assert (stands(session), touched(session)) == ((after, carrier, "deferred"), [])
    assert changes.take(session, 9) == [one.id]
    night(session, TODAY, [one])
    assert (stands(session), touched(session)) == ((after, carrier, "open"), [after])


def test_a_guides_task_keeps_its_place_on_her_list(session, one):
    publish(session, spec("新客", FOLLOWED, way("chat")))
    night(session)
    [before] = [(task.number, task.planned_on) for task in tasks(session)]
    assert change(session, "call").tasks_rerouted == 1
    assert (stands(session), touched(session)) == (("call", "guide", "open"), ["call"])
    assert [(task.number, task.planned_on) for task in tasks(session)] == [before]


def test_who_keeps_her_version_keeps_her_way(session, one):
    publish(session, spec("新客", FOLLOWED, way("chat")))
    night(session)
    told = change(session, "sms", Reach.NEW_ONLY)
    assert (told.tasks_updated, told.tasks_rerouted) == (0, 0)
    assert stands(session) == ("chat", "guide", "open")


def test_whom_the_new_version_leaves_out_is_withdrawn_and_comes_back_with_the_old(
    session, make, one
):
    make.score(one, tier="B")
    publish(session, spec("新客", FOLLOWED, way("chat")))
    night(session)
    told = change(session, {"by": "tier", "B": "none", "else": "chat"})
    assert (told.tasks_updated, told.tasks_rerouted, told.tasks_withdrawn) == (0, 0, 1)
    assert (stands(session), touched(session)) == (("chat", "guide", "withdrawn"), [])
    change(session, "chat")
    night(session, TODAY, [one])
    assert stands(session) == ("chat", "guide", "open")


def test_a_step_that_says_what_it_said_leaves_its_tasks_alone(session, make, one):
    kinds = {"by": "tier", "S": "chat", "else": "call"}
    publish(session, spec("新客", FOLLOWED, way(kinds)))
    night(session)
    make.score(one, tier="S")
    told = change(session, kinds)
    assert (told.tasks_updated, told.tasks_rerouted) == (1, 0)
    assert stands(session) == ("call", "guide", "open")


def test_what_is_on_its_way_to_her_stays_what_it_is(session, one):
    publish(session, spec("新客", FOLLOWED, way("sms")))
    night(session)
    sends.queue_due(session, at(TODAY, 10, 1))
    session.commit()
    assert [call.state for call in session.scalars(select(Outbox))] == ["due"]
    assert change(session, "chat").tasks_rerouted == 0
    assert stands(session) == ("sms", "machine", "open")


def test_a_mass_message_her_guide_has_already_stays_what_it_is(session, one):
    publish(session, spec("新客", FOLLOWED, way("mass_message")))
    night(session)
    session.execute(update(MassSend).values(state="created"))
    assert change(session, "chat").tasks_rerouted == 0
    assert stands(session) == ("mass_message", "mass", "open")


def test_a_waiting_task_goes_the_new_way_when_its_day_comes(session, one):
    publish(session, spec("新客", FOLLOWED, way("chat", workdays=True)))
    night(session)
    kind, _, state = stands(session)
    assert (kind, state) == ("chat", "deferred")
    assert change(session, "sms").tasks_rerouted == 1
    night(session, TODAY + timedelta(days=1))
    assert stands(session) == ("sms", "machine", "open")
