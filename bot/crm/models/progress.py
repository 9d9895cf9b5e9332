"""Where long or repeated work on the customer book stands."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ARRAY, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class ChangedContact(Base):
    """A contact whose facts changed and whose score, tags and plans wait to be looked at."""

    __tablename__ = "changed_contact"
    __table_args__ = (Index("ix_changed_contact_marked_at", "marked_at"),)

    contact_id: Mapped[int] = mapped_column(
        ForeignKey("contact.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    marked_at: Mapped[datetime]


class RosterSync(Base):
    """The one reading of all customers from WeCom (id is always 1), resumable after any page."""

    __tablename__ = "roster_sync"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    #: The guides to read, in order; `position` is the first one of the batch being read.
    userids: Mapped[list[str]] = mapped_column(ARRAY(Text))
    position: Mapped[int] = mapped_column(server_default="0")
    #: Where the next page of the batch begins; empty: at its start.
    cursor: Mapped[str] = mapped_column(Text, server_default="")
    #: Pages written so far: whoever writes the next one must have read this number.
    page_no: Mapped[int] = mapped_column(server_default="0")
    row_count: Mapped[int] = mapped_column(server_default="0")
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
