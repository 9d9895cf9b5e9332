"""A person at the console reads leads, invitations, the lost and an explanation, on any screen."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from bot.clock import at, business_day
from sop import appointments, leads
from sop.models import Intent
from tests.sop.plans import night, publish, spec, step

LONG = "上海环球港超级旗舰体验店三层中庭东侧与西侧连廊之间的周年庆专属关怀计划"
PATHS = ("/console/leads/", "/console/appointments/", "/console/lost/")


@pytest.fixture
def shop(bot, session, make):
    """A few people with leads, appointments and ends; the names are as long as names get."""
    now = bot.clock.now()
    day = business_day(now)
    guide = make.guide(make.store(name=LONG), name="张三丰")
    for number, name in enumerate(("王小雨", "李大山", LONG[:20])):
        contact = make.contact(guide, name=name, followed_on=day)
        leads.raise_intent(
            session, contact.id, "定制", "想订做一对" + LONG, now, dedupe_key=f"b{number}"
        )
        row = appointments.by_hand(session, contact.id, guide.id, guide.store_id, now)
        row.gift = LONG
        slot = at(day + timedelta(days=1 + number), 15)
        appointments.book(session, row.id, slot_at=slot, store_id=guide.store_id, by="x", now=now)
        if not number:
            appointments.arrive(session, row.id, at=now, by="x")
            appointments.say_intent(session, row.id, Intent.STRONG, now=now)
        gone = make.contact(None, name=f"走了的{name}")
        relation = make.follow(guide, gone, followed_on=day - timedelta(days=100))
        relation.state, relation.ended_on, relation.ended_by = "ended", day, "customer"
        gone.guide_id = None
    audience = {"field": "purchase_count", "op": ">=", "value": 3}
    publish(session, spec("新客首月", {"kind": "followed"}, step(LONG[:40])))
    publish(session, spec(LONG, {"kind": "followed"}, audience=audience))
    night(session, day)
    session.commit()


def test_a_lead_is_found_in_the_menu_and_said_to_be_touched(page, shop):
    page.click("nav .menu >> text=线索")
    expect(page.locator("tbody tr")).to_have_count(3)
    row = page.locator("tbody tr", has_text="王小雨")
    row.locator("button", has_text="已联系").click()
    expect(page.locator("tbody tr", has_text="王小雨").locator(".state")).to_have_text("已联系")
    page.click("text=已成交")
    expect(page.locator(".empty-title")).to_have_text("还没有成交的线索")


def test_a_lead_is_given_to_a_guide_who_is_chosen_by_name(page, shop, session, make):
    make.guide(name="李四", userid="lisi")
    session.commit()
    page.click("nav .menu >> text=线索")
    row = page.locator("tbody tr", has_text="王小雨")
    row.locator("summary", has_text="转给").click()
    row.get_by_label("把王小雨转给谁").fill("李四")
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    row.locator("button", has_text="转过去").click()
    expect(page.locator("tbody tr", has_text="王小雨")).to_contain_text("李四")


def test_an_appointment_is_cancelled_arrives_and_has_its_outcome(page, shop):
    page.click("nav .menu >> text=邀约")
    row = page.locator("tbody tr", has_text="王小雨")
    row.locator("summary", has_text="结果").click()
    row.get_by_label("王小雨的结果").fill("成交")
    row.locator("button", has_text="记下").click()
    expect(row.locator(".state")).to_have_attribute("title", "成交")
    row = page.locator("tbody tr", has_text="李大山")
    row.locator("button", has_text="到店").click()
    expect(row.locator(".state")).to_have_text("已到店")
    link = page.get_by_role("link", name=LONG[:20], exact=True)
    row = page.locator("tbody tr", has=link)
    row.locator("button", has_text="取消").click()
    expect(page.locator(".state", has_text="已取消")).to_have_count(1)


def test_from_a_profile_the_days_are_explained_one_by_one(page, shop, address):
    page.goto(f"{address}/console/contacts/")
    page.click("text=王小雨")
    expect(page.locator("aside")).to_contain_text("问到定制：「想订做一对")
    page.click("text=逐日查看")
    expect(page.locator("h1")).to_contain_text("为什么")
    expect(page.locator(".why")).to_have_count(1)
    expect(page.locator(".facts.is-wide")).to_contain_text("消费次数")
    page.click("text=前一天")
    expect(page.locator(".calm").first).to_have_text("这一天没有任务。")


def test_the_lost_and_the_invitations_lead_to_the_customer(page, shop):
    page.click("nav .menu >> text=流失")
    page.click("text=客户删除导购")
    expect(page.locator("tbody tr")).to_have_count(3)
    page.click("nav .menu >> text=邀约")
    expect(page.locator(".figures")).to_contain_text("33% 的邀约")
    page.locator("tbody tr", has_text="王小雨").locator("a").click()
    expect(page.locator("h1")).to_have_text("王小雨")


def test_the_pages_fit_the_screen_empty_and_full(page, address, request):
    def overflow(width, *more):
        page.set_viewport_size({"width": width, "height": 844})
        found = {}
        for path in (*PATHS, *more):
            page.goto(address + path)
            found[path] = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return {path: over for path, over in found.items() if over > 0}

    assert overflow(390) == overflow(1280) == {}
    request.getfixturevalue("shop")
    explain = "/console/contacts/1/explain"
    assert overflow(390, explain) == overflow(1280, explain) == {}
