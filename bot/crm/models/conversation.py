"""WeChat customer service (微信客服): accounts with their sync cursor, and the messages read."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class KfAccount(Base):
    """One customer service account; `cursor` is where the next sync_msg goes on."""

    __tablename__ = "kf_account"

    open_kfid: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, server_default="")
    cursor: Mapped[str | None] = mapped_column(Text)
    synced_at: Mapped[datetime | None]


class KfMessage(Base):
    """A message or event read by sync_msg, kept once by its msgid."""

    __tablename__ = "kf_message"
    __table_args__ = (Index("ix_kf_message_person", "open_kfid", "external_userid", "sent_at"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    msgid: Mapped[str] = mapped_column(Text, unique=True)
    open_kfid: Mapped[str] = mapped_column(ForeignKey("kf_account.open_kfid"))
    external_userid: Mapped[str | None] = mapped_column(Text)
    #: 3 customer, 4 system event, 5 servicer in the client (WeCom's numbers).
    origin: Mapped[int]
    msgtype: Mapped[str] = mapped_column(Text)
    text: Mapped[str | None] = mapped_column(Text)
    event_type: Mapped[str | None] = mapped_column(Text)
    welcome_code: Mapped[str | None] = mapped_column(Text)
    sent_at: Mapped[datetime]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: `replied:<keyword reply>`, `handed_over`, `welcomed`, `ignored`, with the reason.
    outcome: Mapped[str | None] = mapped_column(Text)
