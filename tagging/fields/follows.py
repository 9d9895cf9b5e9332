"""Fields over how a contact came and whom she belongs to (来源、导购、门店)."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, and_, join, outerjoin

from bot.crm.models import ChannelCode, Contact, FollowRelation, Guide, Region, Store
from tagging.fields.field import (
    Field,
    Home,
    as_list,
    bought_only,
    compare,
    days_fact,
    days_since,
    plain,
)
from tagging.fields.kinds import DAYS, Choice, Words

CONTACT = Home()
CHANNEL = Home(ChannelCode.__table__, ChannelCode.id == Contact.channel_code_id)
# The relation with the responsible guide; (guide, contact) is unique, so there is at most one.
RELATION = Home(
    FollowRelation.__table__,
    and_(FollowRelation.contact_id == Contact.id, FollowRelation.guide_id == Contact.guide_id),
)
STORE = Home(
    outerjoin(
        join(Guide.__table__, Store.__table__, Store.id == Guide.store_id),
        Region.__table__,
        Region.id == Store.region_id,
    ),
    Guide.id == Contact.guide_id,
)

#: WeCom's numbers (document 92114) under names that packs can write.
ADD_WAYS: dict[str, tuple[int, str]] = {
    "qr_code": (1, "扫二维码"),
    "mobile_search": (2, "搜索手机号"),
    "name_card": (3, "名片分享"),
    "group_chat": (4, "群聊"),
    "phone_contacts": (5, "手机通讯录"),
    "wechat_contact": (6, "微信联系人"),
    "service_person": (8, "应用客服人员"),
    "email_search": (9, "搜索邮箱"),
    "channels": (10, "视频号"),
    "calendar": (11, "日程参与人"),
    "meeting": (12, "会议参与人"),
    "wechat_friend": (13, "微信好友对应的企业微信"),
    "smart_hardware": (14, "智慧硬件"),
    "on_site_service": (15, "上门服务"),
    "acquisition_link": (16, "获客链接"),
    "custom": (17, "定制开发"),
    "demand_reply": (18, "需求回复"),
    "pre_sales": (21, "第三方售前客服"),
    "business_partner": (22, "可能的商务伙伴"),
    "wechat_request": (24, "微信账号收到的好友申请"),
    "shared": (201, "内部成员共享"),
    "assigned": (202, "管理员分配"),
}
_ADD_WAY_KEYS = {number: key for key, (number, _) in ADD_WAYS.items()}


def _add_way(op: str, value: Any, day: date) -> ColumnElement[bool]:
    numbers = [ADD_WAYS[one][0] for one in as_list(value)]
    if op in ("=", "in"):
        return FollowRelation.add_way.in_(numbers)
    # 0 means WeCom does not know the way.
    return and_(FollowRelation.add_way != 0, FollowRelation.add_way.not_in(numbers))


def _show_add_way(number: int) -> str:
    key = _ADD_WAY_KEYS.get(number)
    return ADD_WAYS[key][1] if key else "未知"


FIELDS = (
    Field(
        "followed_days",
        "添加导购天数",
        DAYS,
        CONTACT,
        bought_only(Contact.guide_id.is_not(None), days_since(Contact.followed_on)),
        days_fact(Contact.followed_on),
        gap="没有导购跟进的",
        today="今天添加导购",
        moves_with_time=True,
        example=("<=", 30),
    ),
    Field(
        "channel_code",
        "渠道活码",
        Words("channel_codes"),
        CHANNEL,
        plain(ChannelCode.state),
        lambda day: ChannelCode.state.expression,
        gap="不是扫活码来的",
        example=("=", "cashier"),
    ),
    Field(
        "add_way",
        "添加方式",
        Choice({key: label for key, (_, label) in ADD_WAYS.items()}),
        RELATION,
        _add_way,
        lambda day: FollowRelation.add_way.expression,
        gap="添加方式未知的",
        show=_show_add_way,
        example=("=", "qr_code"),
    ),
    Field(
        "store",
        "门店",
        Words("stores"),
        STORE,
        plain(Store.code),
        lambda day: Store.code.expression,
        gap="没有门店的",
        example=("=", "SH001"),
    ),
    Field(
        "store_tier",
        "门店等级",
        Words(),
        STORE,
        lambda op, value, day: compare(Store.tier, op, value),
        lambda day: Store.tier.expression,
        gap="门店没有等级的",
        example=("in", ["A", "B"]),
    ),
    Field(
        "region",
        "区域",
        Words("regions"),
        STORE,
        plain(Region.code),
        lambda day: Region.code.expression,
        gap="没有区域的",
        example=("=", "east"),
    ),
)
