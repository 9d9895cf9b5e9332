"""Channel codes (渠道活码) and what they bring."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class ChannelCode(Base):
    """A QR code customers scan; `state` comes back in every event it causes."""

    __tablename__ = "channel_code"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    #: At most 30 characters (document 92228).
    state: Mapped[str] = mapped_column(Text, unique=True)
    #: NULL: not said, which means yes, as WeCom's own default.
    skip_verify: Mapped[bool | None]
    is_active: Mapped[bool] = mapped_column(server_default="true")
    config_id: Mapped[str | None] = mapped_column(Text, unique=True)
    qr_code_url: Mapped[str | None] = mapped_column(Text)
    #: SHA-256 of the body WeCom has; differs from the wanted one: a change waits to be pushed.
    pushed_hash: Mapped[str | None] = mapped_column(Text)
    pushed_at: Mapped[datetime | None]
    #: Hash of the body handed to the outbox last, and how many were: the next one's unique number.
    queued_hash: Mapped[str | None] = mapped_column(Text)
    push_no: Mapped[int] = mapped_column(server_default="0")
    push_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ChannelCodeGuide(Base):
    """A guide who receives the customers of a code."""

    __tablename__ = "channel_code_guide"

    channel_code_id: Mapped[int] = mapped_column(
        ForeignKey("channel_code.id", ondelete="CASCADE"), primary_key=True
    )
    guide_id: Mapped[int] = mapped_column(ForeignKey("guide.id"), primary_key=True, index=True)
    position: Mapped[int] = mapped_column(server_default="0")


class ChannelCodeDay(Base):
    """Customers won and lost through a code on one business day."""

    __tablename__ = "channel_code_day"

    channel_code_id: Mapped[int] = mapped_column(
        ForeignKey("channel_code.id", ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[date] = mapped_column(primary_key=True)
    added_count: Mapped[int] = mapped_column(server_default="0")
    lost_count: Mapped[int] = mapped_column(server_default="0")
