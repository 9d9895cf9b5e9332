"""Prices of one day (今日金价), as HQ or the ERP writes them each morning."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot.crm.models import BrandPrice
from bot.errors import UserError

_LONGEST_NAME = 40
_MOST_FEN = 10**10


def write(session: Session, name: str, day: date, fen: int, now: datetime) -> None:
    """Keep the price of a day; written again, the newer one holds. Raises UserError."""
    name = name.strip()
    if not 0 < len(name) <= _LONGEST_NAME:
        raise UserError(f"名称要 1 到 {_LONGEST_NAME} 个字。", field="name")
    if not 0 < fen <= _MOST_FEN:
        raise UserError("价格要是大于 0 的整数，单位是分。", field="fen")
    row = insert(BrandPrice).values(name=name, day=day, fen=fen, written_at=now)
    session.execute(
        row.on_conflict_do_update(
            index_elements=[BrandPrice.name, BrandPrice.day],
            set_={"fen": row.excluded.fen, "written_at": row.excluded.written_at},
            where=BrandPrice.written_at <= row.excluded.written_at,
        )
    )


def of_day(session: Session, name: str, day: date) -> int | None:
    """The price of this very day in fen; None: nobody has written it."""
    return session.scalar(
        select(BrandPrice.fen).where(BrandPrice.name == name, BrandPrice.day == day)
    )
