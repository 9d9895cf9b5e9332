"""What HQ writes as an SOP (SOP 内容): checked with one sentence an error, and read back again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm.models import FestivalDay
from bot.errors import UserError
from content_library.models import ChannelTemplate, CouponTemplate, Material, TalkingPoint
from sop import step_kinds, steps, triggers
from sop.models import Sop, SopStep, SopVersion
from sop.step_kinds import GUIDE_KINDS, KINDS
from sop.steps import STEP_KEYS, Known
from sop.triggers import nearest
from tagging import conditions

__all__ = [
    "GUIDE_KINDS",
    "KINDS",
    "STEP_KEYS",
    "Checked",
    "check",
    "normal",
    "settle",
    "spec_of",
]

_KEYS = ("name", "trigger", "audience", "steps")
_MOST_STEPS = 60


@dataclass(frozen=True)
class Checked:
    """A spec in its stored form: references resolved; `warnings` are sentences, not errors."""

    trigger: dict[str, Any]
    audience: dict[str, Any] | None
    steps: list[dict[str, Any]]
    warnings: list[str]


def check(session: Session, spec: Mapping[str, Any]) -> Checked:
    """Refuse a spec that would not work, with the first reason; raises UserError.

    `field` of the error is `trigger`, `audience`, `steps` or `steps.<position>.<key>`.
    """
    _known_keys(spec, _KEYS, "SOP", "name")
    lookup = conditions.load_lookup(session)
    trigger = triggers.check(
        spec.get("trigger"),
        {
            "tag": lookup.tags,
            "festival": frozenset(session.scalars(select(FestivalDay.name).distinct())),
            "category": lookup.categories,
            "store": lookup.stores,
        },
    )
    audience = spec.get("audience")
    if audience is not None:
        try:
            conditions.check(audience, lookup)
        except UserError as error:
            raise UserError(error.message_zh, field="audience") from error
        name = spec.get("name")
        if isinstance(name, str) and name.strip() in conditions.mentioned(audience, "sops"):
            raise UserError("条件里不能写这个 SOP 自己", field="audience")
    items = spec.get("steps")
    if not isinstance(items, Sequence) or isinstance(items, str) or not items:
        raise UserError("至少要有一个步骤", field="steps")
    if len(items) > _MOST_STEPS:
        raise UserError(f"最多 {_MOST_STEPS} 个步骤", field="steps")
    known, warnings = Known.read(session), list[str]()
    entry = triggers.of(trigger)
    checked = [
        steps.checked(item, place, entry, known, warnings)
        for place, item in enumerate(items, start=1)
    ]
    given = [step["key"] for step in checked if step["key"]]
    if len(set(given)) != len(given):
        raise UserError("两个步骤用了同一个 key", field="steps")
    return Checked(trigger, None if audience is None else dict(audience), checked, warnings)


def settle(session: Session, spec: Mapping[str, Any]) -> dict[str, Any]:
    """`check`, then the `normal` form: what `spec_of` will say once the spec is stored."""
    return normal({**spec, "trigger": check(session, spec).trigger})


def normal(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A checked spec without defaults and step keys: two specs that mean the same are equal."""
    trigger = {
        key: value.isoformat()[:10] if hasattr(value, "isoformat") else value
        for key, value in dict(spec["trigger"]).items()
        if value is not None and value != ""
    }
    plain: dict[str, Any] = {"name": spec.get("name"), "trigger": trigger}
    if spec.get("audience") is not None:
        plain["audience"] = spec["audience"]
    plain["steps"] = [steps.normal(step) for step in spec["steps"]]
    return plain


def spec_of(session: Session, version_id: int, *, with_keys: bool = False) -> dict[str, Any]:
    """The spec of a stored version, in the form of `normal`; `with_keys` keeps the step keys."""
    version, name = session.execute(
        select(SopVersion, Sop.name)
        .join(Sop, Sop.id == SopVersion.sop_id)
        .where(SopVersion.id == version_id)
    ).one()
    rows = session.execute(
        select(SopStep, TalkingPoint.name, CouponTemplate.name.label("coupon"))
        .outerjoin(TalkingPoint, TalkingPoint.id == SopStep.talking_point_id)
        .outerjoin(CouponTemplate, CouponTemplate.id == SopStep.coupon_template_id)
        .where(SopStep.version_id == version_id)
        .order_by(SopStep.position)
    ).all()
    used = {material for step, _, _ in rows for material in step.material_ids}
    materials = _names(session, Material, used)
    used = {template for step, _, _ in rows for template in step.template_ids.values()}
    templates = _names(session, ChannelTemplate, used)
    items = []
    for step, point, coupon in rows:
        item = {
            "day": step.day,
            "at": step.at,
            "kind": step_kinds.written(step.kind, step.channels),
            "title": step.title,
            "talking_point": point,
            "materials": [materials[one] for one in step.material_ids if one in materials],
            "priority": step.priority,
            "if_missed": step.if_missed,
            "workdays": step.workdays_only,
            "template": {kind: templates[one] for kind, one in step.template_ids.items()},
            "coupon": coupon,
            "gift": step.gift,
        }
        items.append(steps.normal(item) | ({"key": step.key} if with_keys else {}))
    plain = {"name": name, "trigger": version.trigger, "audience": version.audience, "steps": items}
    return plain if with_keys else normal(plain)


def _names(session: Session, table: Any, ids: set[int]) -> dict[int, str]:
    if not ids:
        return {}
    rows = session.execute(select(table.id, table.name).where(table.id.in_(ids)))
    return {row.id: row.name for row in rows}


def _known_keys(item: Mapping[str, Any], known: Sequence[str], where: str, field: str) -> None:
    for key in item:
        if key not in known:
            close = nearest(str(key), known)
            raise UserError(f"{where}里没有「{key}」这一项{close}", field=field)
