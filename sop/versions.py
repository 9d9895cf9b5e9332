"""Versions of an SOP (版本): draft, publish, pause, retire; a published one never changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.errors import UserError
from sop import (
    candidates,
    enrollment,
    migration,
    run_tables,
    running,
    specs,
    triggers,
    turn,
    words,
    writing,
)
from sop.models import (
    Enrollment,
    EnrollmentState,
    Reach,
    Sop,
    SopStep,
    SopVersion,
    VersionState,
)
from sop.running import Rules
from sop.specs import normal, spec_of

__all__ = [
    "Impact",
    "check",
    "impact",
    "newest",
    "normal",
    "pause",
    "publish",
    "republish",
    "retire",
    "save_draft",
    "spec_of",
]


@dataclass(frozen=True)
class Impact:
    """Whom publishing touches, exactly."""

    #: Customers the new version enrolls at once.
    enrolled_now: int
    #: Customers of older versions who go on with the new one, and those who keep theirs.
    migrated: int
    stayed: int
    #: Their unfinished tasks that get the new words, and those that the new version does not want.
    tasks_updated: int
    tasks_withdrawn: int
    #: Customers a missed night had left out, enrolled under the version that was valid then.
    caught_up: int
    #: Of the updated tasks those that go another way now (私聊 → 短信).
    tasks_rerouted: int = 0

    def sentence(self) -> str:
        """The numbers in one sentence for HQ."""
        parts = [f"现在入组 {self.enrolled_now} 位客户"]
        if self.migrated:
            parts.append(f"已入组的 {self.migrated} 位改用新版本")
        if self.stayed:
            parts.append(f"已入组的 {self.stayed} 位继续用原版本")
        if self.tasks_updated:
            rerouted = f"（其中 {self.tasks_rerouted} 项换了方式）" if self.tasks_rerouted else ""
            parts.append(f"更新 {self.tasks_updated} 项任务{rerouted}")
        if self.tasks_withdrawn:
            parts.append(f"撤回 {self.tasks_withdrawn} 项任务")
        return "，".join(parts)


def check(session: Session, spec: Mapping[str, Any]) -> list[str]:
    """Refuse a spec that would not work (UserError); returns sentences worth reading first."""
    return specs.check(session, spec).warnings


def save_draft(
    session: Session, sop_name: str, spec: Mapping[str, Any], by: str | None
) -> SopVersion:
    """Make or replace the draft of an SOP, new or not; raises UserError and changes nothing."""
    checked = specs.check(session, spec)
    name = sop_name.strip() if isinstance(sop_name, str) else ""
    if not name:
        raise UserError("SOP 要有名称", field="name")
    session.execute(insert(Sop).values(name=name).on_conflict_do_nothing(index_elements=["name"]))
    # The row lock makes two editors' drafts come one after the other.
    sop = session.scalars(select(Sop).where(Sop.name == name).with_for_update()).one()
    draft = _version(session, sop.id, VersionState.DRAFT)
    number = draft.number if draft is not None else _last_number(session, sop.id) + 1
    session.execute(
        delete(SopVersion).where(
            SopVersion.sop_id == sop.id, SopVersion.state == VersionState.DRAFT
        )
    )
    fresh = SopVersion(
        sop_id=sop.id,
        number=number,
        state=VersionState.DRAFT,
        trigger=checked.trigger,
        audience=checked.audience,
        created_by=by,
        # Only a machine reaches people whom nobody follows; `specs` sees to it that it is one.
        reaches_lost=triggers.of(checked.trigger).reaches_lost,
    )
    session.add(fresh)
    session.flush()
    keys = _keys(session, sop.id, checked.steps)
    session.add_all(
        SopStep(**{**step, "key": key}, version_id=fresh.id, position=place)
        for place, (step, key) in enumerate(zip(checked.steps, keys, strict=True))
    )
    session.flush()
    return fresh


def publish(session: Session, sop_id: int, reach: Reach, by: str | None, now: datetime) -> Impact:
    """Publish the draft.

    NEW_ONLY: who is enrolled keeps her version; EVERYONE: all go on with this one.
    Anchors before today never enroll; what a missed night left out is first caught up under the
    version that was valid then. Returns whom it touched, the same numbers as `impact`.
    """
    turn.take(session)
    draft = _version(session, sop_id, VersionState.DRAFT)
    if draft is None:
        raise UserError("没有可以发布的草稿")
    specs.check(session, spec_of(session, draft.id, with_keys=True))
    old = _version(session, sop_id, VersionState.PUBLISHED)
    if reach == Reach.EVERYONE and old is not None and old.trigger != draft.trigger:
        raise UserError(
            "触发条件变了，已入组的客户不能改用新版本，请选择只对新客户生效", field="reach"
        )
    day = business_day(now)
    caught_up = _catch_up(session, sop_id, day)
    if old is not None:
        old.state, old.retired_at = VersionState.RETIRED, now
        session.flush()
    draft.state, draft.reach, draft.effective_on = VersionState.PUBLISHED, reach, day
    draft.published_by, draft.published_at = by, now
    session.flush()
    migrated, moved = 0, migration.Moved(0, 0, 0)
    if reach == Reach.EVERYONE:
        migrated = migration.enrollments(session, draft)
        moved = migration.tasks(session, draft, now)
        words.render(session, day)
    enrolled = enrollment.enroll_due(session, day, sop_id=sop_id)
    return Impact(
        enrolled,
        migrated,
        _stayed(session, draft),
        moved.renewed,
        moved.withdrawn,
        caught_up,
        moved.rerouted,
    )


def impact(session: Session, sop_id: int, reach: Reach, now: datetime) -> Impact:
    """What `publish` would return: it is done and undone inside the caller's transaction."""
    savepoint = session.begin_nested()
    try:
        return publish(session, sop_id, reach, None, now)
    finally:
        savepoint.rollback()


