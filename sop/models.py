"""Tables of the SOP engine: plans and their versions, enrollments, tasks, touches, digests."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class VersionState(StrEnum):
    """A version's life; a published one never changes again."""

    DRAFT = "draft"
    PUBLISHED = "published"
    RETIRED = "retired"


class Reach(StrEnum):
    """Whom a newly published version is for."""

    NEW_ONLY = "new_only"
    EVERYONE = "everyone"


class EnrollmentState(StrEnum):
    """Where an enrollment stands."""

    ACTIVE = "active"
    COMPLETED = "completed"
    WITHDRAWN = "withdrawn"


class TaskState(StrEnum):
    """Where a task stands. DEFERRED waits for room under the caps; nothing was said to anyone."""

    DEFERRED = "deferred"
    OPEN = "open"
    DONE = "done"
    SKIPPED = "skipped"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


#: Tasks that still wait for something: for room, or for the guide.
UNFINISHED = (TaskState.DEFERRED, TaskState.OPEN)

#: What may follow what. A deferred task is opened by the caps only; the ends are final.
TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    TaskState.DEFERRED: frozenset({TaskState.OPEN, TaskState.EXPIRED, TaskState.WITHDRAWN}),
    TaskState.OPEN: frozenset(
        {TaskState.DEFERRED, TaskState.DONE, TaskState.SKIPPED, TaskState.WITHDRAWN}
    ),
    TaskState.DONE: frozenset(),
    TaskState.SKIPPED: frozenset(),
    TaskState.EXPIRED: frozenset(),
    TaskState.WITHDRAWN: frozenset(),
}


class HeldBy(StrEnum):
    """What keeps a deferred task waiting."""

    TOUCH_CAP = "touch_cap"
    GUIDE_CAP = "guide_cap"
    PAUSE = "pause"
    GUIDE_AWAY = "guide_away"
    UNDONE = "undone"
    GUIDE = "guide"


