"""The closed table of placeholders (占位符) that words may use, and how they are filled.

Filling is one regular expression in a single pass over the words; what is put in is never read
again, so a nickname that looks like a placeholder stays a nickname. A placeholder whose fact is
not known is filled with its fallback, chosen so that the sentence around it stays a sentence.
To add one: an entry in PLACEHOLDERS, and its fact in `facts.PlaceholderFacts`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass

from bot.errors import UserError
from content_library.facts import (
    PlaceholderFacts,
    contact_facts,
    guide_only_facts,
    load_facts,
)

__all__ = [
    "PLACEHOLDERS",
    "Placeholder",
    "PlaceholderFacts",
    "check",
    "contact_facts",
    "fill",
    "guide_only_facts",
    "load_facts",
    "names",
    "unknown_facts",
    "uses_name",
    "uses_own_facts",
]

_PLACEHOLDER = re.compile(r"\{\s*([^{}]*?)\s*\}")
_BRACES = re.compile(r"[{}｛｝]")
_AFTER_A_SENTENCE = re.compile(r"(^|[\n。！？!?~～…]\s*)$")


@dataclass(frozen=True)
class Placeholder:
    """One name HQ may write in braces.

    `fill` gives the value or None; then `fallback` is used, or `fallback_between(before, after)`
    where the right word depends on the sentence. `is_answer`: a keyword reply with it answers a
    question about the customer herself, so a fallback would be no answer at all.
    `is_name`: it needs the customer's name, worth one look-up before a welcome.
    """

    name: str
    description: str
    sample: str
    fallback: str
    fill: Callable[[PlaceholderFacts], str | None]
    fallback_between: Callable[[str, str], str] | None = None
    is_answer: bool = False
    is_name: bool = False


_GREETING_FOLLOWS = re.compile(r"[，,！!～~]?\s*(?=[您你]好)")


def _you(before: str, after: str) -> str:
    """您 for a missing name; 「{客户称呼}您好」 becomes 「您好」, 「{客户称呼}，」 「您好，」."""
    if after[:1] in ("您", "你"):
        return ""
    begins = _AFTER_A_SENTENCE.search(before) is not None
    if begins and after[:1] in tuple("，,！!～~：:。"):
        return "您好"
    return "您"


PLACEHOLDERS: dict[str, Placeholder] = {
    p.name: p
    for p in (
        Placeholder(
            "客户称呼",
            "怎么称呼客户：备注里的称呼、姓氏加先生/女士，或昵称",
            "王女士",
            "您",
            lambda f: f.address,
            fallback_between=_you,
            is_name=True,
        ),
        Placeholder(
            "客户昵称",
            "客户的微信昵称",
            "小雨",
            "您",
            lambda f: f.nickname,
            fallback_between=_you,
            is_name=True,
        ),
        Placeholder("导购名", "发送的导购", "张三", "您的专属导购", lambda f: f.guide_name),
        Placeholder(
            "门店名",
            "导购所在的门店",
            "南京路店",
            "我们店",
            lambda f: f.store_name or f.brand_name,
        ),
        Placeholder(
            "门店地址",
            "导购所在门店的地址",
            "南京东路 100 号",
            "我把定位发给您",
            lambda f: f.store_address,
        ),
        Placeholder(
            "营业时间",
            "导购所在门店的营业时间",
            "10:00-22:00",
            "到店前先和我说一声就好",
            lambda f: f.store_hours,
        ),
        Placeholder("品牌名", "品牌", "星河珠宝", "我们品牌", lambda f: f.brand_name),
        Placeholder(
            "上次购买品名",
            "最近一单里金额最高的一件",
            "星芒对戒",
            "这件宝贝",
            lambda f: f.last_item,
        ),
        Placeholder("上次购买品类", "最近一单的品类", "对戒", "宝贝", lambda f: f.last_category),
        Placeholder(
            "上次购买日期",
            "最近一单是哪天",
            "10月3日",
            "此前",
            lambda f: f.last_purchase_day,
        ),
        Placeholder(
            "距上次购买天数",
            "最近一单到今天几天，只有数字，后面请写「天」",
            "45",
            "好些",
            lambda f: f.days_since_purchase,
        ),
        Placeholder(
            "相识天数",
            "成为好友到今天几天，只有数字，后面请写「天」",
            "30",
            "这些",
            lambda f: f.days_since_follow,
        ),
        Placeholder("生日", "会员资料里的生日", "8月15日", "生日", lambda f: f.birthday),
        Placeholder(
            "结婚纪念日",
            "会员资料里的结婚纪念日",
            "5月20日",
            "结婚纪念日",
            lambda f: f.wedding_day,
        ),
        Placeholder(
            "积分余额",
            "当前可用积分",
            "1,280",
            "若干",
            lambda f: f.points,
            is_answer=True,
        ),
        Placeholder("会员等级", "会员等级", "金卡会员", "会员", lambda f: f.level, is_answer=True),
        Placeholder(
            "会员号",
            "会员号，只露后四位",
            "****8801",
            "请出示会员码",
            lambda f: f.member_no,
            is_answer=True,
        ),
        Placeholder(
            "入会日期",
            "哪天成为会员",
            "2023年6月1日",
            "此前",
            lambda f: f.registered_day,
        ),
        Placeholder(
            "优惠券码",
            "随任务发的优惠券，没有时是最先到期的一张",
            "DG7K2M9QX4TB",
            "到店时告诉我即可",
            lambda f: f.coupon_no,
            is_answer=True,
        ),
        Placeholder("优惠券面额", "这张优惠券抵多少", "200 元", "专属", lambda f: f.coupon_value),
        Placeholder(
            "优惠券门槛",
            "这张优惠券满多少可用",
            "满 2,000 元可用",
            "使用规则以券面为准",
            lambda f: f.coupon_least,
        ),
        Placeholder(
            "优惠券到期日",
            "这张优惠券用到哪天",
            "12月20日",
            "券面日期",
            lambda f: f.coupon_last_day,
        ),
        Placeholder(
            "到期积分",
            "最先到期的积分有多少",
            "1,200",
            "部分",
            lambda f: f.lapsing_points,
            is_answer=True,
        ),
        Placeholder("积分到期日", "这些积分哪天到期", "12月31日", "近期", lambda f: f.lapsing_day),
        Placeholder(
            "购物车商品",
            "购物车里还没买的第一件",
            "星芒对戒",
            "看中的款式",
            lambda f: f.cart_item,
        ),
        Placeholder(
            "预约时间",
            "约好的到店时间",
            "11月28日（周六）15:00",
            "约好的时间",
            lambda f: f.slot,
            is_answer=True,
        ),
        Placeholder(
            "问卷链接",
            "品牌设置里的问卷地址",
            "https://example.com/q",
            "直接回复就好",
            lambda f: f.survey_url,
        ),
        Placeholder(
            "今日金价",
            "当天录入的金价，自成一句",
            "今日金价 628 元/克",
            "今日金价请以门店公示为准",
            lambda f: f.gold_price,
        ),
        Placeholder("下一个节日", "接下来的节日", "七夕", "节日", lambda f: f.next_festival),
    )
}


#: What only the book knows of a customer who is recognized, by purchases or as a member.
_OF_A_KNOWN_CUSTOMER = frozenset(
    {
        "上次购买品名",
        "上次购买品类",
        "上次购买日期",
        "距上次购买天数",
        "生日",
        "结婚纪念日",
        "积分余额",
        "会员等级",
        "会员号",
        "入会日期",
        "优惠券码",
        "优惠券面额",
        "优惠券门槛",
        "优惠券到期日",
        "到期积分",
        "积分到期日",
        "购物车商品",
        "预约时间",
    }
)


def names(text: str) -> list[str]:
    """The placeholder names written in `text`, in order, each once (known or not)."""
    return list(dict.fromkeys(_PLACEHOLDER.findall(text)))


def check(text: str, *, field: str | None = None) -> None:
    """Refuse words that would reach a customer with braces in them; raises UserError."""
    for name in names(text):
        if name not in PLACEHOLDERS:
            near = difflib.get_close_matches(name, PLACEHOLDERS, n=1, cutoff=0.2)
            known = near[0] if near else "客户称呼"
            raise UserError(
                f"没有叫「{{{name}}}」的占位符，您要用的是「{{{known}}}」吗？", field=field
            )
    rest = _PLACEHOLDER.sub("", text)
    if _BRACES.search(rest):
        raise UserError(
            "文字里有多余的花括号：占位符要写成一对半角花括号，例如「{客户称呼}」。",
            field=field,
        )


def fill(text: str, facts: PlaceholderFacts) -> str:
    """`text` with its placeholders filled; unknown names stay as they are written."""
    pieces, end = [], 0
    for match in _PLACEHOLDER.finditer(text):
        pieces.append(text[end : match.start()])
        end = match.end()
        placeholder = PLACEHOLDERS.get(match[1])
        known = match[0] if placeholder is None else placeholder.fill(facts)
        if known or placeholder is None:
            pieces.append(known or "")
        elif placeholder.fallback_between is None:
            pieces.append(placeholder.fallback)
        elif greeting := _GREETING_FOLLOWS.match(text, end):
            # 「{客户称呼}，您好」 without a name is one 「您好」, not two.
            end = greeting.end()
        else:
            pieces.append(placeholder.fallback_between(text[: match.start()], text[end:]))
    pieces.append(text[end:])
    return "".join(pieces)


def unknown_facts(text: str, facts: PlaceholderFacts) -> list[str]:
    """The names in `text` that answer a question about the customer and cannot be answered."""
    return [
        name
        for name in names(text)
        if name in PLACEHOLDERS
        and PLACEHOLDERS[name].is_answer
        and not PLACEHOLDERS[name].fill(facts)
    ]


def uses_name(text: str) -> bool:
    """Whether the words speak to the customer by name."""
    return any(n in PLACEHOLDERS and PLACEHOLDERS[n].is_name for n in names(text))


def uses_own_facts(text: str) -> bool:
    """Whether the words speak of what the customer bought, or is as a member."""
    return any(n in _OF_A_KNOWN_CUSTOMER for n in names(text))
