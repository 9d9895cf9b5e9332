"""Signs of life: visits to a store (到店), material read (浏览), and the newest of each."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class Visit(Base):
    """A customer who came to a store, or to what the store held elsewhere."""

    __tablename__ = "visit"
    __table_args__ = (
        Index("ix_visit_contact_id_visited_on", "contact_id", "visited_on"),
        Index("ix_visit_visited_on", "visited_on"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    #: NULL: a guide said so.
    source_event_id: Mapped[int | None] = mapped_column(ForeignKey("source_event.id"), unique=True)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id"))
    #: The identity under which it came: an un-merge gives it back to the right person.
    identity_id: Mapped[int | None] = mapped_column(ForeignKey("contact_identity.id"))
    store_id: Mapped[int | None] = mapped_column(ForeignKey("store.id"), index=True)
    #: Kept as sent, so that a visit to a store not loaded yet is not lost.
    store_code: Mapped[str] = mapped_column(Text)
    #: 到店, 活动, 售后, 线上, or a word of the sender's.
    kind: Mapped[str] = mapped_column(Text)
    visited_at: Mapped[datetime]
    visited_on: Mapped[date]
    #: The appointment it kept, a number of a floor above.
    appointment_id: Mapped[int | None] = mapped_column(BigInteger)


class MaterialView(Base):
    """A customer who opened a link or looked at material."""

    __tablename__ = "material_view"
    __table_args__ = (
        Index("ix_material_view_contact_id_viewed_on", "contact_id", "viewed_on"),
        Index("ix_material_view_viewed_on", "viewed_on"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source_event_id: Mapped[int] = mapped_column(ForeignKey("source_event.id"), unique=True)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id"))
    #: The identity under which it came: an un-merge gives it back to the right person.
    identity_id: Mapped[int | None] = mapped_column(ForeignKey("contact_identity.id"))
    #: Its name, or the address of a page.
    material: Mapped[str] = mapped_column(Text)
    seconds: Mapped[int | None]
    viewed_at: Mapped[datetime]
    viewed_on: Mapped[date]


class ContactActivity(Base):
    """The newest business day of each sign of life of one contact."""

    __tablename__ = "contact_activity"

    contact_id: Mapped[int] = mapped_column(
        ForeignKey("contact.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    replied_on: Mapped[date | None] = mapped_column(index=True)
    visited_on: Mapped[date | None] = mapped_column(index=True)
    viewed_on: Mapped[date | None] = mapped_column(index=True)
