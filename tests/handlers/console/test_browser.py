"""A person at the console: writes a plan, reads what it would do, publishes it, finds it listed."""

from __future__ import annotations

from playwright.sync_api import expect
from sqlalchemy import func, select

from bot.clock import business_day
from sop.models import Enrollment
from tests.sop.plans import publish, spec


def test_a_plan_is_written_previewed_published_and_listed(bot, session, make, page, address):
    guide = make.guide(name="张三")
    for n in range(3):
        make.contact(guide, followed_on=business_day(bot.clock.now()), name=f"客户{n}号")
    make.talking_point("{客户称呼}您好，我是{导购名}", name="新客问候")
    session.commit()

    page.goto(f"{address}/console/sops/")
    page.click("text=新建第一个 SOP")
    page.click("#save")
    expect(page.locator("[data-at=name] > .wrong")).to_have_text("给这个 SOP 起个名字")
    page.fill("#name", "新客首月")
    page.click("#save")
    expect(page.locator("#steps .wrong")).to_contain_text("要有标题")
    page.fill("#steps input[maxlength='40']", "当天问候")
    page.select_option("#steps select:has(optgroup)", "新客问候")
    expect(page.locator("#steps .bubble")).to_contain_text("我是张三")

    page.click("text=只对满足条件的客户")
    page.select_option("select[aria-label=字段]", label="消费次数")
    page.select_option("select[aria-label=比较]", label="少于")
    page.fill("input[aria-label=消费次数]", "3")
    expect(page.locator("#said-audience")).to_have_text("对消费次数少于 3 次，")

    page.click("#preview")
    expect(page.locator(".preview .samples")).to_contain_text("您好，我是张三", timeout=60_000)
    page.click("#drawer [data-close]")

    page.click("#publish")
    dialog = page.locator("#publish-dialog")
    expect(dialog).to_contain_text("现在入组 3 位客户", timeout=30_000)
    expect(dialog.locator(".reach")).to_have_count(1)
    assert session.scalar(select(func.count()).select_from(Enrollment)) == 0
    page.click("#publish-go")
    page.wait_for_url("**/console/sops/*?did=live")
    assert session.scalar(select(func.count()).select_from(Enrollment)) == 3

    page.goto(f"{address}/console/sops/")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("已发布 v1")


def test_pages_fit_the_screen_empty_and_full(session, make, page, address):
    session.commit()
    paths = ("/console/", "/console/sops/", "/console/sops/new", "/console/contacts/")

    def overflow(width):
        page.set_viewport_size({"width": width, "height": 844})
        found = {}
        for path in paths:
            page.goto(address + path)
            found[path] = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return {path: over for path, over in found.items() if over > 0}

    assert overflow(390) == overflow(1280) == {}
    expect(page.locator(".empty-title")).to_have_text("还没有客户")
    long = "上海环球港超级旗舰体验店三层中庭东侧与西侧连廊之间的周年庆专属关怀计划"
    store = make.store(name=long, region_id=make.region(name=long[:20]).id)
    for n in range(12):
        make.contact(make.guide(store, name=long), name=f"{n}{long}")
        publish(session, spec(f"{long}{n}", {"kind": "followed"}))
    paths += ("/console/sops/1", "/console/sops/1/edit", "/console/contacts/1")
    assert overflow(390) == overflow(1280) == {}
    page.on("dialog", lambda dialog: dialog.accept())
