"""Delivery: the deadline, the tries, the same words every time, and what the knobs do to it."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest

from bot.errors import UserError
from bot.sandbox import guide_actors, till
from tests.bot.sandbox.conftest import World, wait_until

RING = {"sku": "R1", "name": "对戒", "category": "对戒", "amount_fen": 1280000}


def write(world: World, text: str = "今日") -> None:
    guide_actors.write_to_app(world.town, "wangfang", text)


def test_a_failed_letter_is_brought_again_with_the_same_words_and_a_fresh_seal(
    world: World,
) -> None:
    world.turn(callback_wait=0.05)
    world.receiver.statuses = [500, 503]
    write(world)
    world.receiver.wait_for(3)
    wait_until(lambda: world.town.letters()[0].state == "delivered")
    assert len(set(world.receiver.letters)) == 1
    assert len(set(world.receiver.bodies)) == 3
    assert len({query["nonce"] for query in world.receiver.queries}) == 3
    assert world.town.letters()[0].tries == 3


def test_after_three_tries_the_postman_gives_up(world: World) -> None:
    world.turn(callback_wait=0.05)
    world.receiver.statuses = [500] * 9
    write(world)
    wait_until(lambda: world.town.letters()[0].state == "given_up")
    assert (len(world.receiver.letters), world.town.letters()[0].outcome) == (3, "500")


def test_an_answer_after_the_deadline_counts_as_none(world: World) -> None:
    world.turn(callback_deadline=0.5, callback_wait=0.05)
    world.receiver.waits = [1.0]
    write(world)
    world.receiver.wait_for(2)
    wait_until(lambda: world.town.letters()[0].state == "delivered")
    assert world.town.letters()[0].tries >= 2


def test_lost_and_doubled_letters_follow_the_knobs(world: World) -> None:
    world.turn(callback_loss=1.0)
    write(world, "丢了")
    world.turn(callback_loss=0.0, callback_duplicate=1.0)
    write(world, "两次")
    world.receiver.wait_for(2)
    wait_until(lambda: [one.state for one in world.town.letters()] == ["lost"] + ["delivered"] * 2)
    assert [one.text for one in world.receiver.events()] == ["两次", "两次"]


def test_reordering_and_delay_hold_letters_back_and_a_pause_holds_all(world: World) -> None:
    world.turn(callback_delay=3600.0)
    write(world, "慢")
    world.turn(callback_delay=0.0, callback_reorder=0.5)
    for number in range(12):
        write(world, str(number))
    texts = [one.text for one in world.receiver.wait_for(12)]
    assert texts != sorted(texts, key=int)
    assert sorted(texts, key=int) == [str(number) for number in range(12)]
    world.turn(callback_paused=True)
    world.pass_time(hours=2)
    write(world, "停")
    world.turn(callback_paused=False)
    assert {one.text for one in world.receiver.wait_for(14)[12:]} == {"慢", "停"}


def test_letters_outlive_a_restart(world: World) -> None:
    world.turn(callback_paused=True)
    write(world)
    world.restart()
    world.turn(callback_paused=False)
    assert world.receiver.wait_for(1)[0].text == "今日"


def test_text_that_looks_like_markup_arrives_as_text(world: World) -> None:
    hard = "]]><xml>&amp;\x0b {0} '\"🙂"
    write(world, hard)
    assert world.receiver.wait_for(1)[0].text == hard.replace("\x0b", "")


def test_the_callback_address_is_verified_by_its_echo(world: World) -> None:
    postman = world.running._sandbox.postman
    assert postman.verify_address()


def test_the_till_reports_signed_purchases_until_they_are_taken(world: World) -> None:
    order = till.buy(world.town, "wmLiLei", [RING], store="SH001", guide="wangfang")
    wait_until(lambda: world.receiver.purchases)
    headers, body = world.receiver.purchases[0]
    signed = headers["X-Daogou-Timestamp"].encode() + b"." + body
    digest = hmac.new(b"events-secret", signed, hashlib.sha256).hexdigest()
    assert headers["X-Daogou-Signature"] == f"sha256={digest}"
    [event] = json.loads(body)
    assert (event["order_no"], event["amount_fen"]) == (order, 1280000)
    assert event["who"] == {"unionid": "oLiLei"}
    assert event["occurred_at"].endswith("+08:00")
    till.refund(world.town, "wmLiLei", order, 100, who="mobile")
    wait_until(lambda: len(world.receiver.purchases) == 2)
    assert json.loads(world.receiver.purchases[1][1])[0]["who"] == {"mobile": "13800000001"}


@pytest.mark.parametrize(
    ("lines", "who"), [([], ""), ([{"amount_fen": 1.5}], ""), ([RING], "member_no"), ([RING], "x")]
)
def test_the_till_refuses_what_it_cannot_report(
    world: World, lines: list[dict[str, Any]], who: str
) -> None:
    with pytest.raises(UserError):
        till.buy(world.town, "wmLiLei", lines, store="SH001", who=who)
    assert world.town.letters() == []


def test_a_sandbox_that_runs_for_months_forgets_old_calls_and_letters(world: World) -> None:
    world.town.config = replace(world.town.config, kept_calls=3, kept_letters=2)
    world.turn(callback_loss=1.0)
    write(world, "丢了")
    world.turn(callback_loss=0.0)
    for number in range(5):
        write(world, str(number))
        world.receiver.wait_for(number + 1)
        wait_until(lambda: not world.town.letters("queued"))
    assert len(world.town.letters()) == 2
    for number in range(5):
        world.town.log_call(f"call{number}", 0)
    assert [api for api, _ in world.town.calls()] == ["call2", "call3", "call4"]


def test_a_letter_that_waits_is_not_forgotten_however_many_come_after_it(world: World) -> None:
    world.town.config = replace(world.town.config, kept_letters=1)
    world.turn(callback_delay=600.0)
    write(world, "等")
    world.turn(callback_delay=0.0)
    for number in range(3):
        write(world, str(number))
        world.receiver.wait_for(number + 1)
        wait_until(lambda: len(world.town.letters("queued")) == 1)
    assert [one.state for one in world.town.letters()] == ["queued", "delivered"]
