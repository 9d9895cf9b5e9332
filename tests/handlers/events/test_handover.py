"""Every kind of event has its row in the table; a failed handover is told, a group change kept."""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy import select

from bot import inbox
from bot.crm.models import Contact, TimelineEntry
from bot.db import transaction
from bot.inbox import Inbox
from bot.wecom import events as kinds
from bot.wecom.events import Event, TransferFailed
from handlers import events
from handlers.events import handover
from handlers.lanes import LANES
from tests import letters
from tests.factories import Make
from tests.talk import CORP, CUSTOMER, GUIDE, Talk, rows, talk

__all__ = ["talk"]


def _failed(talk: Talk, **given) -> TransferFailed:
    values = {
        "created_at": talk.now(),
        "to_user": CORP,
        "userid": GUIDE,
        "reason": "customer_refused",
    }
    return TransferFailed(**(values | {"external_userid": CUSTOMER} | given))


def _told(talk: Talk) -> list[tuple[str, str]]:
    talk.settle()
    return [(one.who, one.payload["content"]["content"]) for one in talk.effects("app_message")]


def test_every_class_of_event_has_a_row_in_the_table():
    classes = {
        one
        for one in vars(kinds).values()
        if isinstance(one, type) and issubclass(one, Event) and one is not Event
    }
    assert set(events.HANDLERS) == classes


def test_a_failed_handover_is_told_to_the_guide_and_her_manager_once(talk: Talk) -> None:
    with talk.sessions() as session, session.begin():
        make = Make(session)
        make.contact(external_userid=CUSTOMER, name="韩梅")
        manager = make.guide(userid="liuyang", name="刘洋")
        manager.store_id, manager.is_manager = talk.store_id, True
    event = _failed(talk)

    handover.transfer_failed(talk.bot, event)
    handover.transfer_failed(talk.bot, event)

    told = _told(talk)
    assert [who for who, _ in told] == [GUIDE, "liuyang"]
    assert all("韩梅 → 王芳" in text and "客户拒绝了接替" in text for _, text in told)
    [entry] = rows(talk.sessions, select(TimelineEntry))
    assert (entry.kind, entry.text) == ("transfer_failed", "没能交接给 王芳：客户拒绝了接替")


def test_a_second_failure_of_the_same_handover_is_told_again(talk: Talk) -> None:
    handover.transfer_failed(talk.bot, _failed(talk))
    later = talk.now() + timedelta(minutes=5)
    handover.transfer_failed(talk.bot, _failed(talk, created_at=later, reason="something new"))
    assert len(_told(talk)) == 2


def test_a_failed_handover_of_a_customer_nobody_knows_yet_is_written_down(talk: Talk) -> None:
    handover.transfer_failed(talk.bot, _failed(talk))
    assert [one.external_userid for one in rows(talk.sessions, select(Contact))] == [CUSTOMER]


def test_a_group_change_is_kept_as_done_and_said_in_the_log(talk: Talk, caplog) -> None:
    plaintext = (
        b"<xml><ToUserName><![CDATA[ww1]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName>"
        b"<CreateTime>1790000000</CreateTime><MsgType><![CDATA[event]]></MsgType>"
        b"<Event><![CDATA[change_external_chat]]></Event><ChatId><![CDATA[wr1]]></ChatId>"
        b"<ChangeType><![CDATA[create]]></ChangeType></xml>"
    )
    with transaction(talk.sessions) as session:
        key = letters.key(plaintext)
        inbox.store(session, [inbox.arrival(key, plaintext, {}, talk.now())])

    with caplog.at_level(logging.INFO):
        source = LANES["events"].sources[0]
        for piece in source.claim(talk.bot, 10):
            source.work(talk.bot, piece)

    [row] = rows(talk.sessions, select(Inbox))
    assert (row.kind, row.state) == ("GroupChatChanged", "done")
    assert "group change=create chat=wr1" in caplog.text
