"""Versions of an SOP in words (版本历史): what each says, and what it changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from content_library.models import (
    ChannelTemplate,
    CouponTemplate,
    Material,
    TalkingPoint,
    TalkingPointVariant,
)
from handlers.console import actors, step_words
from sop import step_kinds, triggers
from sop.models import Reach, SopStep, SopVersion, VersionState
from tagging import conditions

_MOST = 20
REACH_WORDS = {Reach.NEW_ONLY: "仅新入组的客户", Reach.EVERYONE: "所有在组客户"}


@dataclass(frozen=True)
class StepWords:
    """One step as people read it."""

    key: str
    when: str
    day: int
    title: str
    kind: str
    talking_point: str | None
    words: tuple[str, ...]
    materials: tuple[str, ...]
    priority: int
    #: 短信模板「…」 and so on, and what else is not as usual: a coupon, working days only.
    templates: tuple[str, ...]
    along: tuple[str, ...]


@dataclass(frozen=True)
class VersionWords:
    """One version as people read it; `changes` are sentences against the one before it."""

    id: int
    number: int
    state: VersionState
    trigger: str
    audience: str
    steps: tuple[StepWords, ...]
    at: datetime | None
    by: str
    reach: str
    changes: tuple[str, ...]


def history(session: Session, sop_id: int) -> list[VersionWords]:
    """The newest versions, newest first, in seven statements however many there are."""
    versions = session.scalars(
        select(SopVersion)
        .where(SopVersion.sop_id == sop_id)
        .order_by(SopVersion.number.desc())
        .limit(_MOST)
    ).all()
    steps = _steps(session, [one.id for one in versions])
    who = actors.names(session, [one.published_by or one.created_by for one in versions])
    names = conditions.names_of(session, *(one.audience for one in versions))
    told: list[VersionWords] = []
    for version, before in zip(versions, [*versions[1:], None], strict=True):
        told.append(_told(version, before, steps, who, names))
    return told


def _told(
    version: SopVersion,
    before: SopVersion | None,
    steps: dict[int, tuple[StepWords, ...]],
    who: dict[str, str],
    names: conditions.Lookup,
) -> VersionWords:
    is_draft = version.state == VersionState.DRAFT
    by = version.created_by if is_draft else version.published_by
    trigger, audience = _trigger(version), conditions.sentence(version.audience, names)
    changes: list[str] = []
    if before is not None:
        if _trigger(before) != trigger:
            changes.append(f"触发改为「{trigger}」，原为「{_trigger(before)}」")
        former = conditions.sentence(before.audience, names)
        if former != audience:
            changes.append(f"人群改为「{audience}」，原为「{former}」")
        changes += step_changes(steps[version.id], steps[before.id])
        changes = changes or ["内容与上一版相同"]
    return VersionWords(
        version.id,
        version.number,
        VersionState(version.state),
        trigger,
        audience,
        steps[version.id],
        version.created_at if is_draft else version.published_at,
        who.get(by or "", ""),
        REACH_WORDS[Reach(version.reach)],
        tuple(changes),
    )


def step_changes(new: Sequence[StepWords], old: Sequence[StepWords]) -> list[str]:
    """What became of the steps, one sentence for each that is not as it was."""
    before = {step.key: step for step in old}
    found: list[str] = []
    for step in new:
        former = before.pop(step.key, None)
        if former is None:
            found.append(f"新增一步「{step.title}」（{step.when}）")
            continue
        parts = [
            f"{label}由「{was}」改为「{now}」"
            for label, was, now in (
                ("标题", former.title, step.title),
                ("时间", former.when, step.when),
                ("方式", former.kind, step.kind),
                ("话术", former.talking_point or "无", step.talking_point or "无"),
                ("素材", "、".join(former.materials) or "无", "、".join(step.materials) or "无"),
                ("优先级", former.priority, step.priority),
                ("模板", "、".join(former.templates) or "无", "、".join(step.templates) or "无"),
                ("附带", "、".join(former.along) or "无", "、".join(step.along) or "无"),
            )
            if was != now
        ]
        if parts:
            found.append(f"「{former.title}」{'，'.join(parts)}")
    return found + [f"去掉了「{step.title}」（{step.when}）" for step in before.values()]


def _trigger(version: SopVersion) -> str:
    return triggers.of(version.trigger).sentence(version.trigger)


def _steps(session: Session, version_ids: Sequence[int]) -> dict[int, tuple[StepWords, ...]]:
    rows = session.execute(
        select(SopStep, TalkingPoint.name, SopVersion.trigger, CouponTemplate.name)
        .join(SopVersion, SopVersion.id == SopStep.version_id)
        .outerjoin(CouponTemplate, CouponTemplate.id == SopStep.coupon_template_id)
        .outerjoin(TalkingPoint, TalkingPoint.id == SopStep.talking_point_id)
        .where(SopStep.version_id.in_(version_ids))
        .order_by(SopStep.version_id, SopStep.day, SopStep.position)
    ).all()
    used = {one for step, *_ in rows for one in step.material_ids}
    named = session.execute(select(Material.id, Material.name).where(Material.id.in_(used)))
    materials = {row[0]: row[1] for row in named}
    used = {one for step, *_ in rows for one in step.template_ids.values()}
    asked = select(ChannelTemplate.id, ChannelTemplate.name).where(ChannelTemplate.id.in_(used))
    templates = {row[0]: row[1] for row in session.execute(asked)}
    variants: dict[int | None, list[str]] = defaultdict(list)
    for point_id, words in session.execute(
        select(TalkingPointVariant.talking_point_id, TalkingPointVariant.text)
        .where(
            TalkingPointVariant.talking_point_id.in_({step.talking_point_id for step, *_ in rows})
        )
        .order_by(TalkingPointVariant.talking_point_id, TalkingPointVariant.position)
    ):
        variants[point_id].append(words)
    found: dict[int, list[StepWords]] = {version_id: [] for version_id in version_ids}
    for step, point, trigger, coupon in rows:
        found[step.version_id].append(
            StepWords(
                step.key,
                step_words.when(step.day, step.at, triggers.of(trigger).is_fixed),
                step.day,
                step.title,
                step_kinds.sentence(step.kind, step.channels),
                point,
                tuple(variants[step.talking_point_id]),
                tuple(materials[one] for one in step.material_ids if one in materials),
                50 if step.priority is None else step.priority,
                tuple(
                    f"{step_kinds.KINDS[kind]}模板「{templates.get(one, '已删除')}」"
                    for kind, one in sorted(step.template_ids.items())
                ),
                step_words.extras(
                    if_missed=step.if_missed,
                    is_workdays=step.workdays_only,
                    coupon=coupon,
                    gift=step.gift,
                ),
            )
        )
    return {version_id: tuple(steps) for version_id, steps in found.items()}
