"""What the editor may offer for a step: templates by channel, and rich ways in words."""

from __future__ import annotations

from playwright.sync_api import expect
from sqlalchemy import select

from handlers.console import catalog
from sop import versions
from sop.models import SopVersion, VersionState
from tests.sop.facts import coupon_template, template
from tests.sop.plans import publish, spec, step

TIERED = {"by": "tier", "S": "chat", "B": "none", "else": ["template_message", "sms"]}
SAID = "按客户等级：S 私聊，B 不联系，其他 公众号消息，联系不上再短信"


def drafted(session):
    """The spec of the newest draft, as stored."""
    session.expire_all()
    drafts = select(SopVersion.id).where(SopVersion.state == VersionState.DRAFT)
    (one,) = session.scalars(drafts).all()
    return versions.spec_of(session, one)


def test_only_templates_and_coupons_in_use_are_offered_each_to_its_channel(session) -> None:
    template(session, "生日短信")
    template(session, "生日消息", "template_message")
    template(session, "旧短信").is_active = False
    coupon_template(session, "旧礼券").is_active = False
    coupon_template(session, "生日礼券")
    told = catalog.read(session)
    channels = {one["name"]: one["channel"] for one in told["templates"]}
    assert channels == {"生日短信": "sms", "生日消息": "template_message"}
    assert told["coupons"] == ["生日礼券"]


def test_an_sms_step_is_written_with_its_template_and_saved(session, make, page, address) -> None:
    template(session, "生日短信")
    template(session, "生日消息", "template_message")
    coupon_template(session, "生日礼券")
    session.commit()
    page.goto(f"{address}/console/sops/new")
    page.fill("#name", "生日短信计划")
    page.fill("#steps input[maxlength='40']", "生日祝福")
    page.select_option("#steps select[aria-label=怎么联系]", label="短信")
    offered = page.locator("#steps label:has-text('短信模板') option")
    assert offered.all_inner_texts() == ["选择模板…", "生日短信"]
    page.click("#save")
    expect(page.locator("#steps .wrong")).to_contain_text("用短信，要选一个模板")
    page.select_option("#steps label:has-text('短信模板') select", "生日短信")
    page.select_option("#steps label:has-text('错过了') select", label="过期不做")
    page.select_option("#steps label:has-text('哪些日子') select", label="只在工作日")
    page.select_option("#steps label:has-text('优惠券') select", "生日礼券")
    page.click("#save")
    expect(page.locator("#saved")).to_have_text("草稿 v1 已保存")
    (kept,) = drafted(session)["steps"]
    assert (kept["kind"], kept["template"], kept["coupon"]) == ("sms", "生日短信", "生日礼券")
    assert (kept["if_missed"], kept["workdays"]) == ("drop", True)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_a_step_that_becomes_a_call_forgets_its_template(session, make, page, address) -> None:
    template(session, "生日短信")
    session.commit()
    page.goto(f"{address}/console/sops/new")
    page.fill("#name", "改成电话")
    page.fill("#steps input[maxlength='40']", "生日祝福")
    page.select_option("#steps select[aria-label=怎么联系]", label="短信")
    page.select_option("#steps label:has-text('短信模板') select", "生日短信")
    page.select_option("#steps select[aria-label=怎么联系]", label="邀约")
    page.fill("#steps input[aria-label=到店礼]", "小样一份")
    page.click("#save")
    expect(page.locator("#saved")).to_have_text("草稿 v1 已保存")
    (kept,) = drafted(session)["steps"]
    assert (kept["kind"], kept["gift"], "template" in kept) == ("invite", "小样一份", False)


def test_a_step_by_tier_is_told_in_words_and_kept_as_it_was(session, make, page, address) -> None:
    template(session, "生日短信")
    template(session, "生日消息", "template_message")
    template(session, "另一条短信")
    make.talking_point("您好", name="问候")
    rich = {
        "kind": TIERED,
        "talking_point": "问候",
        "template": {"sms": "生日短信", "template_message": "生日消息"},
        "if_missed": "move",
    }
    live = publish(session, spec("生日关怀", {"kind": "birthday"}, step("祝福", -3, **rich)))
    before = versions.spec_of(session, live.id)
    page.goto(f"{address}/console/sops/{live.sop_id}/edit")
    expect(page.locator("#steps [data-key=way-S] select")).to_have_value("chat")
    expect(page.locator("#steps [data-key=way-A] select")).to_have_value("")
    expect(page.locator("#steps [data-key=way-B] select")).to_have_value("none")
    chain = page.locator("#steps [data-key=way-else] select")
    expect(chain.nth(0)).to_have_value("template_message")
    expect(chain.nth(1)).to_have_value("sms")
    expect(page.locator("#steps .step-said")).to_contain_text(
        "B 级客户不联系；其他客户发公众号消息"
    )
    expect(page.locator("body")).not_to_contain_text("[object Object]")
    page.click("#steps .step-head")
    expect(page.locator("#steps .step-more")).to_contain_text(SAID)
    page.click("#steps .step-head")
    page.fill("#steps input[maxlength='40']", "生日祝福")
    page.select_option("#steps label:has-text('短信模板') select", "另一条短信")
    page.click("#save")
    expect(page.locator("#saved")).to_have_text("草稿 v2 已保存")
    (was,), (kept,) = before["steps"], drafted(session)["steps"]
    changed = {"title": "生日祝福", "template": {**was["template"], "sms": "另一条短信"}}
    assert kept == was | changed
