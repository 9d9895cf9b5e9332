"""An SMS as it is kept and as it leaves: the number stands in clear on the wire only."""

from __future__ import annotations

import json

import pytest

from bot import errors, sms
from bot.crm import mobiles
from bot.settings import SmsSettings
from bot.sms import SmsCarrier
from tests.bot.wecom import scripted

SETTINGS = SmsSettings("http://127.0.0.1:1", "xinghe", "CANARY-secret-0123")


def carrier(url: str = SETTINGS.gateway_url, key: str = "key") -> SmsCarrier:
    settings = SmsSettings(url, SETTINGS.account, SETTINGS.secret)
    return SmsCarrier(settings, lambda sealed: mobiles.open_mobile(sealed, key))


def body() -> bytes:
    sealed = mobiles.seal_mobile("13812345678", "key")
    return sms.message_body("t7", sealed, "星河珠宝", "SMS_1", {"name": "王女士"}, "王女士您好")


def test_what_is_kept_does_not_hold_the_number():
    kept = json.loads(body())
    assert "13812345678" not in body().decode()
    assert set(kept) == {
        "message_id",
        "mobile_sealed",
        "signature",
        "template",
        "params",
        "content",
    }


def test_what_leaves_is_signed_and_says_who_asks():
    with scripted.running() as platform:
        platform.answer_for = lambda asked: lambda h: h.answer(b'{"code": 0, "id": "m1"}')  # type: ignore[method-assign]
        one = carrier(platform.url)
        assert one.call(sms.API, body()) == {"code": 0, "id": "m1"}
        one.close()
        [asked] = platform.asked
    message = json.loads(asked.body)
    assert (asked.method, asked.api) == ("POST", "/messages")
    assert (message["mobile"], message["account"]) == ("13812345678", "xinghe")
    assert str(message["sent_at"]) == asked.headers["X-Timestamp"]
    wanted = sms.signature(SETTINGS.secret, asked.headers["X-Timestamp"], asked.body)
    assert asked.headers["X-Signature"] == wanted


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b'{"id": "m1"}', b'{"code": "ok"}', b'{"code": true}', b"<html></html>"],
)
def test_an_answer_nobody_can_read_leaves_the_effect_unknown(answer):
    with scripted.running() as platform:
        platform.answer_for = lambda asked: lambda h: h.answer(answer)  # type: ignore[method-assign]
        one = carrier(platform.url)
        with pytest.raises(errors.WeComUnavailable):
            one.call(sms.API, body())
        one.close()


def test_a_number_sealed_under_another_key_reaches_nobody_and_is_not_tried_again():
    one = carrier(key="another key")
    with pytest.raises(errors.UnknownPerson):
        one.call(sms.API, body())
    one.close()


def test_a_gateway_that_is_away_says_nothing_of_secrets_and_numbers():
    one = carrier()
    with pytest.raises(errors.WeComUnavailable) as caught:
        one.call(sms.API, body())
    assert "CANARY" not in str(caught.value)
    assert "138" not in str(caught.value)
    one.close()
