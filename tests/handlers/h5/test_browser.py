"""The pages in a real browser: the scripts run under the policy, and a tap does what it says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from tests.factories import Make
from tests.handlers.h5.conftest import COOKIE
from tests.handlers.h5.plan import care_plan, state_of, with_tasks
from tests.legible import pale_words, small_targets


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A phone; whatever its console complains about fails the test."""
    complaints: list[str] = []
    phone = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = phone.new_page()
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    phone.close()
    assert complaints == []


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(5)
    server.server_close()


def test_a_guide_copies_skips_puts_off_and_completes(
    page: Page, address: str, enter: Any, make: Make, session: Session
) -> None:
    guide = make.guide()
    care_plan(session, make)
    first, second, third = with_tasks(session, make, guide, 3)
    cookie = enter(guide).get_cookie(COOKIE)
    page.context.add_cookies([{"name": COOKIE, "value": cookie.value, "url": address}])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    page.goto(f"{address}/h5/today")

    card = page.locator(f"#task-{first.id}")
    planned = card.locator(".words-text:visible").text_content()
    before = card.bounding_box()
    card.get_by_text("换一条").click()
    other = card.locator(".words-text:visible").text_content()
    assert other != planned
    card.get_by_role("button", name="复制话术").click()
    expect(page.locator("#toast")).to_contain_text("已复制")
    assert page.evaluate("navigator.clipboard.readText()") == other
    after = card.bounding_box()
    assert before is not None
    assert after is not None
    # Nothing jumps away under her thumb.
    assert abs(before["height"] - after["height"]) < 30
    card.get_by_role("button", name="完成").click()
    expect(page.locator("#summary")).to_contain_text("已完成 1")
    expect(card).to_contain_text("已完成")

    card = page.locator(f"#task-{second.id}")
    card.locator("summary").click()
    card.get_by_text("跳过").click()
    sheet = page.locator("#sheet")
    sheet.get_by_role("button", name="跳过", exact=True).click()
    expect(sheet.locator("[data-error]")).to_contain_text("请选一个原因")
    sheet.get_by_text("客户已购买").click()
    expect(sheet).not_to_be_visible()
    expect(card).to_contain_text("已跳过：客户已购买")

    card = page.locator(f"#task-{third.id}")
    card.locator("summary").click()
    card.get_by_text("改期").click()
    sheet.get_by_text("后天").click()
    expect(card).to_contain_text("已改期到后天")
    expect(page.locator("#summary")).to_contain_text("今日 2 项")

    states = [state_of(session, task) for task in (first, second, third)]
    assert [task.state for task in states] == ["done", "skipped", "deferred"]
    assert states[0].opened_at is not None
    assert all(task.shown_at is not None for task in states[:2])


def test_by_day_and_by_night_every_word_stands_out_and_a_thumb_hits_every_target(
    page: Page, address: str, enter: Any, make: Make, session: Session
) -> None:
    guide = make.guide()
    care_plan(session, make)
    first, *_ = with_tasks(session, make, guide, 3)
    cookie = enter(guide).get_cookie(COOKIE)
    page.context.add_cookies([{"name": COOKIE, "value": cookie.value, "url": address}])
    own = f"/h5/contact/{first.contact_id}"
    for path in ("/h5/today", "/h5/contacts", "/h5/words", own, f"/h5/tasks/{first.id}/skip"):
        page.goto(address + path)
        assert small_targets(page) == {}, path
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert pale_words(page) == {}, (path, scheme)
