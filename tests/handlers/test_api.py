"""POST /api/v1/events: signed, bounded, one answer per event."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select

from bot.bot import Bot
from bot.crm.models import Purchase
from bot.db import transaction
from handlers import api, worker
from handlers.lanes import LANES
from tagging.models import TagAssignment
from tests.factories import Make
from tests.installation import until


@pytest.fixture
def client(bot: Bot):
    app = Flask("test")
    app.extensions["bot"] = bot
    app.register_blueprint(api.bp)
    return app.test_client()


def _purchase(bot: Bot, number: int, **given) -> dict:
    return {
        "id": f"e{number}",
        "source": "pos",
        "type": "purchase",
        "occurred_at": (bot.clock.now() - timedelta(days=1)).isoformat(),
        "who": {"member_no": f"M{number % 50}"},
        "order_no": f"O{number}",
        "lines": [],
        "amount_fen": 100,
    } | given


def _post(client, bot: Bot, body: bytes, *, at: int = 0, secret: str = "", **headers):
    stamp = str(int(bot.clock.now().timestamp()) + at)
    signed = {
        "X-Daogou-Timestamp": stamp,
        "X-Daogou-Signature": api.sign(secret or bot.settings.events_secret, stamp, body),
    }
    return client.post("/api/v1/events", data=body, headers=signed | headers)


def _kept(bot: Bot) -> int:
    with bot.sessions() as session:
        return session.scalar(select(func.count()).select_from(Purchase)) or 0


def test_an_array_and_lines_say_the_same(client, bot):
    events = [_purchase(bot, 1), _purchase(bot, 2, amount_fen="1"), 5, _purchase(bot, 1)]
    array = _post(client, bot, json.dumps(events).encode())
    assert array.status_code == 200
    answer = array.get_json()
    assert (answer["accepted"], answer["duplicate"]) == (1, 1)
    assert [(r["index"], r["id"]) for r in answer["rejected"]] == [(1, "e2"), (2, None)]
    assert "amount_fen" in answer["rejected"][0]["error"]
    lines = "\n".join(json.dumps(one) for one in events) + "\n{broken\n\n"
    answer = _post(client, bot, lines.encode()).get_json()
    assert (answer["accepted"], answer["duplicate"]) == (0, 2)
    assert [r["index"] for r in answer["rejected"]] == [1, 2, 4]
    assert _kept(bot) == 1


def test_more_than_a_batch_keeps_its_indexes(client, bot):
    events = [_purchase(bot, n) for n in range(1005)] + [_purchase(bot, 0, id="")]
    answer = _post(client, bot, json.dumps(events).encode()).get_json()
    assert answer["accepted"] == 1005
    assert [r["index"] for r in answer["rejected"]] == [1005]


@pytest.mark.parametrize("seconds", [-301, 301])
def test_an_old_or_early_timestamp_is_401(client, bot, seconds):
    body = json.dumps([_purchase(bot, 1)]).encode()
    assert _post(client, bot, body, at=seconds).status_code == 401
    assert _post(client, bot, body, at=seconds // 2).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Daogou-Signature": "sha256=00"},
        {"X-Daogou-Signature": ""},
        {"X-Daogou-Signature": "签"},
        {"X-Daogou-Timestamp": "now"},
        {"X-Daogou-Timestamp": "9" * 400},
    ],
)
def test_a_bad_signature_is_401_and_keeps_nothing(client, bot, headers):
    headers = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    body = json.dumps([_purchase(bot, 1)]).encode()
    assert _post(client, bot, body, **headers).status_code == 401
    assert _post(client, bot, body, secret="another").status_code == 401
    assert _kept(bot) == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"  \n", b"\xff\xfe", b"[1,", b"not json", b"[" * 100_000, b"[1]]", b'["\\"'],
)
def test_what_is_no_list_of_events_is_400(client, bot, body):
    answer = _post(client, bot, body)
    assert answer.status_code == 400
    assert answer.get_json()["error"].endswith("。")


_ODD = {
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "a fraction without end": "0." + "3" * 5000,
    "5,000 digits": "9" * 5000,
    "minus 5,000 digits": "-" + "9" * 5000,
    "beyond a float": "1e999",
    "deep": "[" * 20_000 + "]" * 20_000,
    "deep objects": '{"a":' * 20_000 + "1" + "}" * 20_000,
    "deep with brackets in texts": '["]]\\"[",' * 5000 + "1" + "]" * 5000,
}


@pytest.mark.parametrize("form", ["array", "lines"])
@pytest.mark.parametrize("odd", _ODD.values(), ids=_ODD)
def test_an_odd_value_in_one_event_does_not_refuse_the_others(client, bot, odd, form):
    good, after = (json.dumps(_purchase(bot, n)) for n in (1, 3))
    bad = json.dumps(_purchase(bot, 2))[:-1] + f', "extra": {odd}}}'
    events = [good, bad, after]
    body = f"[{','.join(events)}]" if form == "array" else "\n".join(events)
    answer = _post(client, bot, body.encode())
    assert answer.status_code == 200
    given = answer.get_json()
    assert given["accepted"] == 2
    assert [(one["index"], one["id"]) for one in given["rejected"]] == [(1, "e2")]
    assert given["rejected"][0]["error"].endswith("。")
    assert _kept(bot) == 2


@pytest.mark.parametrize("odd", ["NaN", "9" * 5000, "[" * 20_000 + "]" * 20_000])
def test_what_is_no_object_among_events_is_rejected_alone(client, bot, odd):
    body = f"[{odd},{json.dumps(_purchase(bot, 1))}]"
    answer = _post(client, bot, body.encode()).get_json()
    assert answer["accepted"] == 1
    assert [(one["index"], one["id"]) for one in answer["rejected"]] == [(0, None)]


def test_half_a_character_in_an_id_rejects_that_event_and_answers_200(client, bot):
    app_json = client.application.json
    app_json.ensure_ascii = False
    events = [_purchase(bot, 1), _purchase(bot, 2, id="e\ud800")]
    answer = _post(client, bot, json.dumps(events).encode())
    assert answer.status_code == 200
    assert answer.get_json()["accepted"] == 1
    assert [one["id"] for one in answer.get_json()["rejected"]] == ["e\ufffd"]


def test_too_much_at_once_is_413(client, bot):
    assert _post(client, bot, b"[" + b" " * api.BODY_LIMIT + b"]").status_code == 413
    assert _post(client, bot, b"[" + b"1," * 10_000 + b"1]").status_code == 413


def test_a_purchase_rings_the_lane_that_gives_the_tag_and_does_not_wait_for_a_look(client, bot):
    with transaction(bot.sessions) as session:
        make = Make(session)
        make.brand()
        contact = make.contact(make.guide(), external_userid="wmHanMei")
        rule = make.rule(
            make.tag("价值/高净值"), {"field": "total_spend_fen", "op": ">=", "value": 1}
        )
        contact_id, tag_id = contact.id, rule.tag_id
    bell = bot.bells.alarm("events")
    bell.clear()

    given = _purchase(bot, 1, who={"external_userid": "wmHanMei"})
    assert _post(client, bot, json.dumps([given]).encode()).get_json()["accepted"] == 1

    assert bell.is_set()
    worker.settle(bot)
    with bot.sessions() as session:
        tags = session.scalars(
            select(TagAssignment.tag_id).where(TagAssignment.contact_id == contact_id)
        ).all()
    assert tags == [tag_id]


def test_a_purchase_wakes_a_worker_that_has_just_looked(client, bot, monkeypatch):
    """The lane never looks unasked, so without the bell the tag would not come at all."""
    with transaction(bot.sessions) as session:
        make = Make(session)
        make.brand()
        for number in range(3):
            make.contact(make.guide(), external_userid=f"wm{number}")
        make.rule(make.tag("价值/高净值"), {"field": "total_spend_fen", "op": ">=", "value": 1})
    monkeypatch.setitem(LANES, "events", replace(LANES["events"], look_seconds=3600.0))
    crew = worker.Crew(bot, ["events"])
    crew.start()
    try:
        for number in range(3):
            given = _purchase(bot, number, who={"external_userid": f"wm{number}"})
            _post(client, bot, json.dumps([given]).encode())
            until(lambda known=number: _tags(bot) > known)
    finally:
        crew.stop()


def _tags(bot: Bot) -> int:
    with bot.sessions() as session:
        return session.scalar(select(func.count()).select_from(TagAssignment)) or 0
