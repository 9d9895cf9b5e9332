"""What happened: purchases, refunds, the receipts of source events, and the customer's story."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
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


class SourceEvent(Base):
    """The receipt of one event from POS, ERP or mall: the same id twice is one event."""

    __tablename__ = "source_event"
    __table_args__ = (UniqueConstraint("source", "event_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    event_id: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[datetime]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    contact_id: Mapped[int | None] = mapped_column(ForeignKey("contact.id"), index=True)
    #: The identity under which it came.
    identity_id: Mapped[int | None] = mapped_column(ForeignKey("contact_identity.id"))
    #: The fields of its type as received, without the mobile number.
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Purchase(Base):
    """One order (消费记录). `refunded_fen` is the sum of its refunds, at most the amount."""

    __tablename__ = "purchase"
    __table_args__ = (
        UniqueConstraint("source", "order_no"),
        Index("ix_purchase_contact_id_purchased_on", "contact_id", "purchased_on"),
        Index("ix_purchase_purchased_on", "purchased_on"),
        Index("ix_purchase_store_id_contact", "store_id", "contact_id"),
        Index("ix_purchase_refunded", "contact_id", postgresql_where=text("refunded_fen > 0")),
        # The few that name a guide or store nobody has told us of yet.
        Index(
            "ix_purchase_guideless",
            "guide_userid",
            postgresql_where=text("guide_id IS NULL AND guide_userid IS NOT NULL"),
        ),
        Index(
            "ix_purchase_storeless",
            "store_code",
            postgresql_where=text("store_id IS NULL AND store_code IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    order_no: Mapped[str] = mapped_column(Text)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id"))
    #: The identity under which the order came: an un-merge gives it back to the right person.
    identity_id: Mapped[int | None] = mapped_column(ForeignKey("contact_identity.id"))
    store_id: Mapped[int | None] = mapped_column(ForeignKey("store.id"))
    #: Kept as sent, so that an order of a store not loaded yet is not lost.
    store_code: Mapped[str | None] = mapped_column(Text)
    #: As sent, too; a move of the order changes `guide_id` and `store_id` only.
    guide_userid: Mapped[str | None] = mapped_column(Text)
    guide_id: Mapped[int | None] = mapped_column(ForeignKey("guide.id"), index=True)
    channel: Mapped[str | None] = mapped_column(Text)
    amount_fen: Mapped[int] = mapped_column(BigInteger)
    refunded_fen: Mapped[int] = mapped_column(BigInteger, server_default="0")
    coupon_no: Mapped[str | None] = mapped_column(Text)
    purchased_at: Mapped[datetime]
    purchased_on: Mapped[date]
    #: The event this row says; of two about one order the later (purchased_at, event_id) holds.
    event_id: Mapped[str] = mapped_column(Text, server_default="")
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PurchaseLine(Base):
    """One line of an order."""

    __tablename__ = "purchase_line"

    purchase_id: Mapped[int] = mapped_column(
        ForeignKey("purchase.id", ondelete="CASCADE"), primary_key=True
    )
    line_no: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    sku: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    category: Mapped[str | None] = mapped_column(Text, index=True)
    quantity: Mapped[int] = mapped_column(server_default="1")
    amount_fen: Mapped[int] = mapped_column(BigInteger)
    #: The goods came back (`bot.crm.returns`); what the order is worth says `refunded_fen`.
    is_returned: Mapped[bool] = mapped_column(server_default="false")


class Refund(Base):
    """Money given back for an order; may arrive before the order itself."""

    __tablename__ = "refund"
    __table_args__ = (Index("ix_refund_source_order_no", "source", "order_no"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source_event_id: Mapped[int] = mapped_column(ForeignKey("source_event.id"), unique=True)
    source: Mapped[str] = mapped_column(Text)
    order_no: Mapped[str] = mapped_column(Text)
    amount_fen: Mapped[int] = mapped_column(BigInteger)
    lines: Mapped[list[Any] | None] = mapped_column(JSONB)
    refunded_at: Mapped[datetime]
    refunded_on: Mapped[date]


class PurchaseMove(Base):
    """An order given to another guide or store; may arrive before the order itself."""

    __tablename__ = "purchase_move"
    __table_args__ = (Index("ix_purchase_move_source_order_no", "source", "order_no"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source_event_id: Mapped[int] = mapped_column(ForeignKey("source_event.id"), unique=True)
    source: Mapped[str] = mapped_column(Text)
    order_no: Mapped[str] = mapped_column(Text)
    #: NULL: the move speaks of the store only.
    guide_userid: Mapped[str | None] = mapped_column(Text)
    #: NULL: the move speaks of the guide only.
    store_code: Mapped[str | None] = mapped_column(Text)
    moved_at: Mapped[datetime]
    event_id: Mapped[str] = mapped_column(Text)


class TimelineEntry(Base):
    """One line of a customer's story (客户动态) that a guide would want to read."""

    __tablename__ = "timeline_entry"
    __table_args__ = (
        Index(
            "ix_timeline_entry_contact_id_occurred_at",
            "contact_id",
            text("occurred_at DESC"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id"))
    guide_id: Mapped[int | None] = mapped_column(ForeignKey("guide.id"))
    #: `followed`, `ended`, `purchased`, `refunded`, `member`, `wrote`, `replied`, `task` …
    kind: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    #: What makes it one entry however often it is reported.
    dedupe_key: Mapped[str | None] = mapped_column(Text, unique=True)
