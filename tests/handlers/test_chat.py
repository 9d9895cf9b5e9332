"""A guide writes to the bot, presses buttons and opens the app; she always gets one answer."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from bot.clock import business_day
from bot.crm.models import Contact, Guide
from content_library.models import KeywordReply
from handlers.events.chat import guide_wrote
from sop.models import Task
from tests.asking import ask, colleague, guide_message, task_states
from tests.factories import Make
from tests.talk import GUIDE, Talk, open_tasks, rows, talk

__all__ = ["talk"]


def _day(talk: Talk) -> date:
    return business_day(talk.clock.now())


def _contact(talk: Talk, name: str, *, guide_id: int | None = None, **more: Any) -> int:
    remark = more.pop("remark", None)
    member = more.pop("member", None)
    with talk.sessions() as session, session.begin():
        make = Make(session)
        contact: Contact = make.contact(None, name=name, **more)
        guide = session.get_one(Guide, guide_id or talk.guide_id)
        make.follow(guide, contact, followed_on=_day(talk) - timedelta(days=30), remark=remark)
        if member is not None:
            make.member(contact, **member)
        return contact.id


def test_today_lists_what_is_open_with_its_numbers(talk: Talk) -> None:
    open_tasks(talk, "王女士", "李先生")

    said = ask(talk, "今日")

    assert "今日还有 2 项" in said
    assert "1. 王女士 · 首周关怀" in said
    assert "2. 李先生 · 首周关怀" in said
    assert rows(talk.sessions, select(Task.id).where(Task.shown_at.is_(None))) == []


def test_today_says_whom_to_call_and_whom_to_invite(talk: Talk) -> None:
    kinds = dict(zip(open_tasks(talk, "王女士", "李先生"), ("call", "invite"), strict=True))
    with talk.sessions() as session, session.begin():
        for task in session.scalars(select(Task).where(Task.id.in_(kinds))):
            task.kind = kinds[task.id]

    said = ask(talk, "今日")

    assert "1. 王女士 · 打电话 · 首周关怀" in said
    assert "2. 李先生 · 邀约到店 · 首周关怀" in said


def test_an_empty_day_says_so_kindly(talk: Talk) -> None:
    assert "没有安排待办" in ask(talk, "今天")


@pytest.mark.parametrize(
    "text", ["完成 2", "完成２", "完成2", "做完了 2", "2 做完了", "第二个搞定了", "完成 第2项"]
)
def test_done_is_understood_in_many_forms(talk: Talk, text: str) -> None:
    open_tasks(talk, "王女士", "李先生")

    said = ask(talk, text)

    assert task_states(talk) == ["open", "done"]
    assert "第 2 项（李先生）已完成" in said
    assert "还剩 1 项" in said


def test_several_at_once_and_with_a_note(talk: Talk) -> None:
    open_tasks(talk, "甲甲", "乙乙", "丙丙")

    ask(talk, "完成 1、3 都很满意")

    assert task_states(talk) == ["done", "open", "done"]
    assert rows(talk.sessions, select(Task.outcome).where(Task.number == 1)) == ["都很满意"]


def test_one_wrong_number_changes_nothing(talk: Talk) -> None:
    open_tasks(talk, "王女士", "李先生")

    said = ask(talk, "完成 1 5")

    assert task_states(talk) == ["open", "open"]
    assert "没有第 5 项" in said


def test_skipping_keeps_the_reason(talk: Talk) -> None:
    open_tasks(talk, "王女士")

    ask(talk, "跳过1客户出国了")

    assert task_states(talk) == ["skipped"]
    assert rows(talk.sessions, select(Task.outcome)) == ["客户出国了"]


def test_moving_says_the_day_it_understood(talk: Talk) -> None:
    open_tasks(talk, "王女士")

    said = ask(talk, "改期 1 3天后")

    moved = _day(talk) + timedelta(days=3)
    assert f"{moved.month}月{moved.day}日" in said
    assert rows(talk.sessions, select(Task.due_on)) == [moved]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("改期 1", "想改到哪天"),
        ("改期 1 猴年马月", "没看懂日期"),
        ("改期 1 今天", "今天以后"),
        ("改期 1 2999-01-01", "90 天"),
    ],
)
def test_a_day_that_cannot_be_is_refused_in_one_sentence(talk: Talk, text: str, said: str) -> None:
    open_tasks(talk, "王女士")

    assert said in ask(talk, text)
    assert task_states(talk) == ["open"]


def test_the_same_message_twice_is_done_and_answered_once(talk: Talk) -> None:
    open_tasks(talk, "王女士", "李先生")
    message = guide_message(talk, "完成 1")

    for _ in range(2):
        guide_wrote(talk.bot, message)
        talk.settle()

    assert task_states(talk) == ["done", "open"]
    assert len(talk.effects("app_message")) == 1


def test_a_guide_finds_her_own_customers_and_nobody_elses(talk: Talk) -> None:
    other = colleague(talk)
    _contact(talk, "王小明", member={"points": 5})
    _contact(talk, "王大锤", guide_id=other)

    assert "王小明" in ask(talk, "客户 王")
    assert "没有「王大锤」" in ask(talk, "客户 王大锤")
    assert "没有" in ask(talk, "积分 王大锤")


def test_a_manager_finds_the_stores_customers(talk: Talk) -> None:
    other = colleague(talk)
    _contact(talk, "王大锤", guide_id=other)
    with talk.sessions() as session, session.begin():
        session.get_one(Guide, talk.guide_id).is_manager = True

    assert "王大锤" in ask(talk, "客户 王大锤")


def test_one_hit_is_a_profile(talk: Talk) -> None:
    contact_id = _contact(
        talk,
        "小鱼",
        gender=2,
        remark="王芳",
        member={
            "member_no": "88001234",
            "level": "金卡会员",
            "points": 1280,
            "birth_month": 8,
            "birth_day": 15,
        },
    )
    with talk.sessions() as session, session.begin():
        make = Make(session)
        contact = session.get_one(Contact, contact_id)
        day = _day(talk) - timedelta(days=49)
        make.purchase(contact, on=day, name="星芒对戒", amount_fen=1_280_000)
        make.score(contact, stage="active", purchase_count=1, total_spend_fen=1_280_000)
        make.assignment(contact, make.tag("价值/高净值"))

    said = ask(talk, "客户 王女士")

    for words in (
        "王芳（微信名 小鱼）",
        "金卡会员 · 积分 1,280 · 会员号 ****1234",
        "生日 8月15日",
        "活跃 · 累计 ¥12,800 · 1 单",
        "星芒对戒 ¥12,800（49 天前）",
        "标签：高净值",
    ):
        assert words in said


def test_several_hits_are_a_list(talk: Talk) -> None:
    for name in ("王一", "王二"):
        _contact(talk, name)

    said = ask(talk, "客户王")

    assert "找到 2 位" in said
    assert "王一" in said
    assert "王二" in said


@pytest.mark.parametrize("text", ["客户 %", "客户 _", "客户 ' OR 1=1 --", "客户 \\"])
def test_signs_of_sql_find_nobody(talk: Talk, text: str) -> None:
    _contact(talk, "王小明")

    assert "您的客户里没有" in ask(talk, text)


def test_points_are_told_with_the_level(talk: Talk) -> None:
    _contact(talk, "王芳", gender=2, member={"points": 1280, "level": "金卡会员"})

    assert ask(talk, "积分 王女士") == "王芳：1,280 分，金卡会员"


def test_talking_points_come_filled_for_the_guide(talk: Talk) -> None:
    with talk.sessions() as session, session.begin():
        Make(session).talking_point("{客户称呼}您好，我是{导购名}", name="求婚问候", scene="求婚")

    said = ask(talk, "话术 求婚")

    assert "【求婚问候】（求婚）\n您好，我是王芳" in said


def test_her_week_counts_what_is_hers(talk: Talk) -> None:
    other = colleague(talk)
    open_tasks(talk, "甲甲", "乙乙")
    ask(talk, "完成 1")
    with talk.sessions() as session, session.begin():
        make = Make(session)
        contact = make.contact(session.get_one(Guide, talk.guide_id), followed_on=_day(talk))
        mine = {"on": _day(talk), "guide_id": talk.guide_id}
        make.purchase(contact, amount_fen=1_280_050, **mine)
        make.purchase(contact, amount_fen=500_000, refunded_fen=500_000, **mine)
        make.purchase(contact, on=_day(talk), amount_fen=9_900_000, guide_id=other)

    said = ask(talk, "业绩")

    assert "待办：完成 1 / 2" in said
    assert "新好友：1 位" in said
    assert "成交：1 单，¥12,800.50" in said


def test_help_names_every_command(talk: Talk) -> None:
    said = ask(talk, "帮助")

    for example in ("今日", "完成 2", "跳过 2", "改期 2 周五", "客户 王", "话术 求婚", "业绩"):
        assert example in said


def test_an_unknown_text_gets_the_nearest_command(talk: Talk) -> None:
    assert "「今日」" in ask(talk, "今曰")
    assert "帮助" in ask(talk, "asdfgh")


def test_keywords_answer_after_the_commands(talk: Talk) -> None:
    with talk.sessions() as session, session.begin():
        for word in ("金价", "今日"):
            session.add(
                KeywordReply(name=word, match=[word], how="contains", reply="{品牌名}今日公告")
            )

    assert ask(talk, "现在金价多少") == "星河珠宝今日公告"
    assert "没有安排待办" in ask(talk, "今日")


def test_markup_in_names_is_only_letters(talk: Talk) -> None:
    open_tasks(talk, '<a href="http://evil">点</a>')

    assert "＜a href=" in ask(talk, "今日")
    assert "＜b＞" in ask(talk, "<b>hm")


def test_who_is_no_guide_is_told_whom_to_ask(talk: Talk) -> None:
    assert "导购名单" in ask(talk, "今日", userid="liuyang")


def test_a_userid_in_other_case_is_the_same_guide(talk: Talk) -> None:
    open_tasks(talk, "王女士")
    guide_wrote(talk.bot, guide_message(talk, "完成 1", userid=GUIDE.upper()))

    assert task_states(talk) == ["done"]
