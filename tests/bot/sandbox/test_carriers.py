"""The pretend SMS gateway and official account: what reaches people, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session, sessionmaker

from bot import errors, sms
from bot.crm import mobiles
from bot.errors import UserError
from bot.sandbox import knobs, official_account, phone_state
from bot.sandbox import sms as gateway
from bot.settings import OfficialAccountSettings, SmsSettings
from bot.sms import SmsCarrier
from bot.wecom.official_account import API, OfficialAccount, template_body
from bot.wecom.tokens import TokenStore
from tests.bot.sandbox.conftest import World, wait_until
from tests.fixtures_db import engine, sessions

__all__ = ["engine", "sessions"]

KEY = "a key of the tests"


@pytest.fixture
def carrier(world: World) -> Iterator[SmsCarrier]:
    settings = SmsSettings(f"{world.running.url}/sms", "xinghe", world.config.sms_secret)
    carrier = SmsCarrier(settings, lambda sealed: mobiles.open_mobile(sealed, KEY))
    yield carrier
    carrier.close()


@pytest.fixture
def account(world: World, sessions: sessionmaker[Session]) -> Iterator[OfficialAccount]:
    settings = OfficialAccountSettings(
        f"{world.running.url}/mp",
        world.config.official_account_app_id,
        world.config.official_account_secret,
    )
    account = OfficialAccount(settings, tokens=TokenStore(sessions, KEY))
    yield account
    account.close()


def message(number: int = 1, mobile: str = "13800000001") -> bytes:
    sealed = mobiles.seal_mobile(mobile, KEY)
    return sms.message_body(f"t{number}", sealed, "星河珠宝", "SMS_1", {"name": "李雷"}, "李雷您好")


def letters(world: World, count: int) -> list[dict[str, object]]:
    wait_until(lambda: len(world.receiver.purchases) >= count)
    return [json.loads(body)[0] for _, body in world.receiver.purchases]


def test_a_message_reaches_the_telephone_once_however_often_it_is_sent(carrier, world):
    first = carrier.call(sms.API, message())
    assert carrier.call(sms.API, message()) == first
    carrier.check()
    [effect] = world.town.effects("sms_sent")
    assert (effect.who, effect.external_userid) == ("138****0001", "wmLiLei")
    assert effect.payload == {
        "message_id": "t1",
        "signature": "星河珠宝",
        "template": "SMS_1",
        "params": {"name": "李雷"},
        "content": "李雷您好",
    }
    assert letters(world, 1) == [{"kind": "report", "message_id": "t1", "ok": True}]


def test_a_number_nobody_has_is_taken_and_reported_as_not_delivered(carrier, world):
    carrier.call(sms.API, message(mobile="13900000000"))
    assert world.town.effects("sms_sent") == []
    [report] = letters(world, 1)
    assert (report["message_id"], report["ok"]) == ("t1", False)


def test_who_answers_td_is_told_of_and_refused_from_then_on(carrier, world):
    gateway.reply(world.town, "wmLiLei", " td ")
    [letter] = letters(world, 1)
    assert (letter["kind"], letter["mobile"], letter["text"]) == ("reply", "13800000001", " td ")
    with pytest.raises(errors.UnknownPerson) as caught:
        carrier.call(sms.API, message())
    assert caught.value.errcode == sms.Code.REFUSED_BY_RECEIVER
    with pytest.raises(UserError):
        gateway.reply(world.town, "wmHanMei", "TD")


def test_a_wrong_secret_is_for_a_person_to_set_right(world):
    settings = SmsSettings(f"{world.running.url}/sms", "xinghe", "another secret")
    wrong = SmsCarrier(settings, lambda sealed: "13800000001")
    with pytest.raises(errors.NotConfigured):
        wrong.call(sms.API, message())
    with pytest.raises(errors.NotConfigured):
        wrong.check()
    wrong.close()


@pytest.mark.parametrize(
    ("kind", "value", "raised"),
    [
        ("errcode", sms.Code.TOO_FAST, errors.RateLimited),
        ("errcode", sms.Code.BUSY, errors.WeComUnavailable),
        ("errcode", sms.Code.NO_BALANCE, errors.NotConfigured),
        ("errcode", sms.Code.UNKNOWN_TEMPLATE, errors.Refused),
        ("errcode", 99, errors.Refused),
        ("status", 502, errors.WeComUnavailable),
        ("html", 0, errors.WeComUnavailable),
        ("truncate_after", 0, errors.WeComUnavailable),
    ],
)
def test_every_trouble_of_the_gateway_says_what_to_do_about_it(carrier, world, kind, value, raised):
    knobs.add_fault(world.town, "sms/messages", kind, float(value))
    with pytest.raises(raised) as caught:
        carrier.call(sms.API, message())
    assert "13800000001" not in str(caught.value)
    carrier.call(sms.API, message())
    assert len(world.town.effects("sms_sent")) == 1


def test_a_template_message_reaches_who_follows_the_account(account, world):
    openid = official_account.openid_of("wmLiLei")
    body = template_body(openid, "T1", {"thing1": "李先生"}, "https://example.com")
    assert account.call(API, body)["errcode"] == 0
    [effect] = world.town.effects("template_sent")
    assert (effect.who, effect.external_userid) == (openid, "wmLiLei")
    assert effect.payload == {
        "template_id": "T1",
        "data": {"thing1": "李先生"},
        "url": "https://example.com",
    }
    account.call(API, body)
    assert [code for _, code in world.town.calls("mp/token")] == [0]


def test_her_telephone_shows_sms_and_template_messages_and_what_she_answered(
    carrier, account, world
):
    assert phone_state.customer_phone(world.town, "wmLiLei")["notices"] == []
    carrier.call(sms.API, message())
    gateway.reply(world.town, "wmLiLei", "好的")
    body = template_body("o_wmLiLei", "T1", {"thing1": "李先生", "time2": "周六"}, "https://x.cn")
    account.call(API, body)
    shown = [
        (one["kind"], each["sender"], each["content"]["content"])
        for one in phone_state.customer_phone(world.town, "wmLiLei")["notices"]
        for each in one["messages"]
    ]
    assert shown == [
        ("sms", "brand", "李雷您好"),
        ("sms", "customer", "好的"),
        ("official_account", "brand", "李先生\n周六\nhttps://x.cn"),
    ]
    assert phone_state.customer_phone(world.town, "wmHanMei")["notices"] == []


def test_who_left_the_account_is_no_receiver_until_she_comes_back(account, world):
    body = template_body(official_account.openid_of("wmLiLei"), "T1", {"thing1": "李先生"})
    official_account.unsubscribe(world.town, "wmLiLei")
    with pytest.raises(errors.UnknownPerson) as caught:
        account.call(API, body)
    assert caught.value.errcode == 43004
    official_account.subscribe(world.town, "wmLiLei")
    account.call(API, body)
    assert len(world.town.effects("template_sent")) == 1


@pytest.mark.parametrize(
    ("openid", "data", "errcode"),
    [("o_wmNobody", {"thing1": "好"}, 40003), ("o_wmLiLei", {"thing1": "长" * 21}, 47003)],
)
def test_what_the_account_refuses_is_not_tried_again(account, world, openid, data, errcode):
    with pytest.raises(errors.WeComError) as caught:
        account.call(API, template_body(openid, "T1", data))
    assert caught.value.errcode == errcode
    assert not isinstance(caught.value, errors.WeComUnavailable | errors.RateLimited)


def test_a_dead_token_is_renewed_once(account, world):
    body = template_body("o_wmLiLei", "T1", {"thing1": "李先生"})
    account.call(API, body)
    with world.town.write() as db:
        db.execute("DELETE FROM mp_token")
    account.call(API, body)
    assert [code for _, code in world.town.calls("mp/token")] == [0, 0]
    assert len(world.town.effects("template_sent")) == 2


def test_a_wrong_secret_of_the_account_is_for_a_person_to_set_right(world, sessions):
    settings = OfficialAccountSettings(
        f"{world.running.url}/mp", world.config.official_account_app_id, "CANARY-secret"
    )
    wrong = OfficialAccount(settings, tokens=TokenStore(sessions, KEY))
    with pytest.raises(errors.NotConfigured) as caught:
        wrong.check()
    assert "CANARY" not in str(caught.value)
    wrong.close()
