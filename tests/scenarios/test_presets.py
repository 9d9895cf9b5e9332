"""The starter pack (起步包): loads beside any brand, says nothing the law minds, leaves no gap.

The programmes that paying brands describe each have their test; its name is the programme's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.clock import SHANGHAI
from content_library.models import CouponTemplate, TalkingPoint
from content_library.placeholders import PLACEHOLDERS, PlaceholderFacts, fill, names
from handlers import brand_pack
from handlers.brand_pack import reading, sample, starter
from sop import step_kinds
from sop.models import Sop, SopVersion

NOON = datetime(2026, 11, 21, 12, tzinfo=SHANGHAI)
#: What a jeweller must not say, may not promise for others, or cannot know: 广告法 article 9,
#: prices, discounts, rights that HQ did not grant.
_FORBIDDEN = re.compile(
    r"最|第一|唯一|首个|顶级|极品|极致|国家级|世界级|全网|史上|独家|独一无二|永久|永远|终身|永不"
    r"|绝对|100\s*%|百分之百|百分百|保值|升值|增值|稳赚|辟邪|疗效|养生|免费|赠送|包邮|假一赔"
    r"|[0-9]+\s*折|[¥￥]|[0-9]+\s*元|元/克|必须|仅限今日|错过"
)


@cache
def pack() -> dict[str, Any]:
    return dict(reading.plain(reading.read(starter.pack_text())))


def sops() -> list[dict[str, Any]]:
    return list(pack()["sops"])


def steps() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(sop, step) for sop in sops() for step in sop["steps"]]


def triggered(kind: str, **wanted: Any) -> list[dict[str, Any]]:
    return [
        sop
        for sop in sops()
        if sop["trigger"]["kind"] == kind and wanted.items() <= sop["trigger"].items()
    ]


def days_of(kind: str, **wanted: Any) -> set[int]:
    return {step["day"] for sop in triggered(kind, **wanted) for step in sop["steps"]}


def kinds_of(step: dict[str, Any]) -> frozenset[str]:
    return step_kinds.read(step["kind"]).all


def leaves(condition: Any) -> Iterable[dict[str, Any]]:
    if condition is None:
        return
    if "field" in condition:
        yield condition
    for parts in (condition.get("all", []), condition.get("any", [])):
        for part in parts:
            yield from leaves(part)
    if "not" in condition:
        yield from leaves(condition["not"])


def asks(field: str, *values: Any) -> bool:
    found = [leaf["value"] for sop in sops() for leaf in leaves(sop.get("audience"))
             if leaf["field"] == field]  # fmt: skip
    return bool(found) and all(value in found for value in values)


def words() -> list[str]:
    texts = [text for point in pack()["talking_points"] for text in point["variants"]]
    for template in pack()["sms_templates"] + pack()["wechat_templates"]:
        texts += [template.get("text", ""), *template.get("params", {}).values()]
        texts += template.get("data", {}).values()
    texts += [coupon["title"] for coupon in pack()["coupon_templates"]]
    for sop, step in steps():
        texts += [sop["name"], step["title"], step.get("gift", "")]
    return texts


def says(name: str) -> bool:
    return any(name in names(text) for text in words())


def goes_by_tier(sop: dict[str, Any]) -> bool:
    return any(isinstance(step["kind"], dict) and step["kind"]["by"] == "tier"
               for step in sop["steps"])  # fmt: skip


_BY_MACHINE = {"sms", "template_message"}
_FESTIVALS = {"情人节", "三八", "520", "母亲节", "端午", "七夕", "中秋", "国庆", "双十一", "圣诞",
              "春节", "元宵"}  # fmt: skip

PROGRAMMES: dict[str, Callable[[], bool]] = {
    "F10 tags by channel decide the welcome programme": lambda: asks("has_tag", "渠道/异业"),
    "F11 purchases and behavior start programmes": lambda: all(
        triggered(kind) for kind in ("purchased", "cart_open", "lead_raised")
    ),
    "F12 tags set by hand open a programme": lambda: asks("has_tag", "意向/结婚选款"),
    "F13 segments of value are spoken to apart": lambda: asks("tier", ["S", "A"], "B", "C"),
    "F14 words know the customer": lambda: all(
        map(says, ("客户称呼", "上次购买品名", "结婚纪念日", "购物车商品"))
    ),
    "F15 facts of till, mall and WeCom meet in one person": lambda: all(
        triggered(kind) for kind in ("followed", "purchased", "cart_open", "points_received")
    ),
    "F16 important days": lambda: all(
        triggered(kind)
        for kind in (
            "birthday", "wedding_anniversary", "purchase_anniversary", "member_anniversary",
        )
    ),
    "F17 stages of life": lambda: bool(triggered("stage_entered", stage="dormant")),
    "F18 ninety days without a purchase are seen": lambda: bool(triggered("idle", days=90)),
    "F19 five programmes differ by segment": lambda: sum(
        sop.get("audience") is not None or goes_by_tier(sop) for sop in sops()
    ) >= 5,
    "F20 groups have a plan for the week and the month": lambda: all(
        any("group_message" in kinds_of(step) for sop in triggered("every", each=each)
            for step in sop["steps"])
        for each in ("week", "month")
    ),
    "F21 moments once a day and three times in promotions": lambda: _moments_are_one_and_three(),
    "F22 every festival greets, and asks back who bought for it before": lambda: all(
        0 in days_of("festival", name=name) and -7 in days_of("festival", name=name)
        and asks("bought_in_festival", name)
        for name in _FESTIVALS
    ),
    "F23 the new customer's first month": lambda: {0, 7, 21, 30, 14, 45} <= days_of("followed"),
    "F24 the dormant are woken by their value": lambda: goes_by_tier(
        triggered("stage_entered", stage="dormant")[0]
    ),
    "F25 care after the sale at 7, 30, 180 and 365 days": lambda: {
        7, 30, 180, 365,
    } <= days_of("purchased"),
    "F26 missing category and trade-in": lambda: asks("missing_category", "项链", "耳饰")
    and bool(triggered("purchase_anniversary", category="黄金", years=[2])),
    "F27 tasks are ranked for the daily list": lambda: all(
        "priority" in step
        for sop, step in steps()
        if kinds_of(step) & {"chat", "call"} and sop["trigger"]["kind"] != "every"
    ),
    "F28 forty talking points in two wordings": lambda: len(pack()["talking_points"]) >= 40
    and all(len(set(point["variants"])) >= 2 for point in pack()["talking_points"]),
    "F34 the tier decides the channel": lambda: sum(map(goes_by_tier, sops())) >= 10,
    "F36 SMS follows where the official account does not reach": lambda: any(
        step["kind"] == ["template_message", "sms"] for _, step in steps()
    ),
    "F37 coupons come with tasks": lambda: len(
        {step["coupon"] for _, step in steps() if "coupon" in step}
    ) == 6,
    "F38 points and membership are spoken of": lambda: bool(triggered("member_anniversary"))
    and says("积分余额"),
    "F39 what runs out is said before, what came is said": lambda: {-30, -7}
    <= days_of("points_expiring")
    and {-7, -1} <= days_of("coupon_expiring")
    and bool(triggered("points_received"))
    and bool(triggered("coupon_received")),
    "F40 a cart is followed by an offer of a few days": lambda: _cart_offer_days() <= 3,
    "F41 the gold price of the day": lambda: says("今日金价"),
    "F42 salons and visits are invited and reminded of": lambda: bool(triggered("date"))
    and any("invite" in kinds_of(step) for sop in triggered("date") for step in sop["steps"])
    and days_of("appointment") == {-1, 0},
    "F43 who may leave is called, who left is thanked": lambda: bool(triggered("at_risk"))
    and all(kinds_of(step) <= _BY_MACHINE for step in triggered("lost")[0]["steps"]),
}  # fmt: skip


def _moments_are_one_and_three() -> bool:
    daily = [step for sop in triggered("every", each="day") if "from" not in sop["trigger"]
             for step in sop["steps"] if step["kind"] == "moment"]  # fmt: skip
    more = [step for sop in triggered("every", each="day") if "from" in sop["trigger"]
            for step in sop["steps"] if step["kind"] == "moment"]  # fmt: skip
    return len(daily) == 1 and len({step["at"] for step in daily + more}) == 3


def _cart_offer_days() -> int:
    coupon = next(s["coupon"] for s in triggered("cart_open")[0]["steps"] if "coupon" in s)
    return int(next(c["valid_days"] for c in pack()["coupon_templates"] if c["name"] == coupon))


@pytest.mark.parametrize("programme", PROGRAMMES)
def test_each_programme_of_the_paying_brands_is_a_preset(programme: str) -> None:
    assert PROGRAMMES[programme]()


def test_no_sentence_has_a_word_the_law_minds_or_a_price_or_a_right_we_invented() -> None:
    found = {text: _FORBIDDEN.findall(text) for text in words() if _FORBIDDEN.search(text)}
    assert found == {}


def test_every_placeholder_is_known_and_every_variant_is_its_own_sentence() -> None:
    assert {name for text in words() for name in names(text)} <= set(PLACEHOLDERS)
    texts = [text for point in pack()["talking_points"] for text in point["variants"]]
    assert len(set(texts)) == len(texts)
    assert all(20 <= len(text) <= 160 for text in texts), [t for t in texts if len(t) < 20]


def test_a_machine_says_how_to_stop_it() -> None:
    assert all(one["text"].endswith("拒收请回复R") for one in pack()["sms_templates"])


def test_a_sentence_about_a_coupon_says_from_how_much_on_it_is_good() -> None:
    lone = [text for text in words() if "{优惠券面额}" in text and "{优惠券门槛}" not in text]
    assert lone == []


def test_sentences_read_well_when_nothing_is_known_of_the_customer() -> None:
    nobody = PlaceholderFacts()
    filled = [fill(text, nobody) for text in words()]
    clumsy = re.compile("是(?:到店前|我把定位|约好的)|[，。：]{2}|的的|这件宝贝这件|{|}|None|您您")
    assert [text for text in filled if clumsy.search(text)] == []


def test_what_may_be_said_late_names_no_yesterday_and_no_tomorrow() -> None:
    points = {point["name"]: point["variants"] for point in pack()["talking_points"]}
    late = [
        text
        for _, step in steps()
        if step.get("if_missed") != "drop" and "talking_point" in step
        for text in points[step["talking_point"]]
        if re.search("昨天|明天|刚才|刚刚", text)
    ]
    assert late == []


def test_care_half_a_year_later_does_not_name_what_may_have_been_bought_since() -> None:
    points = {point["name"]: point["variants"] for point in pack()["talking_points"]}
    found = [
        text
        for sop, step in steps()
        if step["day"] >= 90 or sop["trigger"]["kind"] == "purchase_anniversary"
        for text in points.get(step.get("talking_point"), [])
        if "{上次购买" in text
    ]
    assert found == []


def test_the_words_of_womens_day_fit_a_man_who_bought_for_her_too() -> None:
    points = {point["name"]: point["variants"] for point in pack()["talking_points"]}
    for name in ("三八前·犒赏自己", "三八·祝福"):
        assert all(re.search("她|家里|太太", text) for text in points[name]), name


def test_nothing_of_the_starter_lies_unused_or_overwrites_the_sample() -> None:
    given = yaml.safe_load(sample.pack_text())
    for section in ("talking_points", "sops"):
        ours, theirs = ({one["name"] for one in each[section]} for each in (pack(), given))
        assert not ours & theirs
    used = {step.get("talking_point") for _, step in steps()}
    points = {one["name"] for one in pack()["talking_points"] if one["scene"] != "应答"}
    assert points == used - {None}
    templates = {name for _, step in steps() for name in _templates(step)}
    both = pack()["sms_templates"] + pack()["wechat_templates"]
    assert templates == {one["name"] for one in both}


def _templates(step: dict[str, Any]) -> list[str]:
    given = step.get("template", [])
    return [given] if isinstance(given, str) else list(given.values()) if given else []


def test_the_dates_of_the_starter_lie_ahead_of_its_release() -> None:
    dates = [sop["trigger"][key] for sop in sops() for key in ("on", "until")
             if key in sop["trigger"]]  # fmt: skip
    assert dates
    assert all(date.fromisoformat(day) > date(2026, 12, 1) for day in dates)


@pytest.mark.parametrize("before", ["", sample.pack_text()], ids=["alone", "after the sample"])
def test_it_loads_publishes_everything_and_a_second_time_changes_nothing(
    session: Session, before: str
) -> None:
    if before:
        brand_pack.load(session, before, by="test", now=NOON)
        session.flush()
    stood = session.scalar(select(func.count()).select_from(Sop)) or 0
    loaded = brand_pack.load(session, starter.pack_text(), by="test", now=NOON)
    session.flush()
    assert (loaded.published, loaded.warnings) == (len(sops()), ())
    assert len(sops()) >= 41
    again = brand_pack.load(session, starter.pack_text(), by="test", now=NOON)
    assert again.published == 0
    assert session.scalar(select(func.count()).select_from(Sop)) == stood + len(sops())
    versions = session.scalars(select(SopVersion.state)).all()
    assert len(versions) == stood + len(sops())
    assert session.scalar(
        select(func.count()).select_from(CouponTemplate)
    ) == 6  # fmt: skip
    assert (session.scalar(select(func.count()).select_from(TalkingPoint)) or 0) >= 77


def test_what_was_loaded_is_dumped_and_that_loads_again_unchanged(session: Session) -> None:
    brand_pack.load(session, starter.pack_text(), by="test", now=NOON)
    session.flush()
    dumped = brand_pack.dump(session)
    assert brand_pack.load(session, dumped, by="test", now=NOON).published == 0
    assert brand_pack.dump(session) == dumped


def test_the_guide_to_the_presets_names_every_programme_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "presets.md").read_text(encoding="utf-8")
    rows = [line.split("|")[2] for line in page.splitlines() if line.startswith("| ")][1:]
    named = [name.strip() for row in rows for name in row.split(" · ")]
    assert sorted(named) == sorted(sop["name"] for sop in sops())
    counts = [len(pack()[key]) for key in (
        "sops", "talking_points", "sms_templates", "wechat_templates", "coupon_templates",
    )]  # fmt: skip
    assert [int(number) for number in re.findall(r"[0-9]+", page.split("##")[0])[:5]] == counts
