"""Leads, invitations, days off and refusals, as a guide writes of them to the bot."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.clock import at, business_day
from bot.crm import opt_outs
from bot.crm.models import AuditEntry, GuideDayOff, OptOut, Visit
from bot.db import transaction
from bot.wecom.events import GuideMessage
from content_library.models import KeywordReply
from handlers.events.chat import guide_wrote
from handlers.guide_commands import parsing
from handlers.guide_commands.days import parse_moment
from handlers.guide_commands.parsing import Command, Verb, parse
from sop import lead_views, leads
from sop.models import Appointment, Lead
from tests.factories import TODAY, Make
from tests.talk import CORP, GUIDE, Talk, open_tasks, rows, talk

__all__ = ["talk"]

_numbers = itertools.count(1)


def ask(talk: Talk, text: str) -> str:
    before = len(talk.effects("app_message"))
    message = GuideMessage(
        created_at=talk.now(),
        to_user=CORP,
        userid=GUIDE,
        text=text,
        msg_id=f"lead{next(_numbers)}",
    )
    guide_wrote(talk.bot, message)
    talk.settle()
    [effect] = talk.effects("app_message")[before:]
    return str(effect.payload["content"]["content"])


def a_contact(talk: Talk, name: str) -> int:
    with transaction(talk.sessions) as session:
        make = Make(session)
        contact = make.contact(None, name=name)
        guide = session.get_one(type(make.guide()), talk.guide_id)
        make.follow(guide, contact, followed_on=business_day(talk.clock.now()))
        return contact.id


def _lead(talk: Talk, name: str) -> int:
    contact_id = a_contact(talk, name)
    with transaction(talk.sessions) as session:
        found = leads.raise_intent(
            session, contact_id, "定制", "想订做", talk.clock.now(), dedupe_key=f"t:{contact_id}"
        )
        assert found is not None
        return found


def _number(talk: Talk, lead_id: int) -> int:
    with transaction(talk.sessions) as session:
        return lead_views.view(session, lead_id).number


def test_leads_are_listed_touched_and_ended(talk: Talk) -> None:
    assert "没有等您跟进的线索" in ask(talk, "线索")
    first, second = _lead(talk, "王女士"), _lead(talk, "李先生")

    said = ask(talk, "线索")
    assert "您有 2 条线索" in said
    one, two = _number(talk, first), _number(talk, second)
    assert f"{one}. 王女士（意向强）：问到定制：「想订做」" in said

    assert "王女士已联系" in ask(talk, f"线索 {one} 已联系")
    assert "李先生这条线索结束了：在别处买了" in ask(talk, f"线索{two} 没成 在别处买了")
    states = {one.id: (one.state, one.outcome) for one in rows(talk.sessions, select(Lead))}
    assert states == {first: ("touched", None), second: ("lost", "在别处买了")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("线索 99999 已联系", "没有「99999」的线索"),
        ("线索 无名氏 已联系", "没有「无名氏」的线索"),
        ("线索 1", "请写一条线索和结果"),
        ("线索 王女士", "请写一条线索和结果"),
        ("线索 王女士 今天天气好", "没看懂"),
        ("意向 王女士", "想要什么"),
        ("意向 无名氏 想定制", "没有「无名氏」"),
        ("退订", "哪位客户"),
        ("恢复 王女士", "没有退订"),
        ("约 王女士 改天", "没看懂时间"),
        ("约 9 周六 15:00", "写「今日」看编号"),
        ("到店", "哪位客户"),
        ("结果", "请写上客户和结果"),
        ("结果 王女士", "请写上客户和结果"),
        ("结果 王女士 成交", "还没有邀约"),
        ("结果 无名氏 成交", "没有「无名氏」"),
        ("取消预约", "取消哪位客户"),
        ("取消预约 王女士", "没有要取消的预约"),
        ("取消预约 9", "写「今日」看编号"),
        ("休息 99天后", "90 天以内"),
        ("上班", "哪天"),
    ],
)
def test_what_cannot_be_obeyed_is_said_in_one_sentence_and_changes_nothing(
    talk: Talk, text: str, said: str
) -> None:
    _lead(talk, "王女士")
    assert said in ask(talk, text)
    assert rows(talk.sessions, select(Lead.state)) == ["assigned"]
    for model in (Appointment, Visit, OptOut, GuideDayOff):
        assert rows(talk.sessions, select(model)) == []


def test_an_intention_the_guide_heard_of_is_a_lead(talk: Talk) -> None:
    a_contact(talk, "王女士")
    for _ in range(2):
        assert "结婚选款的意向" in ask(talk, "意向 王女士 明年结婚想看对戒")
    assert len(rows(talk.sessions, select(Lead))) == 1


def test_a_time_is_booked_by_number_and_by_name_and_listed(talk: Talk) -> None:
    open_tasks(talk, "王女士")
    a_contact(talk, "李先生")
    day = business_day(talk.clock.now()) + timedelta(days=1)
    spoken = f"{day.month}月{day.day}日"

    assert f"约好了：王女士 {spoken}" in ask(talk, "约 1 明天 15:00")
    assert "16:30 到南京路店" in ask(talk, "约 李先生 明天下午4点半")

    assert "这一周约好 2 位" in ask(talk, "约")
    slots = rows(talk.sessions, select(Appointment.slot_at).order_by(Appointment.id))
    assert slots == [at(day, 15), at(day, 16, 30)]


def test_who_came_is_written_down_with_her_wish(talk: Talk) -> None:
    a_contact(talk, "王女士")
    ask(talk, "约 王女士 明天 15:00")
    talk.pass_time(days=1)

    assert "王女士今天到店" in ask(talk, "到店 王女士")
    assert "意向强" in ask(talk, "到店 王女士 意向强")

    [row] = rows(talk.sessions, select(Appointment))
    assert (row.state, row.intent) == ("arrived", "strong")
    assert len(rows(talk.sessions, select(Visit))) == 1
    assert rows(talk.sessions, select(Lead.is_hot)) == [False]


def test_what_came_of_a_visit_is_kept_and_may_be_corrected(talk: Talk) -> None:
    a_contact(talk, "王女士")
    ask(talk, "约 王女士 明天 15:00")
    talk.pass_time(days=1)
    ask(talk, "到店 王女士")
    assert "王女士的结果：再看看" in ask(talk, "结果：王女士  再看看")
    assert "王女士的结果：成交 对戒一对" in ask(talk, "结果 王女士 成交 对戒一对")
    [row] = rows(talk.sessions, select(Appointment))
    assert (row.state, row.outcome) == ("arrived", "成交 对戒一对")


def test_an_appointment_is_cancelled_by_name_and_by_number(talk: Talk) -> None:
    open_tasks(talk, "王女士")
    a_contact(talk, "李先生")
    ask(talk, "约 1 明天 15:00")
    ask(talk, "约 李先生 明天 16:00")

    assert "王女士的预约取消了" in ask(talk, "取消预约 1 客户出差")
    assert "李先生的预约取消了" in ask(talk, "取消预约李先生")
    assert "没有要取消的预约" in ask(talk, "取消预约 李先生")

    found = rows(talk.sessions, select(Appointment).order_by(Appointment.id))
    assert [(one.state, one.outcome) for one in found] == [
        ("cancelled", "客户出差"),
        ("cancelled", None),
    ]
    assert "还没有约好" in ask(talk, "约")


def test_the_help_says_how_to_cancel_and_how_to_tell_the_outcome(talk: Talk) -> None:
    said = ask(talk, "帮助")
    assert "结果 王女士 成交" in said
    assert "取消预约 王女士" in said


def test_who_came_without_an_appointment_is_a_visit(talk: Talk) -> None:
    a_contact(talk, "王女士")
    for _ in range(2):
        assert "记下了" in ask(talk, "到店 王女士 意向强")
    assert len(rows(talk.sessions, select(Visit))) == 1
    assert rows(talk.sessions, select(Appointment)) == []
    assert len(rows(talk.sessions, select(Lead))) == 1


def test_days_off_are_kept_and_taken_back(talk: Talk) -> None:
    day = business_day(talk.clock.now()) + timedelta(days=1)
    assert "休息" in ask(talk, "休息 明天 后天")
    assert "那天不再" in ask(talk, "休息 明天")
    assert "照常上班" in ask(talk, "上班 后天")
    assert rows(talk.sessions, select(GuideDayOff.day)) == [day]
    assert f"{day.month}月{day.day}日" in ask(talk, "休息")


def test_a_refusal_is_kept_audited_and_can_be_taken_back(talk: Talk) -> None:
    contact_id = a_contact(talk, "王女士")
    assert "一对一" in ask(talk, "退订 王女士")
    refused = rows(talk.sessions, select(OptOut).where(OptOut.is_out))
    assert {one.channel for one in refused} == {"mass_message", "sms", "template_message"}
    talk.pass_time(minutes=1)
    assert "重新收到" in ask(talk, "恢复 王女士")
    assert rows(talk.sessions, select(OptOut).where(OptOut.is_out)) == []
    audit = rows(talk.sessions, select(AuditEntry).order_by(AuditEntry.id))
    assert [(one.actor, one.action, one.object) for one in audit] == [
        (f"guide:{GUIDE}", "opt_out", f"contact:{contact_id}"),
        (f"guide:{GUIDE}", "opt_in", f"contact:{contact_id}"),
    ]


def test_what_the_customer_said_herself_only_she_takes_back(talk: Talk) -> None:
    contact_id = a_contact(talk, "王女士")
    with transaction(talk.sessions) as session:
        session.add(
            OptOut(
                contact_id=contact_id,
                channel="sms",
                is_out=True,
                source="sms_reply",
                said_at=talk.clock.now(),
                event_key="x",
            )
        )
    assert "本人" in ask(talk, "恢复 王女士")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("约沈若兰后天15:00", "沈若兰 后天15:00"),
        ("约王女士周六下午3点", "王女士 周六下午3点"),
        ("约张总10点半", "张总 10点半"),
    ],
)
def test_a_name_and_a_time_without_a_blank_are_read_apart(text: str, rest: str) -> None:
    assert parse(text) == Command(Verb.BOOK, (), rest)


def test_what_is_kept_of_a_sentence_keeps_its_chinese_marks() -> None:
    command = parse("结果 王女士 看中两款，周末再定！价格 1,280 元")
    assert command == Command(Verb.CONCLUDE, (), "王女士 看中两款，周末再定！价格 1,280 元")


@pytest.mark.parametrize("text", ["上班时间", "约会", "休息室在哪"])
def test_hqs_keywords_that_begin_like_a_command_are_still_answered(talk: Talk, text: str) -> None:
    with transaction(talk.sessions) as session:
        session.add(KeywordReply(name=text, match=[text], how="exact", reply="这样回复"))
    assert ask(talk, text) == "这样回复"


@pytest.mark.parametrize(
    ("text", "hour", "minute", "days"),
    [
        ("15:00", 15, 0, 0),
        ("明天 9点", 9, 0, 1),
        ("周日下午3点半", 15, 30, 1),
        ("后天晚上8点30分", 20, 30, 2),
        ("11月24日 10:05", 10, 5, 3),
        ("中午12点", 12, 0, 0),
        ("明天中午11点半", 11, 30, 1),
        ("中午1点", 13, 0, 0),
        ("周日 3点", 15, 0, 1),
        ("8:30", 20, 30, 0),
        ("03:00", 3, 0, 0),
        ("上午8点", 8, 0, 0),
    ],
)
def test_moments_are_read_as_guides_write_them(
    text: str, hour: int, minute: int, days: int
) -> None:
    assert parse_moment(text, TODAY) == at(TODAY + timedelta(days=days), hour, minute)


@pytest.mark.parametrize("text", ["", "周六", "25:00", "15:61", "随便 15:00", "15:00 左右"])
def test_what_is_no_moment_is_none(text: str) -> None:
    assert parse_moment(text, TODAY) is None


def test_every_form_has_its_answer_and_its_example_is_read_as_itself() -> None:
    for form in parsing.FORMS:
        command = parsing.parse(form.example)
        assert command is not None
        assert command.verb is form.verb


def test_a_visit_today_leaves_the_appointment_of_another_day(talk: Talk) -> None:
    a_contact(talk, "王小美")
    ask(talk, "约 王小美 10天后 15:00")
    assert "今天到店" in ask(talk, "到店 王小美")
    assert rows(talk.sessions, select(Appointment.state)) == ["booked"]
    assert len(rows(talk.sessions, select(Visit))) == 1


def test_a_lead_may_be_called_by_the_customers_name(talk: Talk) -> None:
    _lead(talk, "王女士")
    assert "王女士已联系" in ask(talk, "线索 王女士 已联系")


@pytest.mark.parametrize("verb", ["退订", "恢复", "到店", "意向", "取消预约"])
def test_a_name_that_only_contains_the_words_is_asked_back(talk: Talk, verb: str) -> None:
    a_contact(talk, "小金子")
    said = ask(talk, f"{verb} 金 定制" if verb == "意向" else f"{verb} 金")
    assert f"写全名字，例如「{verb} 小金子」" in said
    for model in (Appointment, Visit, OptOut, Lead):
        assert rows(talk.sessions, select(model)) == []


def test_the_beginning_of_a_name_is_enough(talk: Talk) -> None:
    a_contact(talk, "金小姐")
    assert "不再给金小姐" in ask(talk, "退订 金")


@pytest.mark.parametrize("text", ["退订金", "退订单怎么办", "退订的戒指"])
def test_a_question_about_money_back_is_no_refusal(talk: Talk, text: str) -> None:
    a_contact(talk, "金小姐")
    assert "没看懂" in ask(talk, text)
    assert rows(talk.sessions, select(OptOut)) == []


def test_what_a_guide_adds_to_the_customers_own_refusal_does_not_open_it(talk: Talk) -> None:
    contact_id = a_contact(talk, "王女士")
    with transaction(talk.sessions) as session:
        for channel in opt_outs.MESSAGES:
            opt_outs.refuse(
                session, contact_id, channel, source="sms_reply", at=talk.clock.now(), words="TD"
            )
    talk.pass_time(minutes=1)
    ask(talk, "退订 王女士")
    talk.pass_time(minutes=1)
    assert "本人" in ask(talk, "恢复 王女士")
    assert len(rows(talk.sessions, select(OptOut).where(OptOut.is_out))) == 3
