"""A new user's first visit (第一次来): the program as `daogou run` starts it, in a real browser."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from bot.settings import environment_for_children
from tests.chaos.arena import free_port
from tests.servers import ROOT, reachable_folder

# A first start loads three thousand members; a busy machine takes its time.
START_SECONDS = 240
SHOWN = 30_000


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Everything started by one command in an empty folder; stopped as Ctrl-C stops it."""
    folder, port = reachable_folder(), free_port()
    env = environment_for_children({"VAR_DIR": str(folder / "var"), "PORT": str(port)})
    with (folder / "run.log").open("wb") as output:
        program = subprocess.Popen(
            [sys.executable, "-m", "app", "run"], cwd=ROOT, env=env, stdout=output, stderr=output
        )
        try:
            _wait_for_the_line(program, folder / "run.log")
            yield f"http://127.0.0.1:{port}"
            program.send_signal(signal.SIGINT)
            assert program.wait(30) == 0
        finally:
            if program.poll() is None:
                program.terminate()
                program.wait(30)
            shutil.rmtree(folder, ignore_errors=True)


def _wait_for_the_line(program: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while "导购助手已启动" not in log.read_text(encoding="utf-8"):
        said = log.read_text(encoding="utf-8")
        assert program.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.2)


def test_a_customer_scans_buys_and_is_on_the_guides_list_next_morning(
    address: str, browser: Browser
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="zh-CN")
    phones, console = context.new_page(), context.new_page()
    name = _scan_and_be_welcomed(phones, address)
    _sign_in(console, address)
    _see_tag(console, address, name, "收银台")
    _buy(phones, "一克拉求婚钻戒")
    _see_tag(console, address, name, "高净值")
    _next_morning_do_the_first_task(phones)
    assert _done_today(console, address) == 1
    context.close()


def _scan_and_be_welcomed(phones: Page, address: str) -> str:
    phones.goto(f"{address}/sandbox/")
    left, right = phones.locator("#customer-seat"), phones.locator("#guide-seat")
    phones.locator(".codes .code", has_text="收银台").first.click()
    expect(left).to_contain_text("南京路店", timeout=SHOWN)
    expect(left).to_contain_text("保养手册", timeout=SHOWN)
    expect(right).to_contain_text("新客户添加了您", timeout=SHOWN)
    return left.locator(".holder strong").first.inner_text()


def _sign_in(console: Page, address: str) -> None:
    console.goto(f"{address}/console/")
    console.get_by_role("button", name=re.compile("进入|陈静")).first.click()
    expect(console.get_by_role("heading", name="今日")).to_be_visible(timeout=SHOWN)


def _see_tag(console: Page, address: str, name: str, tag: str) -> None:
    console.goto(f"{address}/console/contacts?q={name}")
    console.locator("main").get_by_role("link", name=name).first.click()
    deadline = time.monotonic() + 30
    while tag not in console.locator("main").inner_text():
        assert time.monotonic() < deadline, f"no tag {tag} on {name}"
        time.sleep(0.5)
        console.reload()


def _buy(phones: Page, piece: str) -> None:
    phones.locator(".piece", has_text=piece).click()
    phones.locator(".pay").click()


def _next_morning_do_the_first_task(phones: Page) -> None:
    right = phones.locator("#guide-seat")
    phones.get_by_role("button", name="到明早").click()
    expect(right.get_by_text(re.compile(r"今日 \d+ 项")).first).to_be_visible(timeout=60_000)
    right.get_by_role("button", name="今日", exact=True).click()
    expect(right).to_contain_text("1. ", timeout=SHOWN)
    right.get_by_role("button", name="完成 1").click()
    expect(right).to_contain_text("已完成", timeout=SHOWN)


def _done_today(console: Page, address: str) -> int:
    console.goto(f"{address}/console/")
    found = re.search(r"(\d+) / \d+ 项", console.locator("main").inner_text())
    return int(found[1]) if found else 0
