"""What HQ asks a guide to send, on her phone: she presses, and customers read it."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.bot.sandbox.conftest import World
from tests.bot.sandbox.test_phones import hold, open_phones, page

__all__ = ["page"]


def test_a_mass_message_waits_on_the_phone_and_is_read_in_the_chat(
    page: Page, world: World
) -> None:
    open_phones(page, world)
    hold(page, "customer", "李雷")
    hold(page, "guide", "王芳")
    world.post(
        "externalcontact/add_msg_template",
        {
            "chat_type": "single",
            "sender": "wangfang",
            "external_userid": ["wmLiLei"],
            "text": {"content": "<b>新品</b>到店"},
        },
    )
    sender = {"sender_list": {"user_list": ["wangfang"]}}
    world.post(
        "externalcontact/add_moment_task", {"text": {"content": "七夕"}, "visible_range": sender}
    )
    page.locator("#guide-seat .head-back").click()
    page.locator("#guide-seat .tab", has_text="客户").click()
    rows = page.locator("#guide-seat .rows")
    expect(rows).to_contain_text("群发给 1 位客户")
    expect(rows.locator(".row-name", has_text="<b>新品</b>到店")).to_have_count(1)
    rows.get_by_role("button", name="发送").click()
    expect(rows).not_to_contain_text("群发给")
    rows.get_by_role("button", name="发表").click()
    expect(rows).not_to_contain_text("群发助手")
    page.locator("#customer-seat .row", has_text="王芳").click()
    expect(page.locator("#customer-seat .left .bubble")).to_have_text("<b>新品</b>到店")
    expect(page.locator("#world .news")).to_contain_text("李雷收到了王芳的群发")
    expect(page.locator("#world .news")).to_contain_text("王芳发表了一条朋友圈")
