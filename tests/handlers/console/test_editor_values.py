"""Every kind of value a condition or a trigger can have is entered in the editor as people do."""

from __future__ import annotations

from playwright.sync_api import expect

from handlers.console import catalog
from tagging.conditions import FIELDS


def test_every_field_of_the_conditions_is_told_to_the_editor(session) -> None:
    told = {one["key"]: one for one in catalog.read(session)["fields"]}
    assert set(told) == set(FIELDS)
    for key, one in told.items():
        assert one["value"] in ("number", "text", "name", "choice", "flag", "dates"), key
        assert [each["key"] for each in one["ops"]] == list(FIELDS[key].operators)


def test_yes_or_no_a_span_of_days_and_kilometers_are_entered(page, address) -> None:
    page.goto(f"{address}/console/sops/")
    page.click("text=新建第一个 SOP")
    page.click("text=只对满足条件的客户")
    said = page.locator("#said-audience")

    page.select_option("select[aria-label=字段]", label="退款")
    page.select_option("select[aria-label=退款]", label="没有退款")
    expect(said).to_contain_text("没有退款")

    page.select_option("select[aria-label=字段]", label="某段时间的消费")
    page.fill("input[aria-label=开始日期]", "2026-01-01")
    page.fill("input[aria-label=结束日期]", "2026-06-30")
    expect(said).to_contain_text("2026年1月1日到2026年6月30日之间买过")

    page.select_option("select[aria-label=字段]", label="住处离门店")
    page.select_option("select[aria-label=比较]", label="不超过")
    page.fill("input[aria-label=住处离门店]", "2.5")
    expect(said).to_contain_text("住处离门店不超过 2.5 公里")


def test_the_number_of_a_trigger_is_a_number(page, address) -> None:
    page.goto(f"{address}/console/sops/")
    page.click("text=新建第一个 SOP")
    page.select_option("#trigger-kind", label="多久没有再买")
    page.fill("label:has-text('多少天没有再买') input", "90")
    expect(page.locator("body")).to_contain_text("90 天没有再买")
