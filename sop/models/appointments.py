"""Appointments (预约): invited, booked, come or not."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class AppointmentState(StrEnum):
    """Where an appointment stands."""

    INVITED = "invited"
    BOOKED = "booked"
    ARRIVED = "arrived"
    MISSED = "missed"
    CANCELLED = "cancelled"


class Intent(StrEnum):
    """How much a visitor wants to buy, as the guide saw it."""

    NONE = "none"
    SOME = "some"
    STRONG = "strong"


class Appointment(Base):
    """A customer asked to come to a store, and what became of it (预约)."""

    __tablename__ = "appointment"
    __table_args__ = (
        Index("ix_appointment_booked", "slot_on", postgresql_where=text("state = 'booked'")),
        Index("ix_appointment_guide", "guide_id", "slot_on"),
        Index("ix_appointment_invited", "created_at", postgresql_where=text("state = 'invited'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    contact_id: Mapped[int] = mapped_column(
        ForeignKey("contact.id", ondelete="CASCADE"), index=True
    )
    guide_id: Mapped[int | None] = mapped_column(ForeignKey("guide.id"))
    store_id: Mapped[int | None] = mapped_column(ForeignKey("store.id"))
    #: The task that invited; NULL: made by hand.
    task_id: Mapped[int | None] = mapped_column(
        ForeignKey("task.id", ondelete="SET NULL"), unique=True
    )
    sop_id: Mapped[int | None] = mapped_column(ForeignKey("sop.id", ondelete="SET NULL"))
    #: An `AppointmentState` value.
    state: Mapped[str] = mapped_column(Text)
    slot_at: Mapped[datetime | None]
    slot_on: Mapped[date | None]
    gift: Mapped[str | None] = mapped_column(Text)
    #: An `Intent` value.
    intent: Mapped[str | None] = mapped_column(Text)
    outcome: Mapped[str | None] = mapped_column(Text)
    arrived_at: Mapped[datetime | None]
    reminded_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
