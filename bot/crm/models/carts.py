"""Shopping carts (购物车): every report of the mall, and the cart they add up to."""

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
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class CartState(StrEnum):
    """What was last said of a cart: something lies in it, it was paid, or it was emptied."""

    ADDED = "added"
    BOUGHT = "bought"
    REMOVED = "removed"


class CartChange(Base):
    """One cart event as it was told."""

    __tablename__ = "cart_change"
    __table_args__ = (Index("ix_cart_change_source_cart_id", "source", "cart_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source_event_id: Mapped[int] = mapped_column(ForeignKey("source_event.id"), unique=True)
    source: Mapped[str] = mapped_column(Text)
    cart_id: Mapped[str] = mapped_column(Text)
    #: A `CartState` value.
    state: Mapped[str] = mapped_column(Text)
    lines: Mapped[list[Any]] = mapped_column(JSONB, server_default="[]")
    amount_fen: Mapped[int] = mapped_column(BigInteger, server_default="0")
    changed_at: Mapped[datetime]
    event_id: Mapped[str] = mapped_column(Text)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id"), index=True)
    #: The identity under which it came: an un-merge gives it back to the right person.
    identity_id: Mapped[int | None] = mapped_column(ForeignKey("contact_identity.id"))


class Cart(Base):
    """One cart: the fold of its changes, whatever order they came in.

    It is open while its state is `added` and its contact bought nothing since `opened_at`.
    """

    __tablename__ = "cart"
    __table_args__ = (
        UniqueConstraint("source", "cart_id"),
        Index("ix_cart_open", "opened_on", "contact_id", postgresql_where=text("state = 'added'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    cart_id: Mapped[str] = mapped_column(Text)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id"), index=True)
    identity_id: Mapped[int | None] = mapped_column(ForeignKey("contact_identity.id"))
    state: Mapped[str] = mapped_column(Text)
    #: The first `added` since the cart was last bought or emptied; NULL: it never was filled.
    opened_at: Mapped[datetime | None]
    opened_on: Mapped[date | None]
    changed_at: Mapped[datetime]
    event_id: Mapped[str] = mapped_column(Text)
    #: What the newest `added` said lies in it.
    lines: Mapped[list[Any]] = mapped_column(JSONB, server_default="[]")
    amount_fen: Mapped[int] = mapped_column(BigInteger, server_default="0")
    categories: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    first_item: Mapped[str | None] = mapped_column(Text)
