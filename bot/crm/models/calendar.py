"""The calendar (日历): festivals, the brand's own days, working days, and guides' days off."""

from __future__ import annotations

from datetime import date

from sqlalchemy import BigInteger, ForeignKey, Identity, SmallInteger, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class FestivalDay(Base):
    """One festival on one date; computed for some years around now, editable by HQ."""

    __tablename__ = "festival_day"
    __table_args__ = (UniqueConstraint("name", "held_on"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    held_on: Mapped[date] = mapped_column(index=True)
    is_edited: Mapped[bool] = mapped_column(server_default="false")


class FestivalRule(Base):
    """A day of the brand's own (品牌日, 会员日): every year on a date, or once."""

    __tablename__ = "festival_rule"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    #: Both NULL where it is held once only.
    month: Mapped[int | None] = mapped_column(SmallInteger)
    day: Mapped[int | None] = mapped_column(SmallInteger)
    is_lunar: Mapped[bool] = mapped_column(server_default="false")
    #: A single date instead of a yearly one.
    held_on: Mapped[date | None]


class CalendarDay(Base):
    """A day whose nature differs from its weekday's, or is known for sure (调休)."""

    __tablename__ = "calendar_day"

    day: Mapped[date] = mapped_column(primary_key=True)
    is_workday: Mapped[bool]
    name: Mapped[str | None] = mapped_column(Text)
    #: Written by HQ: no computed value replaces it.
    is_edited: Mapped[bool] = mapped_column(server_default="false")


class GuideDayOff(Base):
    """One day on which a guide does not work (休息日)."""

    __tablename__ = "guide_day_off"

    guide_id: Mapped[int] = mapped_column(
        ForeignKey("guide.id", ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[date] = mapped_column(primary_key=True, index=True)
