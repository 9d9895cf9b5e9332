"""The night and the morning: once, whoever asks how often; late, when nobody asked in time."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import requests
from sqlalchemy import select

from app import build_bot
from bot.runs import JobRun
from bot.sandbox import actors
from handlers import timetable, worker
from sop.models import Digest, Enrollment, Task
from tests.scenarios.packs import pack, sop, step
from tests.world import TODAY, World

D = timedelta(days=1)
PLAN = sop("新客首月", "followed", step(1, "次日问候", at="10:00"), step(2, "第三天"))


def _everything(world: World) -> Any:
    """All rows a night writes."""
    world.settle()
    return (
        world.rows(select(Enrollment.id, Enrollment.state, Enrollment.version_id)),
        world.rows(select(Task.id, Task.state, Task.planned_on, Task.number, Task.words)),
    )


def test_the_morning_card_says_how_many_and_its_link_opens_the_list(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    world.customer.adds()
    world.night(TODAY + D)
    world.morning(TODAY + D)
    [card] = world.guide.cards()
    assert card["main_title"]["title"] == "今日 1 项"
    assert "韩梅" in str(card)
    visitor = requests.Session()
    visitor.cookies.set("sandbox_userid", "wangfang", domain="127.0.0.1")
    page = visitor.get(card["card_action"]["url"], timeout=10)
    assert page.status_code == 200
    assert "次日问候" in page.text
    assert "韩梅，我是王芳，有事找我。" in page.text


def test_a_guide_without_tasks_gets_no_card(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    world.customer.adds()
    world.night(TODAY + D)
    world.morning(TODAY + D)
    assert world.colleague("liuyang").messages() == []


def test_a_night_twice_adds_nothing(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    world.customer.adds()
    world.night(TODAY + D)
    before = _everything(world)
    timetable.run_now(world.bot, "nightly", TODAY + D)
    timetable.look(world.bot)
    assert _everything(world) == before


def test_a_morning_twice_sends_one_card(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    world.customer.adds()
    world.night(TODAY + D)
    world.morning(TODAY + D)
    timetable.run_now(world.bot, "morning", TODAY + D)
    timetable.look(world.bot)
    world.tick()
    assert len(world.guide.cards()) == 1
    assert len(world.scalars(select(Digest))) == 1


def test_a_missed_night_is_caught_up(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    world.customer.adds()
    world.night(TODAY + 2 * D)
    assert sorted(world.titles()) == ["韩梅 · 次日问候", "韩梅 · 第三天"]


def test_a_clock_that_starts_late_still_does_the_night_and_the_morning(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    world.customer.adds()
    world.sleep_until(TODAY + D, 11)
    timetable.look(world.bot)
    world.settle()
    timetable.look(world.bot)
    world.settle()
    world.tick()
    assert world.titles() == ["韩梅 · 次日问候"]
    assert len(world.guide.cards()) == 1


def test_no_digest_goes_out_in_the_evening(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    world.customer.adds()
    world.sleep_until(TODAY + D, 22)
    timetable.look(world.bot)
    world.settle()
    timetable.look(world.bot)
    world.tick()
    assert world.guide.cards() == []


def test_two_clocks_and_two_workers_do_what_one_does(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    people = [world.person(f"客户{n}") for n in range(6)]
    for person in people:
        person.adds()
    settings = world.bot.settings
    engine_url = world.bot.engine.url.render_as_string(hide_password=False)
    twin = build_bot(settings, engine_url, world.bot.bells.redis_url)
    failures: list[Exception] = []

    def work(bot: Any) -> None:
        try:
            for _ in range(3):
                timetable.look(bot)
                worker.settle(bot)
        except Exception as error:  # shown by the assertion below
            failures.append(error)

    try:
        for hour, minute in ((2, 30), (8, 50)):
            world.sleep_until(TODAY + D, hour, minute)
            threads = [threading.Thread(target=work, args=[bot]) for bot in (world.bot, twin)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
    finally:
        twin.gateway.close()
        twin.bells.close()
        twin.engine.dispose()
    assert failures == []
    runs = world.rows(select(JobRun.job, JobRun.day, JobRun.state).where(JobRun.day == TODAY + D))
    with world.bot.sessions() as session:
        due = [one.job for one in timetable.timetable(session) if (one.hour, one.minute) <= (8, 50)]
    assert len(due) >= 5
    assert sorted(runs) == [(job, TODAY + D, "done") for job in sorted(due)]
    assert len(world.titles()) == 6
    assert len(world.guide.cards()) == 1


def test_steps_of_the_same_day_are_not_left_to_midnight(world: World) -> None:
    world.load(pack(sops=[sop("新客", "followed", step(0, "半小时后", at="+30m"))]))
    world.sleep_until(TODAY, 19)
    world.customer.adds()
    assert world.titles() == ["韩梅 · 半小时后"]


def test_what_no_callback_told_is_found_at_night(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    actors.add_directly(world.town, "wangfang", world.customer.id)
    with world.town.write() as db:
        db.execute("UPDATE relation SET stage = 'friend'")
    assert world.titles() == []
    world.night(TODAY + D)
    world.night(TODAY + 2 * D)
    assert "韩梅 · 次日问候" in world.titles()


def test_words_nobody_used_are_fresh_on_the_next_day(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    world.customer.adds()
    world.night(TODAY + D)
    assert [one.planned_on for one in world.tasks()] == [TODAY + D]
    world.night(TODAY + 2 * D)
    assert {one.planned_on for one in world.tasks()} == {TODAY + 2 * D}
    assert world.tasks(day=TODAY + D) == []
