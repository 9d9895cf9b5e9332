"""Plans (SOP): their versions and steps, and who is enrolled in them."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
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


class IfMissed(StrEnum):
    """What becomes of a step whose day cannot be: do it late, not at all, or on the next day."""

    LATE = "late"
    DROP = "drop"
    MOVE = "move"


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
    #: Every step is sent by machine and the trigger speaks of people whom nobody follows any more.
    reaches_lost: Mapped[bool] = mapped_column(server_default="false")


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
    #: A key of `sop.specs.KINDS`; with `channels`, the kind for whom no case speaks.
    kind: Mapped[str] = mapped_column(Text)
    #: `{"by": "tier", "cases": {"S": ["chat"]}, "else": ["sms"]}`; NULL: one kind for everybody.
    channels: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    title: Mapped[str] = mapped_column(Text)
    talking_point_id: Mapped[int | None] = mapped_column(ForeignKey("talking_point.id"))
    material_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default="{}")
    #: 0 to 100; larger goes first. NULL: not said, which ranks as 50.
    priority: Mapped[int | None] = mapped_column(SmallInteger)
    #: An `IfMissed` value.
    if_missed: Mapped[str] = mapped_column(Text, server_default=IfMissed.LATE.value)
    workdays_only: Mapped[bool] = mapped_column(server_default="false")
    #: Kind (sms, template_message) -> `channel_template.id`.
    template_ids: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    coupon_template_id: Mapped[int | None] = mapped_column(ForeignKey("coupon_template.id"))
    #: What an invited customer gets when she comes.
    gift: Mapped[str | None] = mapped_column(Text)


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
