"""The brand and its people: regions, stores, guides, operators, prices and the audit log."""

from __future__ import annotations

from datetime import date, datetime, time
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
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class OperatorRole(StrEnum):
    """What an HQ account may do."""

    ADMIN = "admin"
    EDITOR = "editor"
    VIEWER = "viewer"


class Brand(Base):
    """The one brand of this deployment (id is always 1) and its settings."""

    __tablename__ = "brand"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text)
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")


class Region(Base):
    """A sales region (区域)."""

    __tablename__ = "region"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    code: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)


class Store(Base):
    """A store (门店)."""

    __tablename__ = "store"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    code: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    region_id: Mapped[int | None] = mapped_column(ForeignKey("region.id"), index=True)
    tier: Mapped[str | None] = mapped_column(Text)
    #: Opening hours as HQ writes them, "10:00-22:00".
    hours: Mapped[str | None] = mapped_column(Text)
    #: The same as times, Shanghai's; NULL: not said, or not readable.
    opens_at: Mapped[time | None]
    closes_at: Mapped[time | None]
    address: Mapped[str | None] = mapped_column(Text)
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    #: The WeCom department that is this store, once the directory has been read.
    department_id: Mapped[int | None] = mapped_column(BigInteger)


class Guide(Base):
    """A store guide (导购); a manager (店长) is a guide with `is_manager`."""

    __tablename__ = "guide"
    __table_args__ = (Index("ix_guide_userid_folded", text("lower(userid)"), unique=True),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    #: WeCom's id, kept as first seen; compared without case, as WeCom does.
    userid: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    store_id: Mapped[int | None] = mapped_column(ForeignKey("store.id"), index=True)
    is_manager: Mapped[bool] = mapped_column(server_default="false")
    is_active: Mapped[bool] = mapped_column(server_default="true")
    #: Weekdays on which she never works, 1 (周一) to 7.
    rest_weekdays: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), server_default="{}")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Operator(Base):
    """An HQ account (运营). `userid` lets the same person sign in by WeCom QR code."""

    __tablename__ = "operator"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    username: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str | None] = mapped_column(Text)
    userid: Mapped[str | None] = mapped_column(Text, unique=True)
    role: Mapped[str] = mapped_column(Text, server_default=OperatorRole.EDITOR.value)
    is_active: Mapped[bool] = mapped_column(server_default="true")
    failed_count: Mapped[int] = mapped_column(server_default="0")
    failed_at: Mapped[datetime | None]
    signed_in_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class BrandPrice(Base):
    """A price of one day, as of gold (今日金价); words may name it on that day only."""

    __tablename__ = "brand_price"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    fen: Mapped[int] = mapped_column(BigInteger)
    written_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AuditEntry(Base):
    """Who saw, changed, exported or erased what."""

    __tablename__ = "audit_entry"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    #: `operator:admin`, `guide:zhangsan`, `system:nightly`.
    actor: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    object: Mapped[str] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
