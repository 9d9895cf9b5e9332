"""A new customer is welcomed once, or the reason is kept and the guide is asked to greet."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.crm import roster
from bot.crm.models import Contact, TimelineEntry
from bot.sandbox import actors, knobs
from bot.wecom.events import ConsentGiven, ContactHalfAdded, GuideRemoved
from content_library.models import (
    Material,
    WelcomeMaterial,
    WelcomeMessage,
    WelcomeSend,
    WelcomeState,
)
from handlers.events import follow
from handlers.events.welcome import note_overtaken, send_welcome
from tests.factories import Make
from tests.talk import CORP, CUSTOMER, GUIDE, Talk, rows, talk

__all__ = ["talk"]


def _says(talk: Talk, text: str, *materials: Material) -> None:
    with talk.sessions() as session, session.begin():
        message = WelcomeMessage(name="默认", text=text, is_default=True)
        session.add_all([message, *materials])
        session.flush()
        for position, material in enumerate(materials):
            session.add(
                WelcomeMaterial(
                    welcome_message_id=message.id, position=position, material_id=material.id
                )
            )


def _row(talk: Talk) -> WelcomeSend:
    [row] = rows(talk.sessions, select(WelcomeSend))
    return row


def _welcomes(talk: Talk) -> list[str]:
    return [effect.payload["text"] for effect in talk.effects("welcome_sent")]


def _alerts(talk: Talk) -> list[str]:
    return [str(effect.payload) for effect in talk.effects("app_message")]


def test_the_welcome_calls_the_customer_by_a_name_looked_up_just_now(talk: Talk) -> None:
    _says(talk, "{客户称呼}您好，我是{门店名}的{导购名}")
    talk.befriend()

    send_welcome(talk.bot, talk.added(talk.code()))
    talk.settle()

    assert _welcomes(talk) == ["韩梅您好，我是南京路店的王芳"]
    row = _row(talk)
    assert row.state == WelcomeState.SENT
    assert row.lag_ms is not None
    assert 0 <= row.lag_ms < 10_000
    assert [
        entry.text for entry in rows(talk.sessions, select(TimelineEntry)) if "欢迎" in entry.text
    ] == ["欢迎语已自动发出"]


def test_words_without_a_name_ask_nobody(talk: Talk) -> None:
    _says(talk, "您好，我是{导购名}")
    talk.befriend()

    send_welcome(talk.bot, talk.added(talk.code()))

    assert talk.town.calls("externalcontact/get") == []


def test_a_slow_look_up_costs_a_second_and_a_half_and_the_fallback_goes_out(talk: Talk) -> None:
    _says(talk, "{客户称呼}您好")
    talk.befriend()
    talk.bot.gateway.token()
    knobs.add_fault(talk.town, "externalcontact/get", "latency", 3)

    began = time.monotonic()
    send_welcome(talk.bot, talk.added(talk.code()))
    assert time.monotonic() - began < 2.0
    talk.settle()

    assert _welcomes(talk) == ["您好"]


def test_a_refused_look_up_does_not_stop_the_welcome(talk: Talk) -> None:
    _says(talk, "{客户称呼}，您好")
    talk.befriend()
    knobs.add_fault(talk.town, "externalcontact/get", "errcode", 84061)

    send_welcome(talk.bot, talk.added(talk.code()))
    talk.settle()

    assert len(_welcomes(talk)) == 1


def test_the_same_event_twice_is_one_welcome(talk: Talk) -> None:
    talk.befriend()
    event = talk.added(talk.code())

    for _ in range(3):
        send_welcome(talk.bot, event)
    talk.settle()
    send_welcome(talk.bot, event)
    talk.settle()

    assert len(_welcomes(talk)) == 1
    assert _row(talk).state == WelcomeState.SENT


def test_it_works_whether_or_not_the_relation_was_begun_before(talk: Talk) -> None:
    talk.befriend()
    event = talk.added(talk.code())
    with talk.sessions() as session, session.begin():
        roster.tell(session, [roster.added(replace(event, userid=GUIDE.upper()))])

    send_welcome(talk.bot, event)
    talk.settle()

    assert len(_welcomes(talk)) == 1


def test_half_added_and_added_with_a_code_each_are_one_welcome(talk: Talk) -> None:
    talk.befriend()
    half = ContactHalfAdded(
        created_at=talk.now(),
        to_user=CORP,
        userid=GUIDE,
        external_userid=CUSTOMER,
        state=None,
        welcome_code=talk.code(),
    )

    send_welcome(talk.bot, half)
    talk.settle()
    talk.pass_time(seconds=3)
    send_welcome(talk.bot, talk.added(talk.code()))
    talk.settle()

    assert len(_welcomes(talk)) == 1


def test_a_fresh_code_helps_a_welcome_that_did_not_go_out(talk: Talk) -> None:
    talk.befriend()
    send_welcome(talk.bot, talk.added("dead-code"))
    talk.settle()
    assert _row(talk).state == WelcomeState.FAILED

    talk.pass_time(seconds=5)
    send_welcome(talk.bot, talk.added(talk.code()))
    talk.settle()

    assert len(_welcomes(talk)) == 1
    assert _row(talk).state == WelcomeState.SENT
    assert _row(talk).reason is None


def test_consent_brings_the_welcome_that_had_to_wait(talk: Talk) -> None:
    talk.befriend()
    knobs.turn(talk.town, archive_is_on=True)
    send_welcome(talk.bot, talk.added(talk.code()))
    talk.settle()
    assert (_row(talk).state, _row(talk).reason) == (WelcomeState.FAILED, "consent")
    assert _alerts(talk) == []

    knobs.turn(talk.town, archive_is_on=False)
    talk.pass_time(seconds=60)
    consent = ConsentGiven(
        created_at=talk.now(),
        to_user=CORP,
        userid=GUIDE,
        external_userid=CUSTOMER,
        welcome_code=talk.code(),
    )
    send_welcome(talk.bot, consent)
    talk.settle()

    assert len(_welcomes(talk)) == 1


def test_without_a_code_the_reason_is_kept_and_told_once(talk: Talk) -> None:
    talk.befriend()

    send_welcome(talk.bot, talk.added(None))
    send_welcome(talk.bot, talk.added(None))
    talk.settle()

    row = _row(talk)
    assert (row.state, row.reason) == (WelcomeState.SKIPPED, "no_code")
    assert "您好" in row.words
    told = [e.text for e in rows(talk.sessions, select(TimelineEntry)) if e.kind == "welcomed"]
    assert len(told) == 1
    assert "没有给欢迎语凭证" in told[0]


def test_a_code_that_comes_after_none_is_used(talk: Talk) -> None:
    talk.befriend()
    send_welcome(talk.bot, talk.added(None))
    talk.pass_time(seconds=2)

    send_welcome(talk.bot, talk.added(talk.code()))
    talk.settle()

    assert len(_welcomes(talk)) == 1


def test_a_wecom_user_gets_no_code_so_the_guide_greets(talk: Talk) -> None:
    talk.befriend()
    with talk.sessions() as session, session.begin():
        session.add(Contact(external_userid=CUSTOMER, name="韩梅", kind=2))

    send_welcome(talk.bot, talk.added(None))
    talk.settle()

    assert _row(talk).reason == "wecom_user"
    assert len(_alerts(talk)) == 1


@pytest.mark.parametrize(
    ("errcode", "reason", "alerts"),
    [(41050, "expired", 1), (41051, "taken", 0), (40058, "refused", 1)],
)
def test_each_refusal_ends_with_its_reason(
    talk: Talk, errcode: int, reason: str, alerts: int
) -> None:
    _says(talk, "您好，我是{导购名}")
    talk.befriend()
    knobs.add_fault(talk.town, "externalcontact/send_welcome_msg", "errcode", errcode, times=None)

    send_welcome(talk.bot, talk.added(talk.code()))
    talk.settle()

    assert (_row(talk).state, _row(talk).reason) == (WelcomeState.FAILED, reason)
    assert len(_alerts(talk)) == alerts
    assert all("您好，我是王芳" in alert for alert in _alerts(talk))


def test_an_event_older_than_its_code_is_not_sent_but_greeted_by_hand(talk: Talk) -> None:
    talk.befriend()
    code = talk.code()

    send_welcome(talk.bot, talk.added(code, at=talk.now() - timedelta(seconds=25)))
    talk.settle()

    assert talk.town.calls("externalcontact/send_welcome_msg") == []
    assert _row(talk).reason == "expired"
    assert len(_alerts(talk)) == 1


def test_a_customer_who_is_gone_again_is_not_welcomed(talk: Talk) -> None:
    event = talk.added(talk.code())
    with talk.sessions() as session, session.begin():
        roster.tell(session, [roster.added(event)])
        gone_at = event.created_at + timedelta(seconds=2)
        roster.end_follow(
            session, userid=GUIDE, external_userid=CUSTOMER, by="customer", at=gone_at
        )

    send_welcome(talk.bot, event)
    talk.settle()

    assert rows(talk.sessions, select(WelcomeSend)) == []


def test_a_customer_who_comes_back_is_welcomed_again(talk: Talk) -> None:
    talk.befriend()
    first = talk.added(talk.code())
    send_welcome(talk.bot, first)
    talk.settle()
    with talk.sessions() as session, session.begin():
        gone_at = first.created_at + timedelta(seconds=5)
        roster.end_follow(session, userid=GUIDE, external_userid=CUSTOMER, by="guide", at=gone_at)
    actors.guide_deletes_customer(talk.town, GUIDE, CUSTOMER)
    talk.pass_time(seconds=10)
    actors.add_directly(talk.town, GUIDE, CUSTOMER, skip_verify=True)

    send_welcome(talk.bot, talk.added(talk.code()))
    talk.settle()
    send_welcome(talk.bot, first)
    talk.settle()

    assert len(_welcomes(talk)) == 2
    assert [row.relation_no for row in rows(talk.sessions, select(WelcomeSend))] == [1, 2]


def test_a_member_known_by_unionid_is_welcomed_as_one(talk: Talk) -> None:
    _says(talk, "尊敬的{会员等级}，您好")
    with talk.town.write() as db:
        db.execute("UPDATE customer SET unionid = 'oHan' WHERE external_userid = ?", (CUSTOMER,))
    with talk.sessions() as session, session.begin():
        make = Make(session)
        person = make.contact(external_userid=None, name="", unionid="oHan")
        make.identity(person, "unionid", "oHan")
        make.member(person, level="金卡会员")
    talk.befriend()

    send_welcome(talk.bot, talk.added(talk.code()))
    talk.settle()

    assert _welcomes(talk) == ["尊敬的金卡会员，您好"]


def test_a_material_without_a_fresh_upload_stays_behind_and_the_words_go(talk: Talk) -> None:
    _says(
        talk,
        "您好",
        Material(name="海报", kind="image", content=b"x" * 9),
        Material(name="手册", kind="link", title="保养", url="https://example.com/care"),
    )
    talk.befriend()

    send_welcome(talk.bot, talk.added(talk.code()))
    talk.settle()

    [sent] = talk.effects("welcome_sent")
    assert sent.payload["text"] == "您好"
    assert [one["msgtype"] for one in sent.payload["attachments"]] == ["link"]
    assert _row(talk).left_out == ["海报"]
    assert talk.town.calls("media/upload") == []


def test_a_hostile_nickname_reaches_the_customer_as_letters(talk: Talk) -> None:
    _says(talk, "{客户称呼}您好")
    with talk.town.write() as db:
        db.execute(
            "UPDATE customer SET name = ? WHERE external_userid = ?",
            ("{导购名}$1\\1😀" + "长" * 500, CUSTOMER),
        )
    talk.befriend()

    send_welcome(talk.bot, talk.added(talk.code()))
    talk.settle()

    assert _welcomes(talk) == ["{导购名}$1\\1😀" + "长" * 9 + "…您好"]


def test_an_add_that_overtook_the_deletion_before_it_is_left_to_the_guide_with_a_reason(
    talk: Talk,
) -> None:
    """The second welcome is held back as a repetition, and nobody was told why."""
    talk.befriend()
    first = talk.added(talk.code(), at=talk.now() - timedelta(seconds=9))
    again = talk.added(talk.code())
    gone = GuideRemoved(
        created_at=again.created_at - timedelta(seconds=4),
        to_user=again.to_user,
        userid=GUIDE,
        external_userid=CUSTOMER,
    )
    for event in (first, again):
        follow.start_follow(talk.bot, event)
        send_welcome(talk.bot, event)
        talk.settle()
    for _ in range(2):
        follow.end_follow(talk.bot, gone)
        note_overtaken(talk.bot, gone)
    talk.settle()

    assert len(_welcomes(talk)) == 1
    [_, row] = rows(talk.sessions, select(WelcomeSend).order_by(WelcomeSend.relation_no))
    assert (row.relation_no, row.state, row.reason) == (2, WelcomeState.SKIPPED, "overtaken")
    assert sum("亲自问候" in alert for alert in _alerts(talk)) == 1
