"""Triggers in words for HQ (触发条件的说法), and the one whose inputs depend on each other."""

from __future__ import annotations

import re
from datetime import date

from bot.errors import UserError
from sop.anchors import RISK_LABELS, WEEKDAYS, Params
from sop.lead_signals import BEHAVIORS

# A festival that is called by its date: 520, 1111.
_NUMBER_NAME = re.compile(r"([1-9]|1[0-2])([0-3][0-9])")
EACH = {"day": "每天", "week": "每周", "month": "每月"}


def bought_sentence(params: Params) -> str:
    """HQ reads: 「在门店 S001 购买对戒，实付不少于 ¥5,000」."""
    words = f"购买{params['category']}" if params.get("category") else "消费"
    if params.get("store") is not None:
        words = f"在门店 {params['store']} {words}"
    if params.get("min_fen") is not None:
        words += f"，实付不少于 {_yuan(params)}"
    return words


def bought_again_sentence(params: Params) -> str:
    """HQ reads: 「购买对戒满周年（第 1、3 年）」."""
    return f"购买{params.get('category') or ''}满周年{years(params)}"


def day_label(params: Params) -> str:
    """HQ reads: 「11月11日」."""
    return _spoken(date.fromisoformat(params["on"]), with_year=False)


def day_sentence(params: Params) -> str:
    """HQ reads: 「2026年11月11日当天」."""
    return f"{_spoken(date.fromisoformat(params['on']))}当天"


def festival_sentence(params: Params) -> str:
    """HQ reads: 「七夕当天」; 「5月20日（520）当天」 where the name is the date."""
    name = str(params["name"])
    found = _NUMBER_NAME.fullmatch(name)
    return f"{found[1]}月{found[2]}日（{name}）当天" if found else f"{name}当天"


def _spoken(on: date, *, with_year: bool = True) -> str:
    return f"{on.year}年{on.month}月{on.day}日" if with_year else f"{on.month}月{on.day}日"


def _yuan(params: Params) -> str:
    return f"¥{params['min_fen'] / 100:,.0f}"


def years(params: Params) -> str:
    """HQ reads: 「（第 1、3 年）」, or nothing."""
    years = params.get("years")
    return f"（第 {'、'.join(str(year) for year in years)} 年）" if years else ""


def cart_sentence(params: Params) -> str:
    """HQ reads: 「加购对戒后还没有买，购物车不少于 ¥5,000」."""
    words = f"加购{params.get('category') or ''}后还没有买"
    if params.get("min_fen") is not None:
        words += f"，购物车不少于 {_yuan(params)}"
    return words


def coupon(params: Params) -> str:
    """HQ reads: 「优惠券「生日礼券」」."""
    return f"优惠券「{params['template']}」" if params.get("template") else "优惠券"


def points(params: Params) -> str:
    """HQ reads: 「不少于 500 分的积分」."""
    least = params.get("min_points")
    return f"不少于 {least} 分的积分" if least else "积分"


def visit_sentence(params: Params) -> str:
    """HQ reads: 「客户到访门店 S001（活动）」."""
    where = f"到访门店 {params['store']}" if params.get("store") else "到店"
    kind = f"（{params['visit_kind']}）" if params.get("visit_kind") else ""
    return f"客户{where}{kind}"


def lead_sentence(params: Params) -> str:
    """HQ reads: 「出现高意向线索（问到定制）」."""
    words = "出现高意向线索" if params.get("hot") else "出现线索"
    behavior = params.get("behavior")
    return f"{words}（{BEHAVIORS[behavior].label}）" if behavior else words


def risk_sentence(params: Params) -> str:
    """HQ reads: 「有流失风险（很久没有再买）」."""
    reason = params.get("reason")
    return f"有流失风险（{RISK_LABELS[reason]}）" if reason else "有流失风险"


def every_sentence(params: Params) -> str:
    """HQ reads: 「每周三，2026年11月1日起」."""
    words = EACH[params["each"]]
    if params["each"] == "week":
        words += WEEKDAYS[params["weekday"] - 1]
    if params["each"] == "month":
        words += f" {params['month_day']} 日"
    if params.get("from"):
        words += f"，{_spoken(date.fromisoformat(params['from']))}起"
    if params.get("until"):
        words += f"，到 {_spoken(date.fromisoformat(params['until']))}为止"
    return words


def verify_every(params: Params) -> None:
    """Refuse a rhythm without its day, or with that of another; raises UserError."""
    needed = {"week": ("weekday", "星期几"), "month": ("month_day", "几号")}
    each = params["each"]
    for rhythm, (key, label) in needed.items():
        if each == rhythm and params.get(key) is None:
            raise UserError(f"「{EACH[each]}」要填{label}", field=f"trigger.{key}")
        if each != rhythm and params.get(key) is not None:
            raise UserError(f"「{EACH[each]}」不用填{label}", field=f"trigger.{key}")
    if params.get("from") and params.get("until") and params["from"] > params["until"]:
        raise UserError("开始日期不能晚于结束日期", field="trigger.until")
