"""SMS and official account templates, and coupon templates, of a pack (通道模板、券模板)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.errors import UserError
from content_library import channel_templates, wording_rules
from content_library.channel_templates import Channel
from content_library.models import ChannelTemplate, CouponTemplate
from handlers.brand_pack.organisation import given, upsert
from handlers.brand_pack.reading import Map, Seq, fail, plain
from sop import step_kinds

_SECTIONS = {"sms_templates": Channel.SMS, "wechat_templates": Channel.TEMPLATE_MESSAGE}


def load(session: Session, pack: Map) -> list[str]:
    """Write the three sections; returns what HQ should look at again."""
    known = {row.name: row.channel for row in session.scalars(select(ChannelTemplate))}
    rows: list[dict[str, Any]] = []
    warnings: list[str] = []
    for section, channel in _SECTIONS.items():
        for item in pack.get(section, Seq()):
            other = known.setdefault(item["name"], channel.value)
            if other != channel.value:
                label = step_kinds.KINDS[other]
                fail(item.line_of("name"), f"「{item['name']}」已经是{label}模板的名称")
            rows.append(_template(item, channel, warnings))
    upsert(session, ChannelTemplate, "name", rows)
    coupons = pack.get("coupon_templates", Seq())
    warnings += filter(
        None, (wording_rules.warning(f"券「{one['name']}」", one["title"]) for one in coupons)
    )
    upsert(session, CouponTemplate, "name", [_coupon(item) for item in coupons])
    return warnings


def _template(item: Map, channel: Channel, warnings: list[str]) -> dict[str, Any]:
    row = {
        "name": item["name"],
        "channel": channel.value,
        "code": item["code"],
        "signature": item.get("signature"),
        "text": item.get("text", ""),
        "data": plain(item.get("params" if channel == Channel.SMS else "data", {})),
        "url": item.get("url"),
    }
    try:
        warnings += channel_templates.check(**row)
    except UserError as error:
        fail(_line(item, error), error.message_zh)
    return row | {"is_active": True}


def _line(item: Map, error: UserError) -> int:
    """Of the variable the sentence names, else of the field."""
    field = error.field or "name"
    inner = item.get(field)
    if isinstance(inner, Map):
        named = next((key for key in inner if f"「{key}」" in error.message_zh), "")
        return inner.line_of(named) if named else item.line_of(field)
    return item.line_of(field)


def _coupon(item: Map) -> dict[str, Any]:
    return {
        "name": item["name"],
        "title": item["title"],
        "value_fen": item["value_fen"],
        "least_spend_fen": item.get("least_spend_fen", 0),
        "valid_days": item["valid_days"],
        "is_active": True,
    }


def dump(session: Session) -> dict[str, Any]:
    """The three sections as they stand."""
    templates = session.scalars(
        select(ChannelTemplate).where(ChannelTemplate.is_active).order_by(ChannelTemplate.id)
    ).all()
    coupons = session.scalars(
        select(CouponTemplate).where(CouponTemplate.is_active).order_by(CouponTemplate.id)
    )
    return {
        "sms_templates": [
            given(
                name=row.name,
                signature=row.signature,
                code=row.code,
                text=row.text,
                params=row.data or None,
            )
            for row in templates
            if row.channel == Channel.SMS
        ],
        "wechat_templates": [
            given(name=row.name, code=row.code, text=row.text or None, url=row.url, data=row.data)
            for row in templates
            if row.channel == Channel.TEMPLATE_MESSAGE
        ],
        "coupon_templates": [
            given(
                name=row.name,
                title=row.title,
                value_fen=row.value_fen,
                least_spend_fen=row.least_spend_fen or None,
                valid_days=row.valid_days,
            )
            for row in coupons
        ],
    }
