"""What HQ writes as an SOP (SOP 内容): checked with one sentence an error, and read back again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm import brand
from bot.crm.models import FestivalDay
from bot.errors import UserError
from content_library import talking_points
from content_library.models import Material, TalkingPoint, TalkingPointVariant
from sop import times, triggers
from sop.models import Sop, SopStep, SopVersion
from sop.quiet import QuietHours
from sop.triggers import Trigger, nearest
from tagging import conditions

KINDS: dict[str, str] = {"chat": "私聊", "call": "电话", "invite": "邀约"}
_USUAL_KIND = "chat"
_NOT_YET: dict[str, str] = {"mass_message": "群发", "moment": "朋友圈", "group_message": "群消息"}
_KEYS = ("name", "trigger", "audience", "steps")
#: What a step may say.
STEP_KEYS = ("key", "day", "at", "kind", "title", "talking_point", "materials", "priority")
_MOST_STEPS = 60
_MOST_MATERIALS = 9
_EARLIEST_DAY, _LATEST_DAY = -90, 3650
_TITLE_LENGTH = 40
_KEY = re.compile(r"[a-z0-9_-]{1,40}")


@dataclass(frozen=True)
class Checked:
    """A spec in its stored form: references resolved; `warnings` are sentences, not errors."""

    trigger: dict[str, Any]
    audience: dict[str, Any] | None
    steps: list[dict[str, Any]]
    warnings: list[str]


@dataclass(frozen=True)
class _Known:
    talking_points: dict[str, int]
    variants: dict[int, list[str]]
    materials: dict[str, int]
    quiet: QuietHours


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
        },
    )
    audience = spec.get("audience")
    if audience is not None:
        try:
            conditions.check(audience, lookup)
        except UserError as error:
            raise UserError(error.message_zh, field="audience") from error
    items = spec.get("steps")
    if not isinstance(items, Sequence) or isinstance(items, str) or not items:
        raise UserError("至少要有一个步骤", field="steps")
    if len(items) > _MOST_STEPS:
        raise UserError(f"最多 {_MOST_STEPS} 个步骤", field="steps")
    known, warnings = _read_known(session), list[str]()
    entry = triggers.of(trigger)
    steps = [
        _step(item, place, entry, known, warnings) for place, item in enumerate(items, start=1)
    ]
    given = [step["key"] for step in steps if step["key"]]
    if len(set(given)) != len(given):
        raise UserError("两个步骤用了同一个 key", field="steps")
    return Checked(trigger, None if audience is None else dict(audience), steps, warnings)


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
    plain["steps"] = [_normal_step(step) for step in spec["steps"]]
    return plain


def spec_of(session: Session, version_id: int, *, with_keys: bool = False) -> dict[str, Any]:
    """The spec of a stored version, in the form of `normal`; `with_keys` keeps the step keys."""
    version, name = session.execute(
        select(SopVersion, Sop.name)
        .join(Sop, Sop.id == SopVersion.sop_id)
        .where(SopVersion.id == version_id)
    ).one()
    rows = session.execute(
        select(SopStep, TalkingPoint.name)
        .outerjoin(TalkingPoint, TalkingPoint.id == SopStep.talking_point_id)
        .where(SopStep.version_id == version_id)
        .order_by(SopStep.position)
    ).all()
    used = {material for step, _ in rows for material in step.material_ids}
    found = session.execute(select(Material.id, Material.name).where(Material.id.in_(used)))
    materials = {row.id: row.name for row in found}
    steps = []
    for step, point in rows:
        item = {
            "day": step.day,
            "at": step.at,
            "kind": step.kind,
            "title": step.title,
            "talking_point": point,
            "materials": [materials[one] for one in step.material_ids if one in materials],
            "priority": step.priority,
        }
        steps.append(_normal_step(item) | ({"key": step.key} if with_keys else {}))
    plain = {"name": name, "trigger": version.trigger, "audience": version.audience, "steps": steps}
    return plain if with_keys else normal(plain)


def _normal_step(step: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {"day": step["day"]}
    if step.get("at"):
        plain["at"] = step["at"]
    plain |= {"kind": step.get("kind") or _USUAL_KIND, "title": step["title"].strip()}
    if step.get("talking_point"):
        plain["talking_point"] = step["talking_point"]
    if step.get("materials"):
        plain["materials"] = list(step["materials"])
    if step.get("priority") is not None:
        plain["priority"] = step["priority"]
    return plain


def _step(
    item: Any, place: int, entry: Trigger, known: _Known, warnings: list[str]
) -> dict[str, Any]:
    def wrong(key: str, words: str) -> UserError:
        return UserError(f"第 {place} 步{words}", field=f"steps.{place - 1}.{key}")

    if not isinstance(item, Mapping):
        raise UserError(f"第 {place} 步写得不对", field=f"steps.{place - 1}")
    _known_keys(item, STEP_KEYS, f"第 {place} 步", f"steps.{place - 1}")
    kind, title = item.get("kind") or _USUAL_KIND, item.get("title")
    day: Any = item.get("day")
    if not isinstance(kind, str):
        raise wrong("kind", "的方式要是文字")
    if kind in _NOT_YET:
        raise wrong("kind", f"的「{_NOT_YET[kind]}」还不能用，请先用私聊、电话或邀约")
    if kind not in KINDS:
        raise wrong("kind", f"没有「{kind}」这种方式{nearest(kind, KINDS)}")
    if not isinstance(title, str) or not 0 < len(title.strip()) <= _TITLE_LENGTH:
        raise wrong("title", f"要有标题，最多 {_TITLE_LENGTH} 个字")
    if not _is_int(day) or not _EARLIEST_DAY <= day <= _LATEST_DAY:
        raise wrong("day", f"的天数要是 {_EARLIEST_DAY} 到 {_LATEST_DAY} 的整数")
    if day < 0 and not entry.is_fixed:
        raise wrong("day", f"不能早于「{entry.label}」，这一天无法提前知道")
    priority: Any = item.get("priority")
    if priority is not None and (not _is_int(priority) or not 0 <= priority <= 100):
        raise wrong("priority", "的优先级要是 0 到 100 的整数")
    key = item.get("key")
    if key is not None and not (isinstance(key, str) and _KEY.fullmatch(key)):
        raise wrong("key", "的 key 只能用小写字母、数字、- 和 _")
    return {
        "key": key,
        "day": day,
        "at": _time(item.get("at"), day, place, entry, known.quiet, warnings),
        "kind": kind,
        "title": title.strip(),
        "talking_point_id": _talking_point(item.get("talking_point"), kind, place, known),
        "material_ids": _materials(item.get("materials"), place, known),
        "priority": priority,
    }


def _time(
    at: Any, day: int, place: int, entry: Trigger, hours: QuietHours, warnings: list[str]
) -> str | None:
    field = f"steps.{place - 1}.at"
    if at is None or at == "":
        return None
    if not isinstance(at, str):
        raise UserError(f'第 {place} 步的时间要加引号，写成 "10:00"', field=field)
    try:
        moment = times.parse(at)
    except UserError as error:
        raise UserError(f"第 {place} 步的{error.message_zh}", field=field) from error
    if isinstance(moment, timedelta):
        if day != 0:
            raise UserError(f"第 {place} 步的「{at}」只能用在第 0 天", field=field)
        if not entry.has_moment:
            raise UserError(
                f"第 {place} 步不能用「{at}」，「{entry.label}」没有具体时刻", field=field
            )
    elif moment is not None and hours.covers(moment):
        moved, end = hours.settle(moment)
        when = "第二天" if moved else "当天"
        warnings.append(f"第 {place} 步的 {at} 在免打扰时段内，会顺延到{when} {end:%H:%M}")
    return at


def _talking_point(name: Any, kind: str, place: int, known: _Known) -> int | None:
    field = f"steps.{place - 1}.talking_point"
    if name is None or name == "":
        if kind == "chat":
            raise UserError(f"第 {place} 步要选一条话术", field=field)
        return None
    if not isinstance(name, str):
        raise UserError(f"第 {place} 步的话术要写名称", field=field)
    point_id = known.talking_points.get(name)
    if point_id is None:
        close = nearest(name, known.talking_points)
        raise UserError(f"第 {place} 步的话术「{name}」不存在{close}", field=field)
    try:
        talking_points.check_variants(known.variants.get(point_id, []), field=field)
    except UserError as error:
        raise UserError(
            f"第 {place} 步的话术「{name}」：{error.message_zh}", field=field
        ) from error
    return point_id


def _materials(names: Any, place: int, known: _Known) -> list[int]:
    field = f"steps.{place - 1}.materials"
    if names is None:
        return []
    if not isinstance(names, list) or len(names) > _MOST_MATERIALS:
        raise UserError(f"第 {place} 步的素材要是列表，最多 {_MOST_MATERIALS} 个", field=field)
    for name in names:
        if not isinstance(name, str):
            raise UserError(f"第 {place} 步的素材要写名称", field=field)
        if name not in known.materials:
            close = nearest(name, known.materials)
            raise UserError(f"第 {place} 步的素材「{name}」不存在{close}", field=field)
    return [known.materials[name] for name in names]


def _known_keys(item: Mapping[str, Any], known: Sequence[str], where: str, field: str) -> None:
    for key in item:
        if key not in known:
            close = nearest(str(key), known)
            raise UserError(f"{where}里没有「{key}」这一项{close}", field=field)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _read_known(session: Session) -> _Known:
    points = session.execute(
        select(TalkingPoint.name, TalkingPoint.id).where(TalkingPoint.is_active)
    )
    materials = session.execute(select(Material.name, Material.id))
    variants: dict[int, list[str]] = {}
    for point_id, words in session.execute(
        select(TalkingPointVariant.talking_point_id, TalkingPointVariant.text)
    ):
        variants.setdefault(point_id, []).append(words)
    quiet = QuietHours.parse(brand.settings(session).quiet_hours)
    return _Known(
        {row.name: row.id for row in points},
        variants,
        {row.name: row.id for row in materials},
        quiet,
    )
