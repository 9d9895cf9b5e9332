"""Guides talk with the bot (导购会话): words, buttons of cards, and opening the app.

All end in the functions the pages use, and every answer leaves through the outbox, keyed by what
was asked, so that a question answered twice is one answer. Who is no guide (any more) is told so;
that WeCom may refuse to tell her is then nobody's trouble.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from bot import outbox
from bot.bot import Bot
from bot.crm import roster
from bot.crm.models import Guide
from bot.db import transaction
from bot.errors import UserError
from bot.wecom import bodies
from bot.wecom.events import AppEntered, CardClicked, GuideMessage
from content_library import notices, words
from handlers.guide_commands import answers
from handlers.guide_commands.asker import Asker
from sop import tasks

log = logging.getLogger(__name__)

#: Where a guide's pages are; the list of the day is their first page.
H5_PATH = "/h5/"
#: The key of a card's button: what to do with which task.
_CARD_KEY = re.compile(r"(done|skip):([0-9]{1,18})")
#: The question of a card under which a guide may pick why she skips.
REASON_QUESTION = "reason"

# An answer that is later than this only puzzles.
_ANSWER_LIFE = timedelta(minutes=10)
_NOT_A_GUIDE = "还没有把您加进导购名单，请店长或总部在后台添加后再试。"
_GONE = "您的导购账号已停用，如有疑问请联系店长。"


def guide_wrote(bot: Bot, event: GuideMessage) -> None:
    """Answer what a guide wrote; every message gets exactly one answer."""
    key = f"guide_reply:{event.msg_id}"
    try:
        said = _answer(bot, event)
    except _Stranger as stranger:
        _tell_stranger(bot, event.userid, stranger, key)
        return
    with transaction(bot.sessions) as session:
        _say(session, bot, event.userid, said, key)


def card_clicked(bot: Bot, event: CardClicked) -> None:
    """Do what the button says, and gray the card so that nobody presses it again."""
    match = _CARD_KEY.fullmatch(event.key)
    if match is None:
        log.warning("card key not known userid=%s task=%s", event.userid, event.task_id)
        return
    verb, task_id = match[1], int(match[2])
    key = f"card_reply:{event.response_code or event.task_id}:{event.key}"
    try:
        with transaction(bot.sessions) as session:
            guide = _guide(session, event.userid)
            if verb == "done":
                tasks.complete(session, task_id, guide.id, event.created_at)
            else:
                reason = "、".join(event.selected.get(REASON_QUESTION, ())) or "没有写原因"
                tasks.skip(session, task_id, guide.id, event.created_at, reason)
            _gray(session, bot, event, "已完成" if verb == "done" else "已跳过")
    except _Stranger as stranger:
        _tell_stranger(bot, event.userid, stranger, key)
    except UserError as error:
        with transaction(bot.sessions) as session:
            _say(session, bot, event.userid, error.message_zh, key)


def app_entered(bot: Bot, event: AppEntered) -> None:
    """The first time a guide opens the app the bot says what it can do; later it keeps quiet."""
    greet_all(bot, [event])


def greet_all(bot: Bot, events: Sequence[AppEntered]) -> None:
    """The same for many who open it, in one look and one write for each who is new."""
    userids = sorted({event.userid.lower() for event in events})
    hello = func.concat("app_hello:", Guide.id)
    is_greeted = exists().where(outbox.Outbox.dedupe_key == hello)
    with transaction(bot.sessions) as session:
        new = select(Guide).where(func.lower(Guide.userid).in_(userids), Guide.is_active)
        for guide in session.scalars(new.where(~is_greeted).order_by(Guide.id)):
            name = words.plain(guide.name, 12)
            said = f"{name}您好，我是您的导购助手。\n\n{answers.help_text()}"
            _say(session, bot, guide.userid, said, f"app_hello:{guide.id}")


def _answer(bot: Bot, event: GuideMessage) -> str:
    """What to say; a command that cannot be obeyed has changed nothing and says why."""
    try:
        with transaction(bot.sessions) as session:
            guide = _guide(session, event.userid)
            h5_url = bot.settings.public_base_url + H5_PATH
            return answers.answer(session, Asker(guide, bot.clock.now(), h5_url), event.text)
    except _Stranger:
        raise
    except UserError as error:
        return error.message_zh


class _Stranger(UserError):
    """Whoever wrote is no active guide."""


def _guide(session: Session, userid: str) -> Guide:
    guide = _find(session, userid)
    if guide is None:
        raise _Stranger(_NOT_A_GUIDE)
    if not guide.is_active:
        raise _Stranger(_GONE)
    return guide


def _find(session: Session, userid: str) -> Guide | None:
    return session.scalars(select(Guide).where(roster.same_guide(userid))).one_or_none()


def _tell_stranger(bot: Bot, userid: str, stranger: _Stranger, dedupe_key: str) -> None:
    log.info("somebody who is no guide wrote userid=%s", userid)
    with transaction(bot.sessions) as session:
        notices.add(
            session,
            kind="stranger_reply",
            agent_id=bot.settings.wecom.agent_id,
            userid=userid,
            text=stranger.message_zh,
            dedupe_key=dedupe_key,
            deadline=bot.clock.now() + _ANSWER_LIFE,
        )


def _say(session: Session, bot: Bot, userid: str, said: str, dedupe_key: str) -> None:
    notices.add(
        session,
        kind="app_message",
        agent_id=bot.settings.wecom.agent_id,
        userid=userid,
        text=said,
        dedupe_key=dedupe_key,
        deadline=bot.clock.now() + _ANSWER_LIFE,
    )


def _gray(session: Session, bot: Bot, event: CardClicked, button_text: str) -> None:
    if event.response_code:
        body = bodies.update_card_body(
            bot.settings.wecom.agent_id,
            event.response_code,
            [event.userid],
            button_text=button_text,
        )
        outbox.add(
            session,
            kind="card_update",
            api="message/update_template_card",
            body=body,
            dedupe_key=f"card:{event.response_code}",
            lane="fast",
        )