class Sop(Base):
    """A plan of touches (SOP). At most one version is published, at most one is a draft."""

    __tablename__ = "sop"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    is_paused: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SopVersion(Base):
    """What an SOP says at one time: trigger, audience and steps."""

    __tablename__ = "sop_version"
    __table_args__ = (
        UniqueConstraint("sop_id", "number"),
        Index(
            "uq_sop_version_published",
            "sop_id",
            unique=True,
            postgresql_where=text("state = 'published'"),
        ),
        Index(
            "uq_sop_version_draft",
            "sop_id",
            unique=True,
            postgresql_where=text("state = 'draft'"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    sop_id: Mapped[int] = mapped_column(ForeignKey("sop.id", ondelete="CASCADE"))
    number: Mapped[int]
    state: Mapped[str] = mapped_column(Text, server_default=VersionState.DRAFT.value)
    #: `{"kind": "followed", …}`: a key of `sop.triggers.TRIGGERS` and its fields.
    trigger: Mapped[dict[str, Any]] = mapped_column(JSONB)
    #: NULL: everyone whom the trigger finds. Never an empty list of conditions.
    audience: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    reach: Mapped[str] = mapped_column(Text, server_default=Reach.NEW_ONLY.value)
    created_by: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    published_by: Mapped[str | None] = mapped_column(Text)
    published_at: Mapped[datetime | None]
    #: Triggers before this day do not enroll: publishing today must not wake last month's events.
    effective_on: Mapped[date | None]
    retired_at: Mapped[datetime | None]


class SopStep(Base):
    """One step of a version: when, what kind, with which words."""

    __tablename__ = "sop_step"
    __table_args__ = (UniqueConstraint("version_id", "key"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("sop_version.id", ondelete="CASCADE"))
    #: Stays the same from version to version, so that a step done once is not done again.
    key: Mapped[str] = mapped_column(Text)
    position: Mapped[int]
    #: Days after the anchor day (day 0); negative: before it.
    day: Mapped[int]
    #: "10:00" (Shanghai wall clock) or "+2h", "+30m" after the anchoring moment (day 0 only).
    at: Mapped[str | None] = mapped_column(Text)
    #: chat, mass_message, moment, group_message, call, invite.
    kind: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    talking_point_id: Mapped[int | None] = mapped_column(ForeignKey("talking_point.id"))
    material_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default="{}")
    #: 0 to 100; larger goes first. NULL: not said, which ranks as 50.
    priority: Mapped[int | None] = mapped_column(SmallInteger)


class Enrollment(Base):
    """One contact in one SOP (入组), counted from its anchor day (基准日, day 0)."""

    __tablename__ = "enrollment"
    __table_args__ = (
        UniqueConstraint("sop_id", "contact_id", "anchored_on"),
        Index(
            "ix_enrollment_active",
            "version_id",
            "anchored_on",
            postgresql_where=text("state = 'active'"),
        ),
        Index("ix_enrollment_contact_id", "contact_id"),
        Index(
            "ix_enrollment_active_sop",
            "sop_id",
            postgresql_where=text("state = 'active'"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    sop_id: Mapped[int] = mapped_column(ForeignKey("sop.id", ondelete="CASCADE"))
    version_id: Mapped[int] = mapped_column(ForeignKey("sop_version.id"))
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id", ondelete="CASCADE"))
    #: The guide the trigger speaks of (followed); NULL: whoever is responsible when a step is due.
    guide_id: Mapped[int | None] = mapped_column(ForeignKey("guide.id"))
    anchored_on: Mapped[date]
    anchored_at: Mapped[datetime | None]
    #: The facts that matched, as a guide may read them: {"trigger": "10月3日 购买了对戒"}.
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    state: Mapped[str] = mapped_column(Text, server_default=EnrollmentState.ACTIVE.value)
    ended_reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Task(Base):
    """One thing for one guide to do for one customer (导购任务)."""

    __tablename__ = "task"
    __table_args__ = (
        UniqueConstraint("enrollment_id", "step_key"),
        Index(
            "ix_task_guide_day",
            "guide_id",
            "planned_on",
            postgresql_where=text("planned_on IS NOT NULL"),
        ),
        Index("ix_task_deferred", "due_on", postgresql_where=text("state = 'deferred'")),
        Index("ix_task_open", "planned_on", postgresql_where=text("state = 'open'")),
        Index("ix_task_contact_id", "contact_id"),
        Index("ix_task_planned_on", "planned_on", "store_id"),
        CheckConstraint(
            "(state <> 'open') OR (planned_on IS NOT NULL AND guide_id IS NOT NULL)",
            name="open_is_planned",
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    enrollment_id: Mapped[int] = mapped_column(ForeignKey("enrollment.id", ondelete="CASCADE"))
    step_key: Mapped[str] = mapped_column(Text)
    step_id: Mapped[int] = mapped_column(ForeignKey("sop_step.id"))
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id", ondelete="CASCADE"))
    guide_id: Mapped[int | None] = mapped_column(ForeignKey("guide.id"))
    store_id: Mapped[int | None] = mapped_column(ForeignKey("store.id"))
    #: The day the SOP asked for; `planned_on` is the day the caps allowed (later or equal).
    due_on: Mapped[date]
    #: From when on the guide sees it on that day, quiet hours respected; NULL: all day.
    due_at: Mapped[datetime | None]
    #: The last day on which it still makes sense; after it the task expires.
    expires_on: Mapped[date]
    #: Its date cannot move (birthday, festival); such tasks go before others of equal rank.
    is_fixed: Mapped[bool] = mapped_column(server_default="false")
    planned_on: Mapped[date | None]
    #: 1, 2, 3 … among the guide's tasks of the day, as the digest numbers them.
    number: Mapped[int | None] = mapped_column(SmallInteger)
    rank_score: Mapped[int] = mapped_column(server_default="0")
    state: Mapped[str] = mapped_column(Text)
    #: Why it stands where it stands (deferred, expired, withdrawn), as a guide may read it.
    state_reason: Mapped[str | None] = mapped_column(Text)
    #: A `HeldBy` value while the task is deferred.
    held_by: Mapped[str | None] = mapped_column(Text)
    #: Why it exists, and what the caps decided; see `sop.why`.
    why: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    words: Mapped[str | None] = mapped_column(Text)
    variant: Mapped[int | None] = mapped_column(SmallInteger)
    #: Truthful states on the way: shown in a digest or list, opened, said done by the guide.
    shown_at: Mapped[datetime | None]
    #: Told to the guide by a digest or an alert; one of them is enough.
    announced_at: Mapped[datetime | None]
    opened_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Touch(Base):
    """One claim on a customer's attention (触达账本), over all SOPs and channels."""

    __tablename__ = "touch_ledger"
    __table_args__ = (Index("ix_touch_ledger_contact_id_touched_on", "contact_id", "touched_on"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id", ondelete="CASCADE"))
    touched_on: Mapped[date]
    channel: Mapped[str] = mapped_column(Text)
    #: NULL for a touch that is no task; a skipped task gives its claim back (row deleted).
    task_id: Mapped[int | None] = mapped_column(
        ForeignKey("task.id", ondelete="CASCADE"), unique=True
    )


class Digest(Base):
    """The morning card of one guide on one day; the unique key is what makes it one."""

    __tablename__ = "digest"

    guide_id: Mapped[int] = mapped_column(ForeignKey("guide.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    task_count: Mapped[int]
    outbox_id: Mapped[int | None] = mapped_column(BigInteger)
    response_code: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
