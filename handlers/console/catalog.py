"""Everything the SOP editor may offer (可选项), from the closed tables and the brand's records.

The editor's script knows no trigger, field or operator of its own; a new one in the tables is in
the form by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.crm import brand
from bot.crm.models import ChannelCode, Contact, FestivalDay, Guide, Region, Store
from content_library import placeholders
from content_library.models import (
    ChannelTemplate,
    CouponTemplate,
    Material,
    TalkingPoint,
    TalkingPointVariant,
)
from handlers.console import people_words, step_words
from sop import step_kinds, steps, triggers
from sop.anchors import STAGE_LABELS, WEEKDAYS
from sop.models import Carrier, Sop
from tagging import conditions
from tagging.fields.field import Field
from tagging.fields.kinds import (
    HAS_OPS,
    Choice,
    DateSpan,
    Flag,
    Kilometers,
    Number,
    Words,
)
from tagging.models import ContactScore, Tag, TagGroup, Tier

_NUMBER_OPS = {
    "=": "等于",
    "!=": "不等于",
    ">": "超过",
    ">=": "不少于",
    "<": "少于",
    "<=": "不超过",
    "between": "介于",
}
_SET_OPS = {"=": "是", "!=": "不是", "in": "是其中之一", "not_in": "都不是"}
_HAS_OPS = {"=": "有", "!=": "没有"}
_MONEY = "_fen"
_GROUPS = ("all", "any", "not")
_MATERIAL_KINDS = {
    "image": "图片",
    "link": "链接",
    "miniprogram": "小程序",
    "video": "视频",
    "file": "文件",
}
# Known only once a task has given its coupon, so a sample stands for them.
_OF_THE_TASK = tuple(name for name in placeholders.PLACEHOLDERS if name.startswith("优惠券"))
# A sample customer is looked for among so many of the newest friends.
_NEWEST = 200


def read(session: Session) -> dict[str, Any]:
    """The whole catalog, ready to be written into the page as JSON."""
    return {
        "triggers": [_trigger(one) for one in triggers.TRIGGERS.values()],
        "fields": [_field(one) for one in conditions.FIELDS.values()],
        "names": _names(session),
        "kinds": [_kind(key, label) for key, label in step_kinds.KINDS.items()],
        "ways": _ways(session),
        "ifMissed": [{"key": key, "label": label} for key, label in step_words.IF_MISSED.items()],
        "templates": _templates(session),
        "coupons": list(
            session.scalars(
                select(CouponTemplate.name)
                .where(CouponTemplate.is_active)
                .order_by(CouponTemplate.name)
            )
        ),
        "points": _points(session),
        "materials": [
            {
                "name": name,
                "kind": _MATERIAL_KINDS.get(kind, kind),
                "isForMoments": kind in steps.IN_MOMENTS,
            }
            for name, kind in session.execute(
                select(Material.name, Material.kind).order_by(Material.name)
            )
        ],
        "quiet": brand.settings(session).quiet_hours,
    }


def sample(session: Session, number: int, day: date) -> dict[str, Any]:
    """A real customer to read the words with: the `number`-th, and every variant filled for her."""
    found = _sample_pair(session, number)
    variants = session.execute(
        select(TalkingPoint.name, TalkingPointVariant.text)
        .join(TalkingPointVariant, TalkingPointVariant.talking_point_id == TalkingPoint.id)
        .where(TalkingPoint.is_active)
        .order_by(TalkingPoint.id, TalkingPointVariant.position)
    ).all()
    filled: dict[str, list[str]] = defaultdict(list)
    if found is None:
        for name, words in variants:
            filled[name].append(_with_samples(words))
        return {"label": "示例客户", "filled": filled}
    contact_id, guide_id, name, guide = found
    facts = placeholders.contact_facts(session, contact_id, guide_id, day)
    for point, words in variants:
        filled[point].append(placeholders.fill(_with_samples(words, _OF_THE_TASK), facts))
    return {"label": f"{people_words.person(name)} · 导购 {guide}", "filled": filled}


def group_form(audience: Any) -> Any:
    """A condition as the builder shows it: a group outside, and `not` always over a list."""
    if audience is None:
        return None
    shaped = _shaped(audience)
    return {"all": [shaped]} if "field" in shaped else shaped


def _shaped(node: Mapping[str, Any]) -> dict[str, Any]:
    if "field" in node:
        return dict(node)
    word = next(key for key in _GROUPS if key in node)
    inner = node[word]
    terms = inner if isinstance(inner, list) else [inner]
    return {word: [_shaped(term) for term in terms]}


def _trigger(entry: triggers.Trigger) -> dict[str, Any]:
    return {
        "key": entry.key,
        "label": entry.label,
        "hasMoment": entry.has_moment,
        "isFixed": entry.is_fixed,
        "fields": [
            {
                "key": field.key,
                # The editor takes money as people write it; the record keeps fen.
                "label": field.label.replace("（分）", ""),
                "kind": field.kind,
                "isRequired": field.is_required,
                "options": _options(field),
                "needs": list(field.needs) if field.needs else None,
            }
            for field in entry.fields
        ],
    }


def _options(field: triggers.Field) -> list[dict[str, Any]]:
    if field.kind == "weekday":
        return [
            {"key": str(place), "label": f"周{name}"}
            for place, name in enumerate(WEEKDAYS, start=1)
        ]
    return [{"key": key, "label": label} for key, label in field.options.items()]


def _kind(key: str, label: str) -> dict[str, Any]:
    who = step_kinds.CARRIERS.get(key)
    return {
        "key": key,
        "label": label,
        "isMachine": who == Carrier.MACHINE,
        # One text for all: nothing in it can be one customer's own.
        "isForMany": who in (None, Carrier.MASS),
        "needsWords": who != Carrier.MACHINE and key not in step_kinds.ASKS,
        "hasGift": key == "invite",
        # Moments and group messages go to everybody, so no tier has its own.
        "isForAll": key in step_kinds.GUIDE_KINDS,
        # After what a guide does by hand nothing else can be tried.
        "mayBeFollowed": who in (Carrier.MACHINE, Carrier.MASS),
    }


def _ways(session: Session) -> list[dict[str, Any]]:
    """What the kind of a step may depend on, with the cases there are."""
    in_use = session.scalars(select(Store.tier).where(Store.tier.is_not(None)).distinct())
    cases = {"tier": list(Tier), "store_tier": [*in_use]}
    return [
        {
            "key": by,
            "label": label,
            "cases": [case for case, _ in step_kinds.by_rank(dict.fromkeys(cases[by]))],
        }
        for by, label in step_kinds.BY.items()
    ]


def _templates(session: Session) -> list[dict[str, str]]:
    rows = session.execute(
        select(ChannelTemplate.name, ChannelTemplate.channel, ChannelTemplate.text)
        .where(ChannelTemplate.is_active)
        .order_by(ChannelTemplate.name)
    )
    return [{"name": name, "channel": channel, "text": words} for name, channel, words in rows]


def _field(field: Field) -> dict[str, Any]:
    kind = field.kind
    is_number = isinstance(kind, Number | Kilometers)
    words = _HAS_OPS if field.operators == HAS_OPS else _NUMBER_OPS if is_number else _SET_OPS
    told: dict[str, Any] = {
        "key": field.key,
        "label": field.label,
        "ops": [{"key": op, "label": words[op]} for op in field.operators],
        "value": "number" if is_number else "text",
    }
    if isinstance(kind, Number):
        told["unit"] = "元" if field.key.endswith(_MONEY) else kind.unit
        told["isMoney"] = field.key.endswith(_MONEY)
    elif isinstance(kind, Kilometers):
        told["unit"], told["hasDecimals"] = "公里", True
    elif isinstance(kind, Flag):
        told["value"] = "flag"
        told["options"] = [{"key": "true", "label": kind.yes}, {"key": "false", "label": kind.no}]
    elif isinstance(kind, DateSpan):
        told["value"] = "dates"
    elif isinstance(kind, Choice):
        told["value"] = "choice"
        told["options"] = [{"key": key, "label": label} for key, label in kind.options.items()]
    elif isinstance(kind, Words) and kind.names:
        told["value"], told["names"] = "name", kind.names
    return told


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


def _sample_pair(session: Session, number: int) -> tuple[int, int, str, str] | None:
    newest = (
        select(Contact.id, Contact.guide_id, Contact.name)
        .where(Contact.guide_id.is_not(None), Contact.followed_on.is_not(None))
        .order_by(Contact.followed_on.desc())
        .limit(_NEWEST)
        .subquery()
    )
    # Who has bought something has more to say of herself.
    query = (
        select(newest.c.id, newest.c.guide_id, newest.c.name, Guide.name)
        .join(Guide, Guide.id == newest.c.guide_id)
        .outerjoin(ContactScore, ContactScore.contact_id == newest.c.id)
        .order_by(func.coalesce(ContactScore.purchase_count, 0).desc(), newest.c.id)
    )
    total = session.scalar(select(func.count()).select_from(newest)) or 0
    if not total:
        return None
    row = session.execute(query.offset(number % total).limit(1)).one_or_none()
    return None if row is None else (row[0], row[1], row[2], row[3])


def _with_samples(words: str, only: Collection[str] = tuple(placeholders.PLACEHOLDERS)) -> str:
    filled = words
    for name in placeholders.names(words):
        if name not in only:
            continue
        known = placeholders.PLACEHOLDERS.get(name)
        if known is not None:
            filled = filled.replace(f"{{{name}}}", known.sample)
    return filled
