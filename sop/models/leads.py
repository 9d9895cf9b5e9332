"""Leads (线索): people who show that they may buy, and the signals that say so."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, SmallInteger, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class LeadState(StrEnum):
    """Where a lead stands. OPEN: nobody has it yet."""

    OPEN = "open"
    ASSIGNED = "assigned"
    TOUCHED = "touched"
    WON = "won"
    LOST = "lost"
    EXPIRED = "expired"


#: Leads that are still worked on; a contact has one of them at most.
LIVE_LEADS = (LeadState.OPEN, LeadState.ASSIGNED, LeadState.TOUCHED)


class AssignedBy(StrEnum):
    """What chose the guide of a lead."""

    RELATION = "relation"
    STORE = "store"
    LOAD = "load"
    MANAGER = "manager"
    PERSON = "person"


class Lead(Base):
    """One chance of a sale with one contact (线索)."""

    __tablename__ = "lead"
    __table_args__ = (
        Index(
            "uq_lead_live",
            "contact_id",
            unique=True,
            postgresql_where=text("state IN ('open', 'assigned', 'touched')"),
        ),
        Index("ix_lead_contact_id", "contact_id"),
        Index("ix_lead_guide", "guide_id", "state"),
        Index("ix_lead_waiting", "assigned_at", postgresql_where=text("state = 'assigned'")),
        Index("ix_lead_raised_on", "raised_on"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id", ondelete="CASCADE"))
    guide_id: Mapped[int | None] = mapped_column(ForeignKey("guide.id"))
    store_id: Mapped[int | None] = mapped_column(ForeignKey("store.id"))
    #: A `LeadState` value.
    state: Mapped[str] = mapped_column(Text, server_default=LeadState.OPEN.value)
    #: The sum of its signals.
    score: Mapped[int] = mapped_column(server_default="0")
    is_hot: Mapped[bool] = mapped_column(server_default="false")
    raised_at: Mapped[datetime]
    raised_on: Mapped[date]
    assigned_at: Mapped[datetime | None]
    #: An `AssignedBy` value.
    assigned_by: Mapped[str | None] = mapped_column(Text)
    alerted_at: Mapped[datetime | None]
    escalated_at: Mapped[datetime | None]
    touched_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class LeadSignal(Base):
    """One thing a person did that speaks for a sale."""

    __tablename__ = "lead_signal"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    lead_id: Mapped[int] = mapped_column(ForeignKey("lead.id", ondelete="CASCADE"), index=True)
    #: A key of `sop.lead_signals.BEHAVIORS`.
    behavior: Mapped[str] = mapped_column(Text)
    score: Mapped[int] = mapped_column(SmallInteger)
    seen_at: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text)
    #: What makes it one signal however often it is looked at.
    dedupe_key: Mapped[str] = mapped_column(Text, unique=True)
