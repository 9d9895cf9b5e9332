"""What goes to many at once: a guide's mass messages (群发), postings (发布计划) by calendar."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class MassState(StrEnum):
    """How far a mass message has come. CREATED: WeCom has it, the guide must confirm it."""

    WAITING = "waiting"
    QUEUED = "queued"
    CREATED = "created"
    CONFIRMED = "confirmed"
    FAILED = "failed"


class PostingState(StrEnum):
    """How far a posting has come."""

    WAITING = "waiting"
    QUEUED = "queued"
    CREATED = "created"
    FAILED = "failed"


class PostingGuideState(StrEnum):
    """What a guide did with a posting."""

    ASKED = "asked"
    PUBLISHED = "published"
    MISSED = "missed"


class MassSend(Base):
    """One mass message of one guide (群发); its customers are the tasks that point to it."""

    __tablename__ = "mass_send"
    __table_args__ = (
        UniqueConstraint("step_id", "guide_id", "planned_on", "part"),
        Index("ix_mass_send_guide_id_planned_on", "guide_id", "planned_on"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    step_id: Mapped[int] = mapped_column(ForeignKey("sop_step.id"))
    guide_id: Mapped[int] = mapped_column(ForeignKey("guide.id"))
    planned_on: Mapped[date] = mapped_column(index=True)
    #: 0, 1, 2 …: a message has a most number of customers.
    part: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    words: Mapped[str] = mapped_column(Text)
    variant: Mapped[int | None] = mapped_column(SmallInteger)
    due_at: Mapped[datetime | None]
    #: A `MassState` value.
    state: Mapped[str] = mapped_column(Text, server_default=MassState.WAITING.value)
    msgid: Mapped[str | None] = mapped_column(Text, index=True)
    contact_count: Mapped[int] = mapped_column(server_default="0")
    sent_count: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str | None] = mapped_column(Text)
    #: When WeCom was last asked what became of it.
    checked_at: Mapped[datetime | None]
    #: When HQ last had its guide reminded to confirm.
    reminded_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Posting(Base):
    """A moment (朋友圈) or group message of one step on one day (发布计划)."""

    __tablename__ = "posting"
    __table_args__ = (UniqueConstraint("sop_id", "step_key", "due_on"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    sop_id: Mapped[int] = mapped_column(ForeignKey("sop.id", ondelete="CASCADE"))
    version_id: Mapped[int] = mapped_column(ForeignKey("sop_version.id"))
    step_id: Mapped[int] = mapped_column(ForeignKey("sop_step.id"))
    step_key: Mapped[str] = mapped_column(Text)
    #: `moment` or `group_message`.
    kind: Mapped[str] = mapped_column(Text)
    due_on: Mapped[date] = mapped_column(index=True)
    due_at: Mapped[datetime]
    #: A `PostingState` value.
    state: Mapped[str] = mapped_column(Text, server_default=PostingState.WAITING.value)
    #: WeCom's names of it, as they become known.
    jobid: Mapped[str | None] = mapped_column(Text)
    moment_id: Mapped[str | None] = mapped_column(Text)
    msgid: Mapped[str | None] = mapped_column(Text)
    words: Mapped[str] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PostingGuide(Base):
    """A guide who is asked to publish a posting."""

    __tablename__ = "posting_guide"

    posting_id: Mapped[int] = mapped_column(
        ForeignKey("posting.id", ondelete="CASCADE"), primary_key=True
    )
    guide_id: Mapped[int] = mapped_column(ForeignKey("guide.id"), primary_key=True, index=True)
    #: A `PostingGuideState` value.
    state: Mapped[str] = mapped_column(Text, server_default=PostingGuideState.ASKED.value)
    published_at: Mapped[datetime | None]
    #: A group message is made per guide; WeCom's id of hers.
    msgid: Mapped[str | None] = mapped_column(Text, index=True)
    #: When HQ last had her reminded to send it.
    reminded_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)
