"""A guide writes to the bot or presses a button of a card, in the tests of the chat."""

from __future__ import annotations

import itertools
from typing import Any

from sqlalchemy import select

from bot.crm.models import Guide
from bot.wecom.events import CardClicked, GuideMessage
from handlers.events.chat import card_clicked, guide_wrote
from sop.models import Task
from tests.factories import Make
from tests.talk import GUIDE, Talk, rows
from tests.world import CORP

_numbers = itertools.count(1)


def ask(talk: Talk, text: str, *, userid: str = GUIDE) -> str:
    """What the guide reads on her phone after writing `text`."""
    before = len(talk.effects("app_message"))
    guide_wrote(talk.bot, guide_message(talk, text, userid=userid))
    talk.settle()
    [effect] = talk.effects("app_message")[before:]
    return str(effect.payload["content"]["content"])


def guide_message(talk: Talk, text: str, *, userid: str = GUIDE) -> GuideMessage:
    return GuideMessage(
        created_at=talk.now(),
        to_user=CORP,
        userid=userid,
        text=text,
        msg_id=str(next(_numbers)),
    )


def click(talk: Talk, key: str, *, userid: str = GUIDE, **selected: tuple[str, ...]) -> None:
    card_clicked(
        talk.bot,
        CardClicked(
            created_at=talk.now(),
            to_user=CORP,
            userid=userid,
            task_id="card-1",
            key=key,
            response_code=f"response-{key}",
            selected=selected,
        ),
    )


def task_states(talk: Talk) -> list[str]:
    return rows(talk.sessions, select(Task.state).order_by(Task.id))


def colleague(talk: Talk, **given: Any) -> int:
    """A guide of the same store."""
    with talk.sessions() as session, session.begin():
        make = Make(session)
        guide = session.get_one(Guide, talk.guide_id)
        row = Guide(**{"userid": "liuyang", "name": "刘洋", "store_id": guide.store_id} | given)
        make.session.add(row)
        make.session.flush()
        return row.id
