"""The two phones in a real browser: what is pressed happens, and what happens is shown."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Page, expect
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

import bot.sandbox
from bot.clock import SHANGHAI, business_day
from bot.sandbox.server import create_sandbox
from bot.sandbox.serving import RunningSandbox, serve
from bot.wecom.events import CardClicked, ContactHalfAdded, GuideMessage
from tests.bot.sandbox.conftest import World, wait_until

FILES = Path(bot.sandbox.__file__).parent
MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(|new Function|document\.write")
HOSTILE = "<img src=x onerror=document.title='bad'>{{7*7}}"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page at 1280 by 800; a script error or a broken rule of the page fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if "Policy" in line.text else None)
    yield page
    context.close()
    assert wrong == []


def open_phones(page: Page, world: World | RunningSandbox, path: str = "/") -> None:
    running = world.running if isinstance(world, World) else world
    page.goto(running.url + path)
    expect(page.locator("body")).to_have_class(re.compile("is-ready"))


def hold(page: Page, seat: str, name: str) -> None:
    """Give a phone to somebody, found by name."""
    page.locator(f"#{seat}-seat .holder").click()
    page.locator(f"#{seat}-seat .search").fill(name)
    page.locator(f"#{seat}-seat .pick", has_text=name).first.click()
    expect(page.locator(f"#{seat}-seat .holder strong")).to_have_text(name)


def card(**more: Any) -> dict[str, Any]:
    return {
        "card_type": "button_interaction",
        "main_title": {"title": "韩梅 4 天后生日", "desc": "买过对戒"},
        "horizontal_content_list": [{"keyname": "上次购买", "value": "相守对戒"}],
        "task_id": "task-1",
        "button_list": [
            {"text": "完成", "style": 1, "key": "done-1"},
            {"text": "跳过", "style": 4, "key": "skip-1"},
        ],
        **more,
    }


def send_card(world: World, content: dict[str, Any], userid: str = "wangfang") -> dict[str, Any]:
    body = {"touser": userid, "agentid": 1000002, "msgtype": "template_card"}
    answer = world.post("message/send", {**body, "template_card": content})
    assert answer["errcode"] == 0
    return answer


def test_a_scan_brings_chat_welcome_and_request_to_the_phones(page: Page, world: World) -> None:
    world.add_way("wangfang", state="sh001", skip_verify=True, remark="南京路店收银台")
    open_phones(page, world)
    hold(page, "customer", "韩梅")
    expect(page.locator("#tour .is-next")).to_have_text("①扫码")
    page.locator("#world .code", has_text="收银台").click()
    [added] = world.receiver.wait_for(1)
    assert isinstance(added, ContactHalfAdded)
    assert (added.userid, added.external_userid, added.state) == ("wangfang", "wmHanMei", "sh001")
    expect(page.locator("#tour .is-next")).to_have_text("②看欢迎语")
    link = {"title": "保养手册", "url": "https://example.com/care", "desc": "六个小习惯"}
    world.post("externalcontact/send_welcome_msg", {
        "welcome_code": added.welcome_code,
        "text": {"content": "韩女士您好，我是王芳。"},
        "attachments": [{"msgtype": "link", "link": link}],
    })  # fmt: skip
    chat = page.locator("#customer-seat .thread")
    expect(chat.locator(".left .bubble")).to_have_text("韩女士您好，我是王芳。")
    expect(chat.locator(".link-card .link-title")).to_have_text("保养手册")
    expect(page.locator("#tour .is-next")).to_have_text("③买点东西")
    page.locator("#guide-seat .head-back").click()
    page.locator("#guide-seat .tab", has_text="客户").click()
    page.locator("#guide-seat .row", has_text="韩梅").get_by_role("button", name="通过").click()
    expect(page.locator("#guide-seat .rows")).to_contain_text("我的客户 2 位")


def test_a_hostile_nickname_and_message_stay_text_everywhere(page: Page, world: World) -> None:
    open_phones(page, world)
    hold(page, "guide", "王芳")
    page.locator("#customer-seat .holder").click()
    page.locator("#customer-seat .search").fill(HOSTILE[:30])
    page.locator("#customer-seat .pick.is-new").click()
    stranger = world.town.add_customer(HOSTILE)
    world.town.befriend("wangfang", stranger)
    requests.post(f"{world.running.url}/api/do/chat", json={
        "userid": "wangfang", "external_userid": stranger, "sender": "customer", "text": HOSTILE,
    }, timeout=5)  # fmt: skip
    body = {"touser": "wangfang", "agentid": 1000002, "msgtype": "text"}
    words = (
        f'{HOSTILE} <a href="javascript:alert(1)">点我</a> <a href="https://example.com">清单</a>'
    )
    world.post("message/send", {**body, "text": {"content": words}})
    expect(page.locator("#guide-seat .left .bubble")).to_contain_text(HOSTILE)
    expect(page.locator("#guide-seat .bubble a")).to_have_text(["清单"])
    page.locator("#guide-seat .head-back").click()
    expect(page.locator("#guide-seat .row-line", has_text=HOSTILE)).to_have_count(2)
    page.locator("#guide-seat .row[data-chat^='chat:']", has_text=HOSTILE).click()
    expect(page.locator("#guide-seat .left .bubble")).to_have_text(HOSTILE)
    assert page.title() == "星河珠宝 · 双机演示"
    assert page.locator("img[src='x']").count() == 0


def test_a_pressed_card_tells_the_app_and_shows_what_became_of_it(page: Page, world: World) -> None:
    open_phones(page, world)
    hold(page, "guide", "王芳")
    send_card(world, card())
    page.locator(".card-button", has_text="完成").click()
    [clicked] = world.receiver.wait_for(1)
    assert isinstance(clicked, CardClicked)
    assert (clicked.userid, clicked.key, clicked.task_id) == ("wangfang", "done-1", "task-1")
    world.post("message/update_template_card", {
        "userids": ["wangfang"], "agentid": 1000002, "response_code": clicked.response_code,
        "button": {"replace_name": "已完成"},
    })  # fmt: skip
    done = page.locator(".card-button")
    expect(done).to_have_text(["已完成"])
    expect(done).to_be_disabled()


def test_commands_are_written_by_hand_or_by_chip(page: Page, world: World) -> None:
    open_phones(page, world)
    hold(page, "guide", "王芳")
    page.locator(".chip", has_text="今日").click()
    expect(page.locator("#guide-seat .right .bubble")).to_have_text(["今日"])
    page.locator("#guide-seat .composer-box").fill("完成 2")
    page.keyboard.press("Enter")
    said = world.receiver.wait_for(2)
    assert [one.text for one in said if isinstance(one, GuideMessage)] == ["今日", "完成 2"]
    expect(page.locator("#guide-seat .composer-box")).to_have_value("")


def test_the_till_reports_what_was_bought_and_takes_it_back(page: Page, world: World) -> None:
    open_phones(page, world)
    hold(page, "customer", "李雷")
    hold(page, "guide", "王芳")
    expect(page.get_by_role("button", name="退货")).to_be_disabled()
    page.locator(".piece", has_text="相守铂金对戒").click()
    page.locator(".amount").fill("一千")
    page.locator(".pay").click()
    expect(page.locator(".field-error")).to_contain_text("金额写成数字")
    page.locator(".amount").fill("9,520")
    page.locator(".pay").click()
    wait_until(lambda: world.receiver.purchases)
    [event] = json.loads(world.receiver.purchases[0][1])
    assert event["who"] == {"unionid": "oLiLei"}
    assert (event["store"], event["guide"], event["amount_fen"]) == ("SH001", "wangfang", 952_000)
    assert event["lines"][0]["category"] == "对戒"
    page.get_by_role("button", name="退货").click()
    page.get_by_role("button", name="整单退").click()
    wait_until(lambda: len(world.receiver.purchases) == 2)
    [refund] = json.loads(world.receiver.purchases[1][1])
    assert (refund["order_no"], refund["amount_fen"]) == (event["order_no"], 952_000)
    expect(page.get_by_role("button", name="退货")).to_be_disabled()


def test_the_customer_may_leave_the_guide_from_the_panel(page: Page, world: World) -> None:
    open_phones(page, world)
    hold(page, "customer", "李雷")
    hold(page, "guide", "王芳")
    page.get_by_role("button", name="客户删除导购").click()
    expect(page.get_by_role("button", name="客户删除导购")).to_be_disabled()
    [gone] = world.receiver.wait_for(1)
    assert type(gone).__name__ == "GuideRemoved"


@pytest.fixture
def belled(world: World) -> Iterator[tuple[RunningSandbox, list[tuple[str, date]]]]:
    """The same town behind a second door that has bells to ring and knows its own address."""
    rung: list[tuple[str, date]] = []
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = replace(
        world.config,
        on_night=lambda day: rung.append(("night", day)),
        on_morning=lambda day: rung.append(("morning", day)),
        public_base_url=f"http://127.0.0.1:{port}",
    )
    running = serve(config, port)
    yield running, rung
    running.stop()


def test_days_pass_one_by_one_with_their_night_and_morning(
    page: Page, world: World, belled: tuple[RunningSandbox, list[tuple[str, date]]]
) -> None:
    running, rung = belled
    # From noon on, so that the next morning is tomorrow's at whatever hour this test runs.
    noon = world.clock.now().astimezone(SHANGHAI).replace(hour=12, minute=0) + timedelta(days=1)
    world.clock.advance(noon - world.clock.now())
    today = business_day(world.clock.now())
    open_phones(page, running)
    page.get_by_role("button", name="3 天").click()
    expect(page.get_by_role("button", name="3 天")).to_be_enabled(timeout=15_000)
    days = [today + timedelta(days=ahead) for ahead in (1, 2, 3)]
    assert rung == [(bell, day) for day in days for bell in ("night", "morning")]
    expect(page.locator(".now-hour")).to_have_text(re.compile("^08:5[01]$"))
    expect(page.locator(".now-day")).to_contain_text(f"{days[2].month}月{days[2].day}日 周")
    expect(page.locator("#guide-seat .status-time")).to_have_text(re.compile("^08:5[01]$"))


def test_a_page_opened_from_a_card_sees_whose_phone_it_is(
    page: Page, world: World, belled: tuple[RunningSandbox, list[tuple[str, date]]]
) -> None:
    running, _ = belled
    query = {"appid": "ww1", "redirect_uri": f"{running.url}/api/version", "state": "s"}
    url = f"{running.url}/connect/oauth2/authorize?{urlencode(query)}"
    open_phones(page, running)
    hold(page, "guide", "刘洋")
    send_card(world, card(card_action={"type": 1, "url": url}), "liuyang")
    with page.expect_event("framenavigated", lambda frame: "code=" in frame.url) as came:
        page.locator(".card-face").click()
    code = parse_qs(urlsplit(came.value.url).query)["code"][0]
    assert world.get("auth/getuserinfo", code=code)["userid"] == "liuyang"
    page.get_by_role("button", name="关闭").click()
    expect(page.locator("iframe")).to_have_count(0)


def test_the_link_of_a_kf_account_opens_its_chat(page: Page, world: World) -> None:
    open_phones(page, world, "/kf/wkXingHe")
    expect(page.locator("#customer-seat .head-name")).to_have_text("星河客服")
    page.locator("#customer-seat .composer-box").fill("我的积分")
    page.keyboard.press("Enter")
    expect(page.locator("#customer-seat .right .bubble")).to_have_text(["我的积分"])
    customer = page.evaluate("localStorage.getItem('sandbox-phones::customer')")
    menu = {"head_content": "想了解什么？", "list": [
        {"type": "click", "click": {"id": "m1", "content": "今日金价"}}]}  # fmt: skip
    answer = world.post("kf/send_msg", {
        "touser": customer, "open_kfid": "wkXingHe", "msgtype": "msgmenu", "msgmenu": menu,
    })  # fmt: skip
    assert answer["errcode"] == 0
    page.locator(".menu-entry", has_text="今日金价").click()
    expect(page.locator("#customer-seat .right .bubble")).to_have_text(["我的积分", "今日金价"])
    assert requests.get(f"{world.running.url}/kf/wkNobody", timeout=5).status_code == 404


def test_a_customer_who_was_handed_over_is_taken_by_the_guide(page: Page, world: World) -> None:
    open_phones(page, world, "/kf/wkXingHe")
    hold(page, "customer", "李雷")
    page.locator("#customer-seat .row", has_text="星河客服").click()
    page.locator("#customer-seat .composer-box").fill("人工")
    page.keyboard.press("Enter")
    expect(page.locator("#customer-seat .right .bubble")).to_have_text(["人工"])
    moved = world.post("kf/service_state/trans", {
        "open_kfid": "wkXingHe", "external_userid": "wmLiLei", "service_state": 2,
    })  # fmt: skip
    assert moved["errcode"] == 0
    hold(page, "guide", "王芳")
    page.locator("#guide-seat .head-back").click()
    page.locator("#guide-seat .row", has_text="人工").click()
    page.get_by_role("button", name="接待这位客户").click()
    page.locator("#guide-seat .composer-box").fill("您好，我来帮您")
    page.keyboard.press("Enter")
    expect(page.locator("#customer-seat .left .bubble")).to_have_text(["您好，我来帮您"])
    page.get_by_role("button", name="结束接待").click()
    expect(page.locator("#guide-seat .head-name")).to_have_text("消息")


def test_faults_are_turned_on_counted_down_and_put_right(page: Page, world: World) -> None:
    open_phones(page, world)
    page.get_by_role("button", name="制造一点故障").click()
    page.locator(".fault", has_text="系统繁忙").get_by_role("button").click()
    page.locator(".fault", has_text="回调重复").get_by_role("button").click()
    expect(page.locator(".fault.is-on")).to_have_count(2)
    assert world.get("gettoken", token="", corpid="ww1", corpsecret="x")["errcode"] == -1
    expect(page.locator(".fault", has_text="系统繁忙").get_by_role("button")).to_have_text(
        "还剩 5 次"
    )
    page.get_by_role("button", name="全部恢复正常").click()
    expect(page.locator(".fault.is-on")).to_have_count(0)
    assert world.get("gettoken", token="", corpid="ww1", corpsecret="x")["errcode"] == 40001


@pytest.mark.parametrize("size", [(1440, 900), (1280, 800), (1024, 768), (390, 844)])
def test_everything_is_in_reach_on_screens_of_all_sizes(
    page: Page, world: World, size: tuple[int, int]
) -> None:
    world.add_way("wangfang", state="a", skip_verify=True, remark="南京路店收银台")
    world.add_way("liuyang", state="b", skip_verify=True, remark="南京路店中岛台")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_phones(page, world)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.evaluate("document.documentElement.scrollHeight") <= size[1]
    if size[0] >= 1280:
        panel = page.locator("#world")
        assert panel.evaluate("panel => panel.scrollHeight <= panel.clientHeight")
    if size[0] < 860:
        for tab, seat in (("导购", "guide-seat"), ("世界", "world"), ("顾客", "customer-seat")):
            page.locator("#tabs button", has_text=tab).click()
            expect(page.locator(f"#{seat}")).to_be_visible()
            expect(page.locator("main > :visible")).to_have_count(1)


def test_below_a_mount_every_address_of_the_page_is_below_it(world: World) -> None:
    app = create_sandbox(replace(world.config, callback_url=""))
    mounted = Client(DispatcherMiddleware(lambda *_: [], {"/sandbox": app}))
    answer = mounted.get("/sandbox/")
    text = answer.get_data(as_text=True)
    addresses = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(addresses) >= 6
    for address in addresses:
        if address != "/console/":
            assert address.startswith("/sandbox/static/")
            with mounted.get(address) as file:
                assert file.status_code == 200
    assert 'data-mount="/sandbox"' in text
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    app.extensions["sandbox"].postman.stop()


def test_localhost_leads_to_the_name_that_the_apps_links_use(world: World) -> None:
    app = create_sandbox(replace(world.config, callback_url=""))
    visitor = app.test_client()
    here = visitor.get("/", base_url="http://localhost:8000/sandbox")
    assert here.headers["Location"] == "http://127.0.0.1:8000/sandbox/"
    assert visitor.get("/", base_url="http://127.0.0.1:8000/sandbox").status_code == 200
    assert visitor.get("/", base_url="http://localhost:9999/sandbox").status_code == 200
    app.extensions["sandbox"].postman.stop()


def test_no_file_of_the_page_turns_text_into_markup_or_code() -> None:
    scripts = sorted((FILES / "static").glob("*.js"))
    assert len(scripts) > 10
    for script in scripts:
        found = MARKUP.search(script.read_text(encoding="utf-8"))
        assert found is None, f"{script.name}: {found}"
