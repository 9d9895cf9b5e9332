"""The editor under the hand: nothing jumps, nothing is lost, an error stands where it belongs."""

from __future__ import annotations

from playwright.sync_api import expect

FOCUSED = "document.activeElement.getAttribute('aria-label')"


def opened(page, address):
    page.goto(f"{address}/console/sops/new")
    expect(page.locator("#save")).to_be_enabled()
    return page


def test_who_chooses_by_keyboard_stays_where_she_is(session, make, page, address):
    session.commit()
    opened(page, address)
    page.get_by_role("button", name="按客户等级").press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "按客户等级"
    select = page.locator("[data-key=way-A] select")
    select.focus()
    page.evaluate("window.scrollTo(0, 300)")
    before = page.evaluate("scrollY")
    select.select_option("sms")
    assert page.evaluate(FOCUSED) == "A 级客户"
    assert page.evaluate("scrollY") == before
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "A 级客户，联系不上再"


def test_a_day_is_typed_without_the_step_running_away(session, make, page, address):
    session.commit()
    opened(page, address)
    page.select_option("#trigger-kind", "birthday")
    page.click("#add-step")
    page.locator("#steps input[maxlength='40']").fill("提前")
    day = page.locator("[data-at$='.day'] input")
    day.fill("-7")
    # A click elsewhere while the day is still in the hand arrives where it was meant.
    page.locator("#steps input[maxlength='40']").click()
    page.keyboard.type("问候")
    expect(page.locator(".step-when").nth(1)).to_have_text("提前 7 天 10:00")
    expect(page.locator(".step-name").nth(1)).to_have_text("提前问候")
    page.locator(".step-head").nth(1).click()
    # Only when it is folded it goes to its place among the days.
    expect(page.locator(".step-name").first).to_have_text("提前问候")


def test_an_error_in_a_group_stands_beside_its_condition_and_nothing_is_lost(
    session, make, page, address
):
    make.talking_point("您好", name="问候")
    session.commit()
    opened(page, address)
    page.fill("#name", "新客")
    page.fill("#steps input[maxlength='40']", "当天问候")
    page.click("text=只对满足条件的客户")
    page.click("text=添加一组")
    inner = page.locator("[data-at='audience.all.1.any.0']")
    inner.locator("select[aria-label=字段]").select_option("purchase_count")
    first = page.locator("[data-at='audience.all.0']")
    first.locator("select[aria-label=字段]").select_option("purchase_count")
    first.locator("input").fill("3")
    page.click("#save")
    expect(inner.locator(".wrong")).to_have_text("「消费次数」还没有填")
    assert page.evaluate(FOCUSED) == "字段"
    inner.locator("input").fill("很多")
    page.click("#save")
    expect(inner.locator(".wrong:not(.is-past)")).to_contain_text("须是整数")
    inner.locator("input").fill("5")
    page.click("#save")
    # The next error is that of the step, which says so without its number.
    said = page.locator("[data-at$='.talking_point'] .wrong")
    expect(said).to_have_text("这一步要选一条话术")
    expect(first.locator("input")).to_have_value("3")
    expect(page.locator("#steps input[maxlength='40']")).to_have_value("当天问候")


def test_a_look_at_another_trigger_or_way_loses_nothing(session, make, page, address):
    session.commit()
    opened(page, address)
    page.select_option("#trigger-kind", "every")
    page.locator("[data-at='trigger.each'] select").select_option("week")
    expect(page.locator("[data-at='trigger.month_day']")).to_have_count(0)
    page.locator("[data-at='trigger.weekday'] select").select_option(label="周三")
    page.select_option("#trigger-kind", "idle")
    page.select_option("#trigger-kind", "every")
    expect(page.locator("[data-at='trigger.weekday'] select")).to_have_value("3")
    page.get_by_role("button", name="按客户等级").click()
    page.locator("[data-key=way-S] select").select_option("call")
    page.get_by_role("button", name="所有人一样").click()
    page.get_by_role("button", name="按客户等级").click()
    expect(page.locator("[data-key=way-S] select")).to_have_value("call")


def test_a_deleted_step_comes_back(session, make, page, address):
    session.commit()
    opened(page, address)
    page.fill("#steps input[maxlength='40']", "第一步")
    page.click("#add-step")
    page.fill("#steps input[maxlength='40']", "第二步")
    page.locator(".step-foot .link.is-red").click()
    expect(page.locator(".step")).to_have_count(1)
    page.click("#toast button")
    expect(page.locator(".step-name").nth(1)).to_have_text("第二步")


def test_words_for_one_customer_are_not_offered_to_many(session, make, page, address):
    make.talking_point("您的积分还有{积分余额}", name="积分")
    make.talking_point("上新了", name="上新")
    session.commit()
    opened(page, address)
    page.locator("select[aria-label=怎么联系]").select_option("mass_message")
    options = page.locator("[data-at$='.talking_point'] option")
    expect(options.filter(has_text="积分")).to_be_disabled()
    expect(options.filter(has_text="上新")).to_be_enabled()
