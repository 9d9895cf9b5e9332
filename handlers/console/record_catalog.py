"""What the brand has that the SOP editor may name (可选的资料): tags, stores, words, materials."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.crm import brand
from bot.crm.models import ChannelCode, FestivalDay, Region, Store
from content_library import placeholders
from content_library.models import (
    ChannelTemplate,
    CouponTemplate,
    Material,
    TalkingPoint,
    TalkingPointVariant,
)
from sop import steps
from sop.anchors import STAGE_LABELS
from sop.models import Sop
from tagging.models import Tag, TagGroup

_MATERIAL_KINDS = {
    "image": "图片",
    "link": "链接",
    "miniprogram": "小程序",
    "video": "视频",
    "file": "文件",
}


def read(session: Session) -> dict[str, Any]:
    """The records a form of the editor offers, by the name under which its script knows them."""
    return {
        "names": _names(session),
        "templates": _templates(session),
        "coupons": _coupons(session),
        "points": _points(session),
        "materials": _materials(session),
    }


def _coupons(session: Session) -> list[str]:
    offered = select(CouponTemplate.name).where(CouponTemplate.is_active)
    return list(session.scalars(offered.order_by(CouponTemplate.name)))


def _materials(session: Session) -> list[dict[str, Any]]:
    rows = session.execute(select(Material.name, Material.kind).order_by(Material.name))
    return [
        {
            "name": name,
            "kind": _MATERIAL_KINDS.get(kind, kind),
            "isForMoments": kind in steps.IN_MOMENTS,
        }
        for name, kind in rows
    ]


def _templates(session: Session) -> list[dict[str, str]]:
    rows = session.execute(
        select(ChannelTemplate.name, ChannelTemplate.channel, ChannelTemplate.text)
        .where(ChannelTemplate.is_active)
        .order_by(ChannelTemplate.name)
    )
    return [{"name": name, "channel": channel, "text": words} for name, channel, words in rows]


def _names(session: Session) -> dict[str, list[dict[str, str]]]:
    paths = session.execute(
        select(TagGroup.name, Tag.name)
        .join(Tag, Tag.group_id == TagGroup.id)
        .where(Tag.is_active)
        .order_by(TagGroup.position, TagGroup.id, Tag.position, Tag.id)
    )
    return {
        "tags": [{"key": f"{group}/{name}", "label": f"{group} / {name}"} for group, name in paths],
        "stores": _pairs(session, Store.code, Store.name),
        "regions": _pairs(session, Region.code, Region.name),
        "channel_codes": _pairs(session, ChannelCode.state, ChannelCode.name),
        "categories": _same(brand.settings(session).categories),
        "festivals": _same(session.scalars(select(FestivalDay.name).distinct().order_by("name"))),
        "sops": _same(session.scalars(select(Sop.name).order_by(Sop.name))),
        "stages": [{"key": key, "label": label} for key, label in STAGE_LABELS.items()],
    }


def _pairs(session: Session, key: Any, label: Any) -> list[dict[str, str]]:
    rows = session.execute(select(key, label).order_by(label))
    return [{"key": one, "label": name} for one, name in rows]


def _same(names: Any) -> list[dict[str, str]]:
    return [{"key": name, "label": name} for name in names]


def _points(session: Session) -> list[dict[str, Any]]:
    rows = session.execute(
        select(TalkingPoint.name, TalkingPoint.scene, func.array_agg(TalkingPointVariant.text))
        .outerjoin(TalkingPointVariant, TalkingPointVariant.talking_point_id == TalkingPoint.id)
        .where(TalkingPoint.is_active)
        .group_by(TalkingPoint.id)
        .order_by(TalkingPoint.scene, TalkingPoint.name)
    )
    return [
        {
            "name": name,
            "scene": scene or "其他",
            # It speaks of the one customer, so it cannot go to many at once.
            "isPersonal": any(placeholders.uses_own_facts(one) for one in variants if one),
        }
        for name, scene, variants in rows
    ]
