"""Buttons of cards, the first greeting, and people whom the bot cannot or may not answer."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from bot import outbox
from bot.crm.models import Guide
from bot.outbox import Outbox
from bot.wecom.events import AppEntered
from handlers.events.chat import app_entered, guide_wrote
from tests.asking import ask, click, colleague, guide_message, task_states
from tests.talk import CORP, GUIDE, Talk, open_tasks, rows, talk

__all__ = ["talk"]


def test_a_button_does_what_the_words_do_and_grays_the_card_once(talk: Talk) -> None:
    done, skipped = open_tasks(talk, "王女士", "李先生")

    for _ in range(2):
        click(talk, f"done:{done}")
        click(talk, f"skip:{skipped}", reason=("客户出国",))

    assert task_states(talk) == ["done", "skipped"]
    kinds = rows(talk.sessions, select(Outbox.kind))
    assert kinds == ["card_update", "card_update"]


def test_a_button_of_somebody_elses_task_changes_nothing_and_says_so(talk: Talk) -> None:
    [task_id] = open_tasks(talk, "王女士", guide_id=colleague(talk))

    click(talk, f"done:{task_id}")
    talk.settle()

    assert task_states(talk) == ["open"]
    assert "没有找到" in str(talk.effects("app_message")[0].payload)


@pytest.mark.parametrize("key", ["", "done:", "done:abc", "drop:1", f"done:{'9' * 30}"])
def test_a_button_nobody_made_does_nothing(talk: Talk, key: str) -> None:
    click(talk, key)

    assert rows(talk.sessions, select(Outbox.id)) == []


def test_opening_the_app_greets_once(talk: Talk) -> None:
    for _ in range(3):
        app_entered(talk.bot, AppEntered(created_at=talk.now(), to_user=CORP, userid=GUIDE))
    talk.settle()

    [hello] = talk.effects("app_message")
    assert "王芳您好" in str(hello.payload)


def _calls(talk: Talk) -> list[tuple[str, str, int | None]]:
    with talk.sessions() as session:
        found = session.scalars(select(Outbox).order_by(Outbox.id))
        return [(row.kind, row.state, row.last_errcode) for row in found]


def test_a_text_from_somebody_wecom_refuses_to_write_to_is_no_dead_letter(talk: Talk) -> None:
    guide_wrote(talk.bot, guide_message(talk, "今日", userid="whoever"))
    click(talk, "done:1", userid="whoever")
    talk.settle()

    assert _calls(talk) == [("stranger_reply", "cancelled", 81013)] * 2
    assert talk.effects("app_message") == []
    with talk.sessions() as session:
        assert outbox.dead_letters(session) == []
        reasons = session.scalars(select(Outbox.last_error)).all()
    assert all("UnknownPerson" in str(reason) for reason in reasons)


def test_a_guide_whom_the_app_may_not_see_is_a_dead_letter_somebody_must_look_at(
    talk: Talk,
) -> None:
    with talk.sessions() as session, session.begin():
        session.add(Guide(userid="hidden", name="小藏"))
    guide_wrote(talk.bot, guide_message(talk, "今日", userid="hidden"))
    talk.settle()

    assert _calls(talk) == [("app_message", "dead", 81013)]


def test_a_member_who_is_no_guide_gets_one_sentence_however_she_asks(talk: Talk) -> None:
    said = ask(talk, "今日", userid="liuyang")
    assert said.count("。") == 1
    message = guide_message(talk, "帮助", userid="liuyang")
    for _ in range(2):
        guide_wrote(talk.bot, message)
    talk.settle()
    assert len(talk.effects("app_message", "liuyang")) == 2
