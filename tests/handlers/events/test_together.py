"""Many messages of a moment: a few statements for all of them, and each stands for itself."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select

from bot import inbox
from bot.bot import Bot
from bot.db import transaction
from bot.inbox import Inbox
from bot.outbox import Outbox
from bot.sandbox import codes
from bot.wecom.events import AppEntered, ContactAdded, ContactEdited, GuideRemoved
from content_library.models import WelcomeMessage, WelcomeSend
from handlers import events
from handlers.events import TOGETHER, chat, follow, roster_refresh, welcome
from handlers.lanes import LANES
from tagging.models import ChannelTag
from tests import letters
from tests.factories import Make
from tests.fixtures_db import counting
from tests.talk import CUSTOMER, GUIDE, Talk, rows, talk

__all__ = ["talk"]
_numbers = itertools.count(1)

OF_ADDS = [
    TOGETHER[one]
    for one in events._ADDED
    # The calls to WeCom stand for themselves, one a customer.
    if one is not welcome.send_welcome
]


def _many(talk: Talk, count: int) -> list[ContactAdded]:
    """Adds of customers nobody knows yet, each with a code."""
    return [
        replace(talk.added(f"code{next(_numbers)}"), external_userid=f"wmNew{next(_numbers)}")
        for _ in range(count)
    ]


def test_twenty_adds_take_the_statements_of_two(talk: Talk) -> None:
    with talk.sessions() as session, session.begin():
        make = Make(session)
        code, tag = make.channel_code(state="cashier"), make.tag("渠道/收银台")
        session.add(ChannelTag(channel_code_id=code.id, tag_id=tag.id))
        session.add(WelcomeMessage(name="默认", text="您好，我是{导购名}。", is_default=True))
    engine = talk.bot.engine
    for function in (*OF_ADDS, welcome.send_welcomes):
        counts = []
        for size in (2, 20):
            batch = [replace(one, state="cashier") for one in _many(talk, size)]
            if function is not follow.start_follows:
                follow.start_follows(talk.bot, batch)
            with counting(engine) as statements:
                function(talk.bot, batch)
            counts.append(statements.count)
        assert counts[1] <= counts[0], function.__name__


def test_twenty_edits_and_twenty_guides_who_come_in_take_the_statements_of_two(talk: Talk) -> None:
    edit = ContactEdited(
        created_at=talk.now(), to_user="ww", userid=GUIDE, external_userid=CUSTOMER
    )
    entered = AppEntered(created_at=talk.now(), to_user="ww", userid=GUIDE)
    for function, one, name in (
        (roster_refresh.ask_all_again, edit, "external_userid"),
        (chat.greet_all, entered, "userid"),
    ):
        counts = []
        for size in (2, 20):
            batch = [replace(one, **{name: f"nobody{next(_numbers)}"}) for _ in range(size)]
            with counting(talk.bot.engine) as statements:
                function(talk.bot, batch)
            counts.append(statements.count)
        assert counts[1] <= counts[0], function.__name__


def test_each_customer_of_a_handful_gets_her_own_welcome(talk: Talk) -> None:
    with talk.sessions() as session, session.begin():
        text = "{客户称呼}您好，我是{导购名}。"
        session.add(WelcomeMessage(name="默认", text=text, is_default=True))
    batch = []
    for name in ("林小满", "赵一曼", "孙尚香"):
        external_userid = talk.town.add_customer(name)
        talk.town.befriend(GUIDE, external_userid)
        with talk.town.write() as db:
            code = codes.issue(
                talk.town, db, "welcome", userid=GUIDE, external_userid=external_userid
            )
        batch.append(replace(talk.added(code), external_userid=external_userid))
    follow.start_follows(talk.bot, batch)
    welcome.send_welcomes(talk.bot, batch)
    talk.settle()

    sent = {one.external_userid: one.payload["text"] for one in talk.effects("welcome_sent")}
    assert sent == {
        one.external_userid: f"{name}您好，我是王芳。"
        for one, name in zip(batch, ("林小满", "赵一曼", "孙尚香"), strict=True)
    }


def test_the_same_add_reported_twice_in_one_handful_is_one_welcome_with_the_newer_code(
    talk: Talk,
) -> None:
    talk.befriend()
    first = talk.added("older")
    newer = replace(talk.added(talk.code()), created_at=talk.now())
    follow.start_follows(talk.bot, [first, newer])
    welcome.send_welcomes(talk.bot, [newer, first])
    talk.settle()

    assert len(rows(talk.sessions, select(WelcomeSend))) == 1
    assert len(rows(talk.sessions, select(Outbox).where(Outbox.kind == "welcome"))) == 1


def test_a_message_that_breaks_leaves_the_others_of_its_handful_done(
    talk: Talk, monkeypatch
) -> None:
    done: list[str] = []

    def one(bot: Bot, event: GuideRemoved) -> None:
        if event.external_userid == "wmBad":
            raise ValueError
        done.append(event.external_userid)

    def together(bot: Bot, batch: Sequence[GuideRemoved]) -> None:
        raise ValueError

    monkeypatch.setattr(events, "HANDLERS", {GuideRemoved: (one,)})
    monkeypatch.setattr(events, "TOGETHER", {one: together})
    with transaction(talk.sessions) as session:
        plain = [letters.removed(name) for name in ("wm1", "wmBad", "wm2")]
        arrivals = [inbox.arrival(letters.key(one), one, {}, talk.now()) for one in plain]
        inbox.store(session, arrivals)
    source = LANES[arrivals[0].lane].sources[0]
    [handful] = source.claim(talk.bot, 8)
    source.work(talk.bot, handful)

    assert done == ["wm1", "wm2"]
    found = rows(talk.sessions, select(Inbox).order_by(Inbox.id))
    assert [row.state for row in found] == ["done", "due", "done"]
    assert found[1].attempts == 1
