"""POST /api/v1/sms: reports end at their task, replies at the person; signed, and repeatable."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from bot.bot import Bot
from bot.clock import business_day
from bot.crm import mobiles, opt_outs
from bot.crm.models import ContactActivity, TimelineEntry
from handlers import api, sms_reports
from tests.factories import Make

MOBILE = "13800000001"


@pytest.fixture
def client(bot: Bot) -> FlaskClient:
    app = Flask("test")
    app.extensions["bot"] = bot
    app.register_blueprint(sms_reports.bp)
    return app.test_client()


@pytest.fixture
def contact_id(bot: Bot) -> int:
    with bot.sessions.begin() as session:
        make = Make(session)
        contact = make.contact(make.guide())
        index = mobiles.mobile_index(MOBILE, bot.settings.secret_key)
        make.identity(contact, "mobile", index)
        return int(contact.id)


def post(client: FlaskClient, bot: Bot, *entries: Any, secret: str = "") -> Any:
    body = json.dumps(list(entries)).encode()
    stamp = str(int(bot.clock.now().timestamp()))
    signed = {
        "X-Daogou-Timestamp": stamp,
        "X-Daogou-Signature": api.sign(secret or bot.settings.events_secret, stamp, body),
    }
    return client.post("/api/v1/sms", data=body, headers=signed)


def reply(text: str, mobile: str = MOBILE, **more: Any) -> dict[str, Any]:
    return {"kind": "reply", "mobile": mobile, "text": text, **more}


def refused(bot: Bot, contact_id: int) -> list[str]:
    with bot.sessions() as session:
        return [one.channel for one in opt_outs.of(session, contact_id)]


@pytest.mark.parametrize(
    "words",
    ["TD", "ｔｄ", "退订", " N ", "r。", "回复R", "拒收", "请不要再发了", "不想再收到短信"],
)
def test_td_is_a_refusal_of_sms_and_of_nothing_else(client, bot, contact_id, words):
    for _ in range(2):
        assert post(client, bot, reply(words, reply_id="r1")).status_code == 200
    assert refused(bot, contact_id) == ["sms"]
    with bot.sessions() as session:
        assert session.get(ContactActivity, contact_id) is None


def test_any_other_reply_is_a_sign_of_life(client, bot, contact_id):
    words = "好的，{客户称呼}<b>周六</b>来"
    answers = [post(client, bot, reply(words, "+86 138-0000-0001")) for _ in range(2)]
    assert answers[0].get_json() == {"accepted": 1, "rejected": []}
    assert refused(bot, contact_id) == []
    with bot.sessions() as session:
        activity = session.get(ContactActivity, contact_id)
        assert activity is not None
        assert activity.replied_on == business_day(bot.clock.now())
        told = session.scalars(select(TimelineEntry.text)).all()
    assert told == [f"回复短信：{words}"]


def test_a_number_nobody_has_is_no_error(client, bot, contact_id):
    answer = post(client, bot, reply("TD", "13900000000"), {"kind": "report", "message_id": "t1",
                  "ok": True})  # fmt: skip
    assert answer.get_json() == {"accepted": 0, "rejected": []}
    assert refused(bot, contact_id) == []


@pytest.mark.parametrize(
    "entry",
    [
        5,
        {},
        {"kind": "call"},
        {"kind": "report", "ok": True},
        {"kind": "report", "message_id": "x1", "ok": True},
        {"kind": "report", "message_id": "t1", "ok": "yes"},
        {"kind": "report", "message_id": "t1", "ok": False, "error": 5},
        {"kind": "report", "message_id": f"t{10**30}", "ok": True},
        {"kind": "reply", "mobile": MOBILE},
        {"kind": "reply", "mobile": "12", "text": "TD"},
        {"kind": "reply", "mobile": 13800000001, "text": "TD"},
        {"kind": "reply", "mobile": MOBILE, "text": "T" * 1001},
        {"kind": "reply", "mobile": MOBILE, "text": "TD", "reply_id": 5},
    ],
)
def test_a_wrong_piece_is_one_sentence_and_hurts_no_other(client, bot, contact_id, entry):
    answer = post(client, bot, entry, reply("TD")).get_json()
    assert [one["index"] for one in answer["rejected"]] == [0]
    assert answer["rejected"][0]["error"].endswith("。")
    assert answer["accepted"] == 1
    assert refused(bot, contact_id) == ["sms"]


def test_an_unsigned_request_changes_nothing(client, bot, contact_id):
    assert post(client, bot, reply("TD"), secret="another").status_code == 401
    assert refused(bot, contact_id) == []
