"""Values of conditions: what is taken, what is refused with its sentence, how it is read."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy.orm import Session

from bot.crm import calendar
from bot.crm.models import FestivalDay
from bot.errors import UserError
from sop import specs
from sop.models import Sop
from tagging import conditions
from tagging.conditions import Lookup
from tests.factories import TODAY, Make

NAMES = Lookup(
    stores={"SH001": "南京路店", "CD001": "春熙路店"},
    festivals=frozenset({"七夕", "春节"}),
    sops=frozenset({"新客首月"}),
)


def leaf(field: str, op: str, value: object) -> dict[str, object]:
    return {"field": field, "op": op, "value": value}


@pytest.mark.parametrize(
    ("field", "op", "value", "said"),
    [
        ("bought_between", "=", "2026-01-01", "开始日期"),
        ("bought_between", "=", ["2026-01-01"], "开始日期"),
        ("bought_between", "=", ["2026-06-30", "2026-01-01"], "晚于"),
        ("bought_between", "=", ["2026-02-30", "2026-03-01"], "2026-02-30"),
        ("bought_between", "=", ["20260101", "20260102"], "20260101"),
        ("bought_between", "=", ["1026-01-01", "2026-01-02"], "1026"),
        ("bought_between", "=", [1, 2], "日期"),
        ("bought_between", "in", [["2026-01-01", "2026-01-02"]], "不能用"),
        ("refunded", "=", "true", "true 或 false"),
        ("refunded", "=", 1, "true 或 false"),
        ("refunded", "!=", True, "不能用"),
        ("at_risk", "=", None, "true 或 false"),
        ("distance_to_store_km", "=", 3, "不能用"),
        ("distance_to_store_km", "<=", "3", "公里"),
        ("distance_to_store_km", "<=", True, "公里"),
        ("distance_to_store_km", "<=", 2.55, "一位小数"),
        ("distance_to_store_km", "<=", float("nan"), "公里"),
        ("distance_to_store_km", "<=", float("inf"), "公里"),
        ("distance_to_store_km", "<=", -1, "公里"),
        ("distance_to_store_km", "between", [3, 1], "大于上限"),
        ("cart_open_hours", "!=", 3, "不能用"),
        ("cart_open_hours", ">=", 8761, "8760"),
        ("coupon_expiring_days", "!=", 3, "不能用"),
        ("bought_in_festival", "=", "七七", "七夕"),
        ("bought_in_store", "in", ["SH001", "SH002"], "SH001"),
        ("sop_active", "=", "新客首周", "新客首月"),
        ("tier", "=", "D", "没有“D”"),
        ("opted_out", "=", "email", "没有“email”"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_reason(field, op, value, said) -> None:
    with pytest.raises(UserError, match=said):
        conditions.check(leaf(field, op, value), NAMES)


@pytest.mark.parametrize(
    ("field", "op", "value", "said"),
    [
        (
            "bought_between",
            "=",
            ["2025-01-01", "2025-06-30"],
            "2025年1月1日到2025年6月30日之间买过",
        ),
        ("bought_between", "=", ["2025-01-01", "2025-01-01"], "2025年1月1日买过"),
        (
            "bought_between",
            "!=",
            ["2025-01-01", "2025-06-30"],
            "2025年1月1日到2025年6月30日之间没有买过（含从未消费的客户）",
        ),
        ("bought_in_festival", "=", "七夕", "曾在七夕前（含当天）买过"),
        (
            "bought_in_festival",
            "not_in",
            ["七夕", "春节"],
            "从没在七夕或春节前（含当天）买过",
        ),
        ("bought_in_store", "=", "SH001", "在南京路店买过"),
        ("refunded", "=", True, "有过退款"),
        ("refunded", "=", False, "没有退款"),
        ("at_risk", "=", True, "有流失风险"),
        ("cart_open_hours", ">=", 24, "购物车放了不少于 24 小时没买"),
        ("cart_open_hours", "=", 5, "购物车放了 5 小时没买"),
        ("cart_open_hours", "between", [1, 24], "购物车放了 1 到 24 小时没买"),
        ("coupon_expiring_days", "<=", 7, "有优惠券 7 天内到期"),
        ("has_coupon", "!=", "生日礼券", "手里没有优惠券“生日礼券”"),
        ("points_expiring_days", "<=", 30, "有积分 30 天内到期"),
        ("distance_to_store_km", "<=", 3, "住处离门店不超过 3 公里"),
        ("distance_to_store_km", "between", [0.5, 3], "住处离门店在 0.5 公里到 3 公里之间"),
        ("last_touch_days", ">=", 30, "距上次联系不少于 30 天"),
        ("sop_active", "=", "新客首月", "正在“新客首月”里"),
        ("sop_active", "!=", "新客首月", "不在“新客首月”里"),
        ("opted_out", "=", "chat", "已退订导购联系"),
        ("opted_out", "in", ["sms", "mass_message"], "已退订短信或群发"),
        ("tier", "!=", "C", "客户等级不是 C（还没有评级的不算）"),
        ("tier", "in", ["S", "A", "B"], "客户等级是 S、A 或 B"),
        ("tier", "not_in", ["S", "A"], "客户等级不是 S、A 中的任何一个（还没有评级的不算）"),
        ("missing_category", "in", ["对戒", "项链"], "消费过，但对戒、项链中至少有一类没有买过"),
        ("coupon_expiring_days", "=", 0, "有优惠券今天到期"),
        ("coupon_expiring_days", "between", [3, 7], "有优惠券 3 到 7 天后到期"),
        ("points_expiring_days", ">", 30, "有积分离到期超过 30 天"),
        ("birthday_in_days", "=", 0, "今天生日"),
        ("birthday_in_days", "=", 3, "距下次生日为 3 天"),
        ("registered_days", ">=", 365, "入会天数不少于 365 天"),
    ],
)
def test_each_leaf_reads_as_a_sentence(field, op, value, said) -> None:
    conditions.check(leaf(field, op, value), NAMES)
    assert conditions.sentence(leaf(field, op, value), NAMES) == said


def test_what_is_known_of_a_person_is_told_beside_what_is_wanted(session: Session) -> None:
    make = Make(session)
    store = make.store(code="SH001", name="南京路店", latitude=31.2304, longitude=121.4737)
    contact = make.contact(make.guide(store))
    make.member(contact, home_latitude=31.2304, home_longitude=121.5)
    make.purchase(contact, on=date(2026, 8, 18), store_id=store.id)
    calendar.extend(session, TODAY)
    wanted = {
        "all": [
            leaf("bought_between", "=", ["2026-08-01", "2026-08-31"]),
            leaf("bought_in_festival", "=", "七夕"),
            leaf("bought_in_store", "=", "SH001"),
            leaf("refunded", "=", False),
            leaf("cart_open_hours", ">=", 1),
            leaf("distance_to_store_km", "<=", 3),
            leaf("last_touch_days", ">=", 1),
            leaf("at_risk", "=", False),
        ]
    }
    found = conditions.readings(session, wanted, contact.id, TODAY)
    assert [(part.actual, part.holds) for part in found] == [
        ("买过 1 次", True),
        ("七夕", True),
        ("南京路店", True),
        ("没有退款", True),
        ("没有未付款的购物车", False),
        ("2.5 公里", True),
        ("从未联系过的", False),
        ("没有流失风险", True),
    ]


def test_the_names_a_condition_speaks_of_are_known(session: Session) -> None:
    asked = {"any": [leaf("sop_active", "in", ["甲", "乙"]), leaf("has_tag", "=", "a/b")]}
    assert conditions.mentioned(asked, "sops") == {"甲", "乙"}
    assert conditions.mentioned(asked, "tags") == {"a/b"}
    assert conditions.mentioned(None, "sops") == set()
    session.add(Sop(name="新客首月"))
    session.add(FestivalDay(name="七夕", held_on=TODAY))
    session.flush()
    lookup = conditions.load_lookup(session)
    assert (lookup.sops, lookup.festivals) == ({"新客首月"}, {"七夕"})


def test_only_what_days_change_is_said_to_move_with_time() -> None:
    assert conditions.moves_with_time(leaf("days_since_purchase", ">=", 3))
    assert conditions.moves_with_time({"not": {"all": [leaf("tier", "=", "S")]}})
    assert not conditions.moves_with_time(leaf("bought_category", "=", "对戒"))
    assert not conditions.moves_with_time(None)


def test_a_plan_cannot_ask_for_those_who_are_in_it(session: Session) -> None:
    make = Make(session)
    make.talking_point(name="问候")
    session.add(Sop(name="新客首月"))
    session.flush()
    step = {"day": 0, "kind": "chat", "title": "问候", "talking_point": "问候"}
    spec = {
        "name": "新客首月",
        "trigger": {"kind": "followed"},
        "audience": {"not": [leaf("sop_active", "=", "新客首月")]},
        "steps": [step],
    }
    with pytest.raises(UserError, match="自己"):
        specs.check(session, spec)
    assert specs.check(session, {**spec, "name": "另一个"}).audience == spec["audience"]
