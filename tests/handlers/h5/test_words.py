"""Talking points: found by word or scene, filled in for the customer in view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from tests.factories import Make
from tests.fixtures_db import counting

Enter = Callable[[Any], FlaskClient]
PART = {"HX-Request": "true"}


def test_words_are_found_and_filled_for_the_guide_or_for_one_customer(
    enter: Enter, make: Make, session: Session
) -> None:
    guide = make.guide(make.store(name="南京路店"), name="张三")
    contact = make.contact(guide, name="王芳", gender=2)
    make.member(contact, name="王芳")
    make.talking_point("{客户称呼}，我是{门店名}的{导购名}。", name="问候", scene="新客")
    make.talking_point("婚戒保养…", name="婚戒清洗", scene="售后")
    session.commit()
    client = enter(guide)
    everything = client.get("/h5/words").text
    assert "您好，我是南京路店的张三。" in everything
    assert "婚戒保养" in everything
    assert "婚戒保养" not in client.get("/h5/words?scene=新客").text
    hit = client.get("/h5/words?q=保养", headers=PART).text
    assert "婚戒保养" in hit
    assert "<html" not in hit
    assert "王女士，我是南京路店的张三。" in client.get(f"/h5/words?contact={contact.id}").text
    assert "没有找到「火星」的话术" in client.get("/h5/words?q=火星").text


def test_the_statements_do_not_grow_with_the_library(
    enter: Enter, make: Make, session: Session, bot: Any
) -> None:
    guide = make.guide()
    make.talking_point()
    session.commit()
    client = enter(guide)
    counts = []
    for _ in range(2):
        with counting(bot.engine) as seen:
            client.get("/h5/words")
        counts.append(seen.count)
        for _ in range(10):
            make.talking_point("一", "二")
        session.commit()
    assert counts[0] == counts[1] <= 7
