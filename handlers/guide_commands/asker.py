"""Who asks (提问的导购), and finding the one customer she means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm.models import Guide
from bot.errors import UserError
from content_library import words
from handlers.guide_commands import customers
from handlers.guide_commands.customers import Hit

MOST_HITS = 8


@dataclass(frozen=True)
class Asker:
    """Who asks, when, and where her pages are."""

    guide: Guide
    now: datetime
    h5_url: str

    @property
    def day(self) -> date:
        """The business day of the question."""
        return business_day(self.now)

    @property
    def actor(self) -> str:
        """As the audit log writes her."""
        return f"guide:{self.guide.userid}"


def one_customer(session: Session, asker: Asker, query: str, verb: str) -> Hit:
    """The one customer of hers whose name is or begins with `query`, to write something of her.

    Raises UserError for none and for several, and asks back where the name only contains it.
    """
    hits = customers.find(session, asker.guide, query, MOST_HITS)
    if not hits:
        raise UserError(nobody(query))
    exact = [hit for hit in hits if hit.name == query.strip()]
    if len(exact) != 1 and (len(hits) > 1 or not hits[0].is_close):
        raise UserError(several(hits, verb))
    return exact[0] if exact else hits[0]


def nobody(query: str) -> str:
    """None of hers is called so."""
    return f"您的客户里没有「{words.plain(query, 20)}」，换备注名或微信名再试试。"


def several(hits: Sequence[Hit], verb: str) -> str:
    """More than one is called so."""
    lines = [
        f"· {hit.name}{f'（{words.plain(hit.level)}）' if hit.level else ''}"
        for hit in hits[:MOST_HITS]
    ]
    more = "等" if len(hits) > MOST_HITS else ""
    head = f"找到 {min(len(hits), MOST_HITS)} 位{more}："
    return "\n".join([head, *lines, f"写全名字，例如「{verb} {hits[0].name}」。"])
