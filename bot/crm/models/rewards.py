"""Rewards: loyalty points (积分) lot by lot, and coupons (优惠券)."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class CouponState(StrEnum):
    """Where a coupon stands."""

    ISSUED = "issued"
    REDEEMED = "redeemed"
    EXPIRED = "expired"


class PointsChange(Base):
    """Points won or spent. `remaining` is what later spending has left of what was won."""

    __tablename__ = "points_change"
    __table_args__ = (
        Index("ix_points_change_contact_id_changed_at", "contact_id", "changed_at"),
        Index("ix_points_change_received", "changed_on", postgresql_where=text("delta > 0")),
        Index(
            "ix_points_change_expiring",
            "expires_on",
            "contact_id",
            postgresql_where=text("remaining > 0 AND expires_on IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source_event_id: Mapped[int] = mapped_column(ForeignKey("source_event.id"), unique=True)
    source: Mapped[str] = mapped_column(Text)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id"))
    #: The identity under which it came: an un-merge gives it back to the right person.
    identity_id: Mapped[int | None] = mapped_column(ForeignKey("contact_identity.id"))
    #: 0 only where the event tells a balance and nothing else.
    delta: Mapped[int]
    balance: Mapped[int | None]
    expires_on: Mapped[date | None]
    reason: Mapped[str | None] = mapped_column(Text)
    changed_at: Mapped[datetime]
    changed_on: Mapped[date]
    event_id: Mapped[str] = mapped_column(Text)
    remaining: Mapped[int] = mapped_column(server_default="0")


class Coupon(Base):
    """One coupon, by whoever issued it; `issuer` is `daogou` for the numbers made here."""

    __tablename__ = "coupon"
    __table_args__ = (
        UniqueConstraint("issuer", "coupon_no"),
        Index("ix_coupon_contact_id_state", "contact_id", "state"),
        Index(
            "ix_coupon_expiring",
            "expires_on",
            "contact_id",
            postgresql_where=text("state = 'issued'"),
        ),
        Index("ix_coupon_issued_on", "issued_on"),
        Index("ix_coupon_order", "order_source", "order_no"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    issuer: Mapped[str] = mapped_column(Text)
    coupon_no: Mapped[str] = mapped_column(Text)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id"))
    #: The identity under which its owner was told; NULL for a coupon made here.
    identity_id: Mapped[int | None] = mapped_column(ForeignKey("contact_identity.id"))
    template: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    value_fen: Mapped[int | None] = mapped_column(BigInteger)
    issued_at: Mapped[datetime | None]
    issued_on: Mapped[date | None]
    expires_on: Mapped[date | None]
    redeemed_at: Mapped[datetime | None]
    redeemed_on: Mapped[date | None]
    expired_at: Mapped[datetime | None]
    #: The order it was redeemed in joins `purchase`, whenever that arrives.
    order_source: Mapped[str | None] = mapped_column(Text)
    order_no: Mapped[str | None] = mapped_column(Text)
    redeemed_contact_id: Mapped[int | None] = mapped_column(ForeignKey("contact.id"), index=True)
    #: Per field: the version of the value kept, so that arrival order does not matter.
    field_versions: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
