"""Never too many: tasks per guide, touches per customer, quiet hours; and always a reason."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from handlers import timetable
from sop.explain import explain
from sop.models import Task, TaskState, Touch
from tests.scenarios.packs import pack, sop, step
from tests.world import TODAY, Customer, World, local

D = timedelta(days=1)


def _friends(world: World, count: int) -> list[Customer]:
    people = [world.person(f"客户{n}") for n in range(1, count + 1)]
    for one in people:
        one.adds()
    world.settle()
    return people


def _explained(world: World, person: Customer) -> Any:
    contact = person.row()
    with world.session() as session:
        return explain(session, contact.id, world.today())


def test_a_guide_gets_no_more_than_the_brand_allows_and_the_rest_wait_with_a_reason(
    world: World,
) -> None:
    world.load(pack(settings={"tasks_per_guide": 2}, sops=[sop()]))
    _friends(world, 3)
    assert len(world.tasks()) == 2
    waiting = world.rows(
        select(Task.state_reason, Task.held_by).where(Task.state == TaskState.DEFERRED)
    )
    assert waiting == [("导购当天已排满 2 项", "guide_cap")]


def test_the_one_who_waited_comes_first_on_the_next_free_day(world: World) -> None:
    world.load(pack(settings={"tasks_per_guide": 2}, sops=[sop()]))
    _friends(world, 3)
    for task in world.tasks():
        world.guide.writes(f"完成 {task.number}")
    world.night(TODAY + D)
    assert len(world.tasks()) == 1
    [task] = world.tasks()
    assert task.contact_name not in [one.contact_name for one in world.tasks(day=TODAY)]


def test_priority_goes_before_value_and_value_before_the_rest(world: World) -> None:
    audience = {"field": "member_level", "op": "=", "value": "金卡"}
    world.load(
        pack(
            settings={"tasks_per_guide": 3},
            sops=[
                sop("普通", {"kind": "date", "on": "2030-03-06"}, step(0, "普通", priority=50)),
                sop(
                    "重要",
                    {"kind": "date", "on": "2030-03-06"},
                    step(0, "重要", priority=90),
                    audience=audience,
                ),
            ],
        )
    )
    people = _friends(world, 4)
    people[3].joins(member_no="M4", level="金卡")
    for number, person in enumerate(people[:3], 1):
        person.buys(amount_fen=number * 1_000_000)
    world.night(TODAY + D)
    assert world.titles() == ["客户4 · 重要", "客户3 · 普通", "客户2 · 普通"]


def test_one_touch_in_three_days_over_all_plans(world: World) -> None:
    world.load(
        pack(
            settings={"touch_gap_days": 3},
            sops=[
                sop("甲", "followed", step(0, "甲事", priority=80)),
                sop("乙", "followed", step(1, "乙事", priority=90)),
            ],
        )
    )
    world.customer.adds()
    assert world.titles() == ["韩梅 · 甲事"]
    world.guide.writes("完成 1")
    world.night(TODAY + D)
    assert world.titles() == []
    [(reason, held)] = world.rows(
        select(Task.state_reason, Task.held_by).where(Task.state == TaskState.DEFERRED)
    )
    assert held == "touch_cap"
    assert "3 天内只联系一次" in reason
    assert "甲事" in reason
    opened = []
    for number in (2, 3):
        world.night(TODAY + number * D)
        opened += [(number, title) for title in world.titles()]
    assert opened == [(3, "韩梅 · 乙事")]


def test_two_plans_of_one_day_are_one_touch_the_better_one(world: World) -> None:
    world.load(
        pack(
            settings={"touch_gap_days": 3},
            sops=[
                sop("甲", "followed", step(0, "次要", priority=10)),
                sop("乙", "followed", step(0, "要紧", priority=90)),
            ],
        )
    )
    world.customer.adds()
    assert world.titles() == ["韩梅 · 要紧"]
    found = _explained(world, world.customer)
    [reason] = [one.reason for one in found.tasks if one.title == "次要"]
    assert reason is not None
    assert reason.startswith("3 天内只联系一次")
    assert "「要紧」" in reason


def test_a_skipped_task_gives_its_touch_back(world: World) -> None:
    world.load(pack(settings={"touch_gap_days": 3}, sops=[sop()]))
    world.customer.adds()
    world.settle()
    assert len(world.scalars(select(Touch))) == 1
    world.guide.writes("跳过 1 出国了")
    assert world.scalars(select(Touch)) == []


def test_quiet_hours_move_a_step_to_their_end(world: World) -> None:
    world.load(pack(sops=[sop("新客", "followed", step(0, "当天问候", at="+2h"))]))
    world.sleep_until(TODAY, 20, 30)
    world.customer.adds()
    assert world.tasks() == []
    world.night(TODAY + D)
    [task] = world.tasks()
    assert task.due_at is not None
    assert local(task.due_at) == "2030-03-06 09:00"


def test_nothing_is_said_to_a_guide_inside_quiet_hours_but_news(world: World) -> None:
    world.load(pack(sops=[sop("新客", "followed", step(0, "当天问候", at="+30m"))]))
    world.sleep_until(TODAY, 22, 30)
    world.customer.adds()
    world.pass_time(minutes=40)
    world.tick()
    assert world.guide.cards() == []
    assert [text[:6] for text in world.guide.texts()] == ["新客户添加了"]


def test_a_step_of_half_an_hour_is_told_when_it_comes_due(world: World) -> None:
    world.load(pack(sops=[sop("新客", "followed", step(0, "半小时后", at="+30m"))]))
    # The morning's digest is out; what comes after it is told by a card of its own.
    timetable.run_now(world.bot, "morning", TODAY)
    world.customer.adds()
    world.tick()
    assert world.guide.cards() == []
    world.pass_time(minutes=31)
    world.tick()
    world.tick()
    [card] = world.guide.cards()
    assert "1 位客户现在该联系了" in str(card)


def test_a_task_nobody_had_time_for_expires_with_its_reason(world: World) -> None:
    world.load(pack(settings={"tasks_per_guide": 1}, sops=[sop("a", "followed", step(0, "旧"))]))
    _friends(world, 2)
    for number in range(1, 6):
        world.night(TODAY + number * D)
    states = world.rows(select(Task.state, Task.state_reason))
    assert all(state == TaskState.EXPIRED for state, _ in states)
    assert all(reason.startswith("过了期限没有做") for _, reason in states)


def test_explain_leaves_nothing_unsaid(world: World) -> None:
    audience = {"field": "member_level", "op": "=", "value": "金卡"}
    world.load(
        pack(
            sops=[
                sop("给我的", "followed"),
                sop("给金卡的", "followed", audience=audience),
                sop("给买家的", "purchased"),
            ]
        )
    )
    world.customer.adds()
    world.settle()
    found = _explained(world, world.customer)
    assert [one.sop_name for one in found.tasks] == ["给我的"]
    assert found.tasks[0].ranking is not None
    reasons = {one.sop_name: one.reasons for one in found.absences}
    assert set(reasons) == {"给金卡的", "给买家的"}
    assert all(reasons.values())
    assert "金卡" in str(reasons["给金卡的"])
