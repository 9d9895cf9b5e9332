"""Leads on a guide's phone: the hottest first, why, words to begin with, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from sop import lead_assignment, leads
from tests.factories import NOON, Make
from tests.fixtures_db import counting
from tests.handlers.h5.conftest import COOKIE
from tests.handlers.h5.test_browser import address, page

__all__ = ["address", "page"]

Enter = Callable[[Any], FlaskClient]
PART = {"HX-Request": "true"}


@pytest.fixture
def guide(make: Make, session: Session) -> Any:
    guide = make.guide(make.store(name="南京路店"), name="张三")
    make.talking_point("{客户称呼}，我是{导购名}", "{客户称呼}，想看哪一款？", scene="线索")
    make.talking_point("{客户称呼}，生日快乐", scene="生日")
    session.commit()
    return guide


def raised(session: Session, make: Make, guide: Any, name: str, *, hot: bool = True) -> int:
    contact = make.contact(None, name=name)
    make.follow(guide, contact)
    key = f"t:{contact.id}"
    if hot:
        found = leads.raise_intent(session, contact.id, "定制", "想订做", NOON, dedupe_key=key)
    else:
        found = leads.raise_strong(session, contact.id, NOON, dedupe_key=key)
    assert found is not None
    session.commit()
    return found


def state_of(session: Session, lead_id: int) -> tuple[str, str | None]:
    session.expire_all()
    row = session.execute(text("SELECT state, outcome FROM lead WHERE id = :id"), {"id": lead_id})
    return tuple(row.one())  # type: ignore[return-value]


def names(page: str) -> list[str]:
    return re.findall(r'class="task-name">([^<]+)<', page)


def test_the_hottest_stand_first_with_the_reason_and_words_to_begin(
    enter: Enter, make: Make, session: Session, guide: Any
) -> None:
    raised(session, make, guide, "王女士", hot=False)
    hot = raised(session, make, guide, "李女士")
    done = raised(session, make, guide, "赵女士")
    leads.touch(session, done, NOON, guide_id=guide.id)
    raised(session, make, make.guide(), "别人的客户")
    page = enter(guide).get("/h5/leads/").text
    assert names(page) == ["李女士", "王女士", "赵女士"]
    for words in ("2 条待联系", "意向强", "问到定制：「想订做」", "到店后意向强", "我是张三"):
        assert words in page
    assert "生日快乐" not in page
    assert f'id="lead-{hot}"' in page
    assert page.count("/touched") == 4, "who was spoken to is not asked again"


def test_the_list_of_today_tells_of_leads_that_wait(
    enter: Enter, make: Make, session: Session, guide: Any
) -> None:
    client = enter(guide)
    assert "看线索" not in client.get("/h5/today").text
    lead_id = raised(session, make, guide, "李女士")
    assert "线索 1 条待联系，1 条意向强" in client.get("/h5/today").text
    leads.touch(session, lead_id, NOON, guide_id=guide.id)
    session.commit()
    assert "线索 都联系过了，等结果" in client.get("/h5/today").text


def test_without_a_lead_the_page_says_where_they_come_from(enter: Enter, guide: Any) -> None:
    page = enter(guide).get("/h5/leads/").text
    assert "现在没有等您跟进的线索" in page
    assert "意向 王女士 想定制婚戒" in page


def test_touched_twice_is_touched_once_and_lost_needs_a_reason(
    enter: Enter, make: Make, session: Session, guide: Any
) -> None:
    lead_id = raised(session, make, guide, "李女士")
    client = enter(guide)
    for _ in range(2):
        answer = client.post(f"/h5/leads/{lead_id}/touched", headers=PART)
        assert answer.status_code == 200
        assert "已联系" in answer.text
        assert "/touched" not in answer.text
    assert state_of(session, lead_id) == ("touched", None)
    refused = client.post(f"/h5/leads/{lead_id}/lost", headers=PART)
    assert refused.status_code == 400
    assert "请选一个原因" in refused.json["error"]
    sheet = client.get(f"/h5/leads/{lead_id}/lost", headers=PART).text
    assert "在别处买了" in sheet
    for _ in range(2):
        answer = client.post(
            f"/h5/leads/{lead_id}/lost", data={"reason": "在别处买了"}, headers=PART
        )
        assert "没成：在别处买了" in answer.text
    assert state_of(session, lead_id) == ("lost", "在别处买了")
    assert names(client.get("/h5/leads/").text) == []


@pytest.mark.parametrize("verb", ["touched", "lost"])
def test_another_guides_lead_is_not_hers_to_speak_of(
    enter: Enter, make: Make, session: Session, guide: Any, verb: str
) -> None:
    lead_id = raised(session, make, make.guide(), "李女士")
    answer = enter(guide).post(
        f"/h5/leads/{lead_id}/{verb}", data={"reason": "不是我的"}, headers=PART
    )
    assert answer.status_code == 400
    assert state_of(session, lead_id) == ("assigned", None)
    assert enter(guide).get(f"/h5/leads/{lead_id}/lost", headers=PART).status_code == 400


def test_a_lead_of_somebody_who_is_no_friend_yet_leads_to_no_page(
    enter: Enter, make: Make, session: Session, guide: Any
) -> None:
    lead_id = raised(session, make, make.guide(), "李女士")
    lead_assignment.give(session, lead_id, guide.id, NOON)
    session.commit()
    page = enter(guide).get("/h5/leads/").text
    assert names(page) == ["李女士"]
    assert "还不是您的好友" in page
    assert "/h5/contact/" not in page


def test_the_statements_do_not_grow_with_the_leads(
    enter: Enter, make: Make, session: Session, guide: Any, engine: Engine
) -> None:
    client, counts = enter(guide), []
    for more in (1, 6):
        for n in range(more):
            raised(session, make, guide, f"客{more}{n}")
        with counting(engine) as seen:
            client.get("/h5/leads/")
        counts.append(seen.count)
    assert counts[0] == counts[1]


def test_a_guide_copies_the_words_says_she_was_in_touch_and_why_it_came_to_nothing(
    page: Page, address: str, enter: Any, make: Make, session: Session, guide: Any
) -> None:
    first = raised(session, make, guide, "李女士")
    second = raised(session, make, guide, "王女士")
    cookie = enter(guide).get_cookie(COOKIE)
    page.context.add_cookies([{"name": COOKIE, "value": cookie.value, "url": address}])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    page.goto(f"{address}/h5/today")
    page.get_by_text("看线索").click()
    card = page.locator(f"#lead-{first}")
    card.get_by_role("button", name="复制话术").click()
    expect(page.locator("#toast")).to_have_text("已复制，去聊天里粘贴发送")
    assert page.evaluate("navigator.clipboard.readText()").endswith("我是张三")
    card.get_by_role("button", name="已联系").click()
    expect(card.locator(".task-due")).to_have_text("已联系")
    other = page.locator(f"#lead-{second}")
    other.locator("summary").click()
    other.get_by_text("没成").click()
    page.get_by_role("button", name="预算不合适").click()
    expect(other).to_contain_text("没成：预算不合适")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert state_of(session, first) == ("touched", None)
    assert state_of(session, second) == ("lost", "预算不合适")
