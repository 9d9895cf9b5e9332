"""Which welcome a new customer reads."""

from __future__ import annotations

from datetime import datetime, time

import pytest
from sqlalchemy.orm import Session

from bot.clock import SHANGHAI
from bot.crm.models import Guide
from bot.errors import UserError
from content_library import welcome
from content_library.models import ChannelWelcome, Material, WelcomeMaterial, WelcomeMessage
from tests.factories import TODAY, Make


def _at(hour: int, minute: int = 0) -> datetime:
    return datetime(TODAY.year, TODAY.month, TODAY.day, hour, minute, tzinfo=SHANGHAI)


def _message(session: Session, name: str, **given: object) -> WelcomeMessage:
    message = WelcomeMessage(**{"name": name, "text": f"{name}的话"} | given)
    session.add(message)
    session.flush()
    return message


def _chosen(session: Session, guide: Guide, hour: int = 12, code: int | None = None) -> str:
    return welcome.choose(session, [(guide.id, code)], _at(hour))[0].name


def test_without_any_message_the_built_in_words_greet(session: Session) -> None:
    guide = Make(session).guide()

    chosen = welcome.choose(session, [(guide.id, None)], _at(12))[0]

    assert chosen.text == welcome.PLAIN_TEXT
    assert chosen.welcome_message_id is None


def test_code_goes_before_store_before_time_before_default(session: Session) -> None:
    make = Make(session)
    store = make.store()
    guide, other = make.guide(store), make.guide()
    code = make.channel_code(guide)
    by_code = _message(session, "收银台")
    session.add(ChannelWelcome(channel_code_id=code.id, welcome_message_id=by_code.id))
    _message(session, "默认", is_default=True)
    _message(session, "夜间", from_time=time(21), until_time=time(9))
    _message(session, "本店", store_id=store.id)
    _message(session, "本店夜间", store_id=store.id, from_time=time(21), until_time=time(9))

    assert _chosen(session, guide, code=code.id) == "收银台"
    assert _chosen(session, guide) == "本店"
    assert _chosen(session, guide, 23) == "本店夜间"
    assert _chosen(session, other) == "默认"
    assert _chosen(session, other, 23) == "夜间"


@pytest.mark.parametrize(
    ("hour", "minute", "name"),
    [(20, 59, "默认"), (21, 0, "夜间"), (0, 0, "夜间"), (8, 59, "夜间"), (9, 0, "默认")],
)
def test_a_time_slot_may_run_over_midnight(
    session: Session, hour: int, minute: int, name: str
) -> None:
    guide = Make(session).guide()
    _message(session, "默认", is_default=True)
    _message(session, "夜间", from_time=time(21), until_time=time(9))

    chosen = welcome.choose(session, [(guide.id, None)], _at(hour, minute))[0]

    assert chosen.name == name


def test_a_message_made_for_a_code_greets_nobody_else(session: Session) -> None:
    make = Make(session)
    guide = make.guide()
    _message(session, "收银台")

    assert _chosen(session, guide, code=make.channel_code(guide).id) == welcome.PLAIN.name


def test_materials_come_in_hqs_order(session: Session) -> None:
    guide = Make(session).guide()
    message = _message(session, "默认", is_default=True)
    for position, name in ((2, "二"), (1, "一")):
        material = Material(name=name, kind="link", title=name, url="https://example.com")
        session.add(material)
        session.flush()
        session.add(
            WelcomeMaterial(
                welcome_message_id=message.id, position=position, material_id=material.id
            )
        )

    chosen = welcome.choose(session, [(guide.id, None)], _at(12))[0]

    assert [material.name for material in chosen.materials] == ["一", "二"]


def test_words_that_cannot_be_filled_give_way_to_the_built_in_ones(session: Session) -> None:
    broken = welcome.Welcome(7, "坏的", "{不认识}您好")

    assert welcome.fillable(broken).text == welcome.PLAIN_TEXT
    assert welcome.fillable(broken).welcome_message_id == 7


@pytest.mark.parametrize(
    ("text", "count"), [(" ", 0), ("长" * 1400, 0), ("{不认识}", 0), ("好", 10)]
)
def test_a_welcome_that_could_not_be_sent_is_refused(text: str, count: int) -> None:
    with pytest.raises(UserError):
        welcome.check(name="欢迎", text=text, materials=["素材"] * count)
