"""Work (任务): tasks, the claims they lay on customers, their coupons, and the morning digests."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
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

#: What may follow what. A deferred task is opened by the caps only; the ends are final. An open
#: task expires only where a machine was to do it and failed.
TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    TaskState.DEFERRED: frozenset({TaskState.OPEN, TaskState.EXPIRED, TaskState.WITHDRAWN}),
    TaskState.OPEN: frozenset(
        {
            TaskState.DEFERRED,
            TaskState.DONE,
            TaskState.SKIPPED,
            TaskState.EXPIRED,
            TaskState.WITHDRAWN,
        }
    ),
    TaskState.DONE: frozenset(),
    TaskState.SKIPPED: frozenset(),
    TaskState.EXPIRED: frozenset(),
    TaskState.WITHDRAWN: frozenset(),
}


class Carrier(StrEnum):
    """Who does a task: the guide by hand, the guide by confirming a mass message, or a machine."""

    GUIDE = "guide"
    MASS = "mass"
    MACHINE = "machine"


class HeldBy(StrEnum):
    """What keeps a deferred task waiting."""

    TOUCH_CAP = "touch_cap"
    GUIDE_CAP = "guide_cap"
    PAUSE = "pause"
    GUIDE_AWAY = "guide_away"
    GUIDE_OFF = "guide_off"
    OPTED_OUT = "opted_out"
    UNDONE = "undone"
    GUIDE = "guide"


class Task(Base):
    """One thing to do for one customer (导购任务), by her guide or, with a `carrier`, without."""

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
        # Most tasks have no mass message, and what waits has no day: they stand in neither.
        Index(
            "ix_task_mass_send_id",
            "mass_send_id",
            postgresql_where=text("mass_send_id IS NOT NULL"),
        ),
        Index(
            "ix_task_planned_on",
            "planned_on",
            "store_id",
            postgresql_where=text("planned_on IS NOT NULL"),
        ),
        CheckConstraint(
            "(state <> 'open') OR (planned_on IS NOT NULL"
            " AND (guide_id IS NOT NULL OR carrier = 'machine'))",
            name="open_is_planned",
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    enrollment_id: Mapped[int] = mapped_column(ForeignKey("enrollment.id", ondelete="CASCADE"))
    step_key: Mapped[str] = mapped_column(Text)
    #: Step and contact are those of the enrollment, the store is the guide's: what those rows refer
    #: to is there, and asking a second time would cost every task more than writing it.
    step_id: Mapped[int] = mapped_column(BigInteger)
    contact_id: Mapped[int] = mapped_column(BigInteger)
    guide_id: Mapped[int | None] = mapped_column(ForeignKey("guide.id"))
    store_id: Mapped[int | None] = mapped_column(BigInteger)
    #: A key of `sop.specs.KINDS`: how this customer is reached.
    kind: Mapped[str] = mapped_column(Text, server_default="chat")
    #: A `Carrier` value.
    carrier: Mapped[str] = mapped_column(Text, server_default=Carrier.GUIDE.value)
    #: The day the SOP asked for, before `if_missed: move`.
    wanted_on: Mapped[date]
    #: The day it is due; `planned_on` is the day the caps allowed (later or equal).
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
    #: The mass message it went out with.
    mass_send_id: Mapped[int | None] = mapped_column(ForeignKey("mass_send.id"))
    #: When a machine handed it over.
    sent_at: Mapped[datetime | None]
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
    #: The kind of the task that claims: chat, call, invite, mass_message, sms, template_message.
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


class CouponIssue(Base):
    """The coupon that goes with one task."""

    __tablename__ = "coupon_issue"

    task_id: Mapped[int] = mapped_column(
        ForeignKey("task.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    coupon_id: Mapped[int] = mapped_column(ForeignKey("coupon.id"), unique=True)
