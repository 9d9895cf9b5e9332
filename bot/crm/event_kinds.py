"""The types of events there are (事件类型): how each is read, kept, told, and described."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from bot.crm import (
    carts,
    coupons,
    member_merges,
    members,
    opt_out_events,
    points,
    purchase_moves,
    purchases,
    visits,
)
from bot.crm.receipts import Receipt


@dataclass(frozen=True)
class EventField:
    """One field of an event, as the reference describes it."""

    name: str
    words: str
    is_required: bool = False


@dataclass(frozen=True)
class Kind:
    """One type of event: how it is read, kept, and told in the customer's story.

    `read` gets the event and the secret key. `keep` returns contacts, besides those the events
    name, whose facts changed. `story` may find nothing worth telling.
    """

    label: str
    fields: tuple[EventField, ...]
    read: Callable[[Mapping[str, Any], str], Any]
    keep: Callable[[Session, Sequence[Receipt]], set[int]]
    story: Callable[[Receipt], dict[str, Any] | None] | None = None


def _reader(read: Callable[[Mapping[str, Any]], Any]) -> Callable[[Mapping[str, Any], str], Any]:
    """Most events hold nothing that has to be sealed."""
    return lambda event, secret_key: read(event)


def _must(name: str, words: str) -> EventField:
    return EventField(name, words, is_required=True)


#: Every type of event there is; a further one is one more line (and its room).
KINDS: dict[str, Kind] = {
    "member": Kind(
        "会员资料",
        (
            _must("member_no", "会员号"),
            EventField("mobile", "手机号，加密保存"),
            EventField("mall_id", "商城账号"),
            EventField("openid", "公众号 openid"),
            EventField("name", "姓名"),
            EventField("level", "会员等级"),
            EventField("points", "积分余额"),
            EventField("birthday", "生日，1990-05-20 或 05-20"),
            EventField("birthday_is_lunar", "true：生日按农历"),
            EventField("wedding_day", "结婚纪念日"),
            EventField("registered_on", "入会日期"),
            EventField("home_latitude", "住处纬度"),
            EventField("home_longitude", "住处经度"),
        ),
        lambda event, secret_key: members.read(event, secret_key=secret_key),
        members.keep,
    ),
    "member_merged": Kind(
        "会员合并",
        (
            _must("member_no", "保留的会员号"),
            _must("merged_member_no", "并入的会员号"),
        ),
        _reader(member_merges.read),
        member_merges.keep,
        member_merges.story,
    ),
    "purchase": Kind(
        "消费",
        (
            _must("order_no", "订单号"),
            _must("lines", "商品行：sku、name、category、quantity、amount_fen"),
            _must("amount_fen", "实付金额（分）"),
            EventField("store", "门店编码"),
            EventField("guide", "导购账号"),
            EventField("channel", "渠道"),
            EventField("coupon", "用掉的优惠券号"),
        ),
        _reader(purchases.read),
        purchases.apply,
        purchases.story,
    ),
    "refund": Kind(
        "退款",
        (
            _must("order_no", "订单号"),
            _must("amount_fen", "退款金额（分）"),
            EventField(
                "lines",
                "退掉的商品行：sku（没有 sku 写 name）、quantity、amount_fen；"
                "件数或金额退齐的商品不再算买过的品类，不写就只减金额",
            ),
        ),
        _reader(purchases.read_refund),
        purchases.apply_refunds,
        purchases.refund_story,
    ),
    "purchase_moved": Kind(
        "消费改归属",
        (
            _must("order_no", "订单号"),
            EventField("guide", "新的导购账号，和 store 至少写一个"),
            EventField("store", "新的门店编码"),
        ),
        _reader(purchase_moves.read),
        purchase_moves.keep,
        purchase_moves.story,
    ),
    "cart": Kind(
        "购物车",
        (
            _must("cart_id", "购物车号"),
            _must("state", "added 加购，bought 已下单，removed 已清空"),
            EventField("lines", "商品行，加购时必须有"),
            EventField("amount_fen", "合计（分），不写则按商品行"),
        ),
        _reader(carts.read),
        carts.keep,
        carts.story,
    ),
    "points": Kind(
        "积分变动",
        (
            _must("delta", "增加为正，使用为负"),
            EventField("balance", "变动后的余额"),
            EventField("expires_on", "这笔积分的到期日，只在增加时写"),
            EventField("reason", "原因；积分过期的扣减要写明“过期”"),
        ),
        _reader(points.read),
        points.keep,
        points.story,
    ),
    "coupon": Kind(
        "优惠券",
        (
            _must("coupon_no", "券号"),
            _must("state", "issued 发放，redeemed 核销，expired 过期"),
            EventField("template", "券名，发放时必须有"),
            EventField("value_fen", "面额（分）"),
            EventField("expires_on", "到期日"),
            EventField("order_no", "核销的订单号"),
        ),
        _reader(coupons.read),
        coupons.keep,
        coupons.story,
    ),
    "visit": Kind(
        "到店",
        (
            _must("store", "门店编码"),
            _must("kind", "到店、活动、售后、线上，或别的说法"),
        ),
        _reader(visits.read),
        visits.keep,
        visits.story,
    ),
    "view": Kind(
        "浏览",
        (
            _must("material", "素材名称或网址"),
            EventField("seconds", "停留秒数"),
        ),
        _reader(visits.read_view),
        visits.keep_views,
        visits.view_story,
    ),
    "opt_out": Kind(
        "退订",
        (
            _must("channel", "all、chat、mass_message、sms 或 template_message"),
            EventField("is_out", "false：恢复；不写就是退订"),
        ),
        _reader(opt_out_events.read),
        opt_out_events.keep,
    ),
}