def republish(session: Session, version_id: int, by: str | None) -> SopVersion:
    """Make an earlier version the draft again (回到这一版); publishing it brings its tasks back."""
    spec = spec_of(session, version_id, with_keys=True)
    return save_draft(session, spec["name"], spec, by)


def pause(session: Session, sop_id: int, is_paused: bool) -> None:
    """Hold an SOP, or let it go on; open tasks stay, waiting ones wait until they expire."""
    turn.take(session)
    held = writing.rows(session, update(Sop).where(Sop.id == sop_id).values(is_paused=is_paused))
    if not held:
        raise UserError("没有找到这个 SOP")


def retire(session: Session, sop_id: int, now: datetime) -> enrollment.Withdrawn:
    """End an SOP: nobody new, and everyone in it is withdrawn with her unfinished tasks."""
    turn.take(session)
    session.execute(
        update(SopVersion)
        .where(SopVersion.sop_id == sop_id, SopVersion.state == VersionState.PUBLISHED)
        .values(state=VersionState.RETIRED, retired_at=now)
    )
    which = select(Enrollment.id.label("id"), literal("SOP 已停用").label("reason")).where(
        Enrollment.sop_id == sop_id, Enrollment.state == EnrollmentState.ACTIVE
    )
    return enrollment.withdraw(session, which, now)


def _catch_up(session: Session, sop_id: int, day: date) -> int:
    yesterday = day - timedelta(days=1)
    enrolled = enrollment.enroll_due(session, yesterday, sop_id=sop_id)
    rules = Rules.read(session)
    versions = running.in_use(session, sop_id=sop_id)
    due = candidates.gather(session, versions, yesterday, rules, None)
    for version in versions:
        if version.id in due:
            candidates.create(session, version, yesterday, rules)
    run_tables.write_waiting(session, yesterday)
    return enrolled


def _stayed(session: Session, version: SopVersion) -> int:
    return (
        session.scalar(
            select(func.count())
            .select_from(Enrollment)
            .where(
                Enrollment.sop_id == version.sop_id,
                Enrollment.state == EnrollmentState.ACTIVE,
                Enrollment.version_id != version.id,
            )
        )
        or 0
    )


def newest(session: Session, sop_name: str) -> int:
    """The version a person means by an SOP's name: its draft, else what is published.

    Raises UserError for a name that is not there.
    """
    found = session.execute(
        select(SopVersion.id, SopVersion.state)
        .join(Sop, Sop.id == SopVersion.sop_id)
        .where(Sop.name == sop_name)
    ).all()
    by_state = {state: version_id for version_id, state in found}
    for state in (VersionState.DRAFT, VersionState.PUBLISHED, VersionState.RETIRED):
        if state in by_state:
            return by_state[state]
    names = session.scalars(select(Sop.name).order_by(Sop.name))
    raise UserError(f"没有叫「{sop_name}」的 SOP，现有：{'、'.join(names)}")


def _version(session: Session, sop_id: int, state: VersionState) -> SopVersion | None:
    return session.scalars(
        select(SopVersion).where(SopVersion.sop_id == sop_id, SopVersion.state == state)
    ).one_or_none()


def _last_number(session: Session, sop_id: int) -> int:
    highest = session.scalar(select(func.max(SopVersion.number)).where(SopVersion.sop_id == sop_id))
    return int(highest or 0)


def _keys(session: Session, sop_id: int, steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """A key for each step: as given, else that of the same step before, else one never used."""
    rows = session.execute(
        select(SopStep.key, SopStep.title, SopStep.day, SopVersion.number)
        .join(SopVersion, SopVersion.id == SopStep.version_id)
        .where(SopVersion.sop_id == sop_id, SopVersion.state != VersionState.DRAFT)
        .order_by(SopVersion.number.desc(), SopStep.position)
    ).all()
    former = [row for row in rows if row.number == rows[0].number]
    taken = {step["key"] for step in steps if step["key"]}
    used = taken | {row.key for row in rows}
    fresh = (key for key in (f"s{place}" for place in count(1)) if key not in used)
    keys: list[str] = []
    for step in steps:
        key = step["key"] or next(
            (
                row.key
                for row in former
                if (row.title, row.day) == (step["title"], step["day"]) and row.key not in taken
            ),
            None,
        )
        keys.append(key or next(fresh))
        taken.add(keys[-1])
    return keys
