"""A hand at the SOP editor: writes a whole programme by its inputs, as a person would."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, expect

_WAYS = {"tier": "按客户等级", "store_tier": "按门店等级"}
_CHANNELS = {"sms": "短信模板", "template_message": "公众号消息模板"}
_FEN = ("min_fen", "total_spend_fen", "average_order_fen")


class Hand:
    """Whoever writes. `write` ends with the draft saved."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address

    def write(self, spec: dict[str, Any]) -> None:
        """A new programme from nothing."""
        self.page.goto(f"{self.address}/console/sops/new")
        expect(self.page.locator("#save")).to_be_enabled()
        self.page.fill("#name", spec["name"])
        self._trigger(spec["trigger"])
        if "audience" in spec:
            self.page.click("text=只对满足条件的客户")
            self._group(self.page.locator("#audience > .group"), "audience", spec["audience"])
        for place, step in enumerate(spec["steps"]):
            if place:
                self.page.click("#add-step")
            self.step(step)
        self.save()

    def save(self) -> None:
        """Keep the draft; what is wrong fails here with its sentence."""
        self.page.click("#save")
        said = self.page.locator("#saved:has-text('已保存'), [data-at] > .wrong:not(.is-past)")
        expect(said.first).to_be_visible(timeout=30_000)
        expect(self.page.locator("#saved")).to_have_text("草稿 v1 已保存")

    def _trigger(self, trigger: dict[str, Any]) -> None:
        self.page.select_option("#trigger-kind", trigger["kind"])
        for key, value in trigger.items():
            if key != "kind":
                self._fill(self.page.locator(f'[data-at="trigger.{key}"]'), key, value)

    def _fill(self, box: Locator, key: str, value: Any) -> None:
        if box.locator("select").count():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            box.locator("select").last.select_option(text)
            return
        if key in _FEN:
            value = value / 100
        words = "、".join(map(str, value)) if isinstance(value, list) else f"{value}"
        box.locator("input").fill(words.removesuffix(".0"))

    def _group(self, box: Locator, path: str, group: dict[str, Any]) -> None:
        """A group in which one empty condition stands already."""
        ((word, terms),) = group.items()
        box.locator(":scope > .group-head select").select_option(word)
        acts = box.locator(":scope > .group-acts")
        for term in terms:
            acts.get_by_text("添加条件" if "field" in term else "添加一组").click()
        box.locator(":scope > .leaf").first.locator("button", has_text="删除").last.click()
        for place, term in enumerate(terms):
            at = f"{path}.{word}.{place}"
            inner = self.page.locator(f'[data-at="{at}"]')
            if "field" in term:
                self._leaf(inner, term)
            else:
                self._group(inner, at, term)

    def _leaf(self, box: Locator, leaf: dict[str, Any]) -> None:
        box.locator("select[aria-label=字段]").select_option(leaf["field"])
        box.locator("select[aria-label=比较]").select_option(leaf["op"])
        value = box.locator(".value")
        if leaf["op"] in ("in", "not_in") and value.locator("select").count():
            for one in leaf["value"]:
                value.locator("select").select_option(one)
        elif leaf["op"] == "between":
            for place, one in enumerate(leaf["value"]):
                value.locator("input").nth(place).fill(str(one))
        else:
            self._fill(value, leaf["field"], leaf["value"])

    def step(self, step: dict[str, Any]) -> None:
        """Into the one step that is unfolded."""
        box = self.page.locator(".step-body")
        box.locator("input[maxlength='40']").first.fill(step["title"])
        self._part(box, "day").locator("input").fill(str(step["day"]))
        self._time(self._part(box, "at"), step.get("at"))
        self.way(self._part(box, "kind"), step["kind"])
        self._templates(box, step)
        if "talking_point" in step:
            self._part(box, "talking_point").locator("select").select_option(step["talking_point"])
        for name in step.get("materials", ()):
            box.locator("select[aria-label=添加素材]").select_option(name)
        for key in ("if_missed", "coupon"):
            if key in step:
                self._part(box, key).locator("select").select_option(step[key])
        if step.get("workdays"):
            self._part(box, "workdays").locator("select").select_option("true")
        for key in ("gift", "priority"):
            if key in step:
                self._part(box, key).locator("input").fill(str(step[key]))

    def _part(self, box: Locator, key: str) -> Locator:
        return box.locator(f'[data-at$=".{key}"]')

    def _time(self, box: Locator, at: str | None) -> None:
        mode = "any" if not at else "delay" if at.startswith("+") else "clock"
        if box.locator("select").input_value() != mode:
            box.locator("select").select_option(mode)
        if at and mode == "clock":
            box.locator("input").fill(at)
        elif at:
            hours, _, rest = at[1:].partition("h") if "h" in at else ("", "", at[1:])
            box.locator("input").first.fill(hours)
            box.locator("input").last.fill(rest.removesuffix("m"))

    def way(self, box: Locator, kind: Any) -> None:
        """How: one way, a chain, or a table by tier."""
        if not isinstance(kind, dict):
            self._chain(box.locator(".way-chain"), kind)
            return
        box.get_by_role("button", name=_WAYS[kind["by"]]).click()
        for name, chain in kind.items():
            if name != "by":
                self._chain(box.locator(f'[data-key="way-{name}"]'), chain)

    def _chain(self, box: Locator, chain: Any) -> None:
        kinds = chain if isinstance(chain, list) else [chain]
        for place, kind in enumerate(kinds):
            box.locator("select").nth(place).select_option(kind)

    def _templates(self, box: Locator, step: dict[str, Any]) -> None:
        given = step.get("template")
        if given is None:
            return
        if isinstance(given, str):
            self._part(box, "template").locator("select").select_option(given)
            return
        for channel, name in given.items():
            label = f"label:has-text('{_CHANNELS[channel]}') select"
            self._part(box, "template").locator(label).select_option(name)
