"""What a guide writes to the app over the wire, and the alerts she gets."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from sop.models import Task, TaskState
from tests.scenarios.packs import pack, sop, step
from tests.world import TODAY, World

D = timedelta(days=1)
REPLY = {
    "name": "金价",
    "match": ["金价"],
    "how": "contains",
    "reply": "今日金价请看{品牌名}。",
}


@pytest.fixture
def busy(world: World) -> World:
    """王芳 has two customers and two tasks."""
    world.load(pack(sops=[sop()], keyword_replies=[REPLY]))
    for name in ("王小雨", "林悦"):
        person = world.person(name)
        person.joins(member_no=f"M-{name}", level="金卡", points=880)
        person.adds()
        world.settle()
    return world


def test_today_numbers_the_tasks_and_done_finishes_one(busy: World) -> None:
    said = busy.guide.writes("今日")
    assert "今日还有 2 项" in said
    assert "1. " in said
    assert "2. " in said
    assert "已完成" in busy.guide.writes("完成 1")
    assert [one.state for one in busy.tasks()] == [TaskState.DONE, TaskState.OPEN]
    assert "今日还有 1 项" in busy.guide.writes("今天")


def test_skipping_keeps_the_reason(busy: World) -> None:
    busy.guide.writes("跳过 2 客户出国了")
    assert busy.rows(select(Task.state, Task.outcome).where(Task.number == 2)) == [
        (TaskState.SKIPPED, "客户出国了")
    ]


def test_a_moved_task_comes_back_on_its_day(busy: World) -> None:
    said = busy.guide.writes("改期 1 明天")
    assert "3月6日（周三）" in said
    assert len([one for one in busy.tasks() if one.state == TaskState.OPEN]) == 1
    busy.night(TODAY + D)
    assert len([one for one in busy.tasks() if one.state == TaskState.OPEN]) == 2


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("客户 王", "王小雨"),
        ("积分 林悦", "880"),
        ("话术 新客", "问候"),
        ("业绩", "本周"),
        ("帮助", "今日"),
        ("完成２", "已完成"),
        ("做完了1", "已完成"),
        ("今日金价多少", "今日金价请看星河珠宝。"),
        ("金日", "今日"),
        ("完成 9", "没有第 9 项"),
        ("改期 1", "想改到哪天"),
        ("客户 %", "没有"),
        ("{导购名}", "没看懂"),
    ],
)
def test_every_text_is_answered(busy: World, text: str, wanted: str) -> None:
    assert wanted in busy.guide.writes(text)


def test_what_cannot_be_done_changes_nothing(busy: World) -> None:
    for text in ("完成 9", "改期 1", "改期 1 昨天", "跳过"):
        busy.guide.writes(text)
    assert [one.state for one in busy.tasks()] == [TaskState.OPEN, TaskState.OPEN]


def test_a_guide_cannot_touch_a_colleagues_tasks(busy: World) -> None:
    said = busy.colleague("zhaomin").writes("完成 1")
    assert "没有" in said
    assert [one.state for one in busy.tasks()] == [TaskState.OPEN, TaskState.OPEN]
    assert "王小雨" not in busy.colleague("zhaomin").writes("客户 王")


def test_the_alert_of_a_new_friend_brings_channel_and_member_facts(world: World) -> None:
    world.load(pack())
    world.customer.joins(member_no="M1", level="金卡")
    world.customer.buys(who="unionid", amount_fen=1_280_000)
    world.settle()
    world.customer.scans("sh001-cashier")
    [text] = world.guide.texts()
    assert [line for line in text.splitlines() if not line.startswith("时间")] == [
        "新客户添加了您：韩梅",
        "渠道：南京路收银台",
        "会员：金卡",
        "上次消费：今天 星芒对戒",
        "累计消费：¥12,800（1 笔）",
    ]


def test_a_lost_customer_is_an_alert(world: World) -> None:
    world.load(pack())
    world.customer.scans("sh001-cashier")
    world.pass_time(minutes=5)
    world.customer.deletes()
    assert [text.splitlines()[0] for text in world.guide.texts()][1:] == ["客户流失：韩梅 删除了您"]


def test_whom_a_guide_deletes_herself_is_no_news_to_her(world: World) -> None:
    world.load(pack(sops=[sop("新客", "followed", step(0), step(1))]))
    world.customer.adds()
    world.settle()
    world.pass_time(minutes=5)
    world.guide.deletes(world.customer)
    assert len(world.guide.texts()) == 1
    assert world.titles() == []
