"""What customers do not want (退订): per channel, the newest word holds."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class OptOutChannel(StrEnum):
    """What can be refused. ALL: everything, a guide's own chat included."""

    ALL = "all"
    CHAT = "chat"
    MASS_MESSAGE = "mass_message"
    SMS = "sms"
    TEMPLATE_MESSAGE = "template_message"


class OptOut(Base):
    """The newest word of one contact about one channel; `is_out` true: refused."""

    __tablename__ = "opt_out"
    __table_args__ = (Index("ix_opt_out_refused", "contact_id", postgresql_where=text("is_out")),)

    contact_id: Mapped[int] = mapped_column(
        ForeignKey("contact.id", ondelete="CASCADE"), primary_key=True
    )
    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    is_out: Mapped[bool]
    #: How it was said: sms_reply, kf, guide, console, event, official_account.
    source: Mapped[str] = mapped_column(Text)
    said_at: Mapped[datetime]
    words: Mapped[str | None] = mapped_column(Text)
    #: Of two sayings the later (said_at, event_key) holds, so arrival order cannot matter.
    event_key: Mapped[str] = mapped_column(Text)


class ChannelMiss(Base):
    """A channel whose carrier says that it does not reach this contact now (暂时不通)."""

    __tablename__ = "channel_miss"

    contact_id: Mapped[int] = mapped_column(
        ForeignKey("contact.id", ondelete="CASCADE"), primary_key=True
    )
    #: An `OptOutChannel` value that a machine sends on: sms, template_message.
    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    missed_at: Mapped[datetime]
    missed_on: Mapped[date]
