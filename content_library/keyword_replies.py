"""Match what somebody wrote with HQ's keywords (关键词回复).

One table for customers in 微信客服 and guides in the app. It holds at most some hundred rows, so
matching reads them all: folding width and case in SQL would hide the rule from its reader.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.errors import UserError
from bot.wecom.messages import APP_TEXT_LIMIT
from content_library import placeholders
from content_library.models import KeywordReply


class How(StrEnum):
    """How a keyword is compared. Stored; never renamed."""

    EXACT = "exact"
    CONTAINS = "contains"


#: A touch on one of ten menu items is all a customer should be asked for.
MENU_ITEMS = 6
_LONGEST_TEXT = 2000
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")
_SPACES = re.compile(r"\s+")


def check(*, name: str, match: Sequence[str], how: str, reply: str) -> None:
    """Refuse a reply that could never be found or sent; raises UserError with the field."""
    if not name.strip():
        raise UserError("请给关键词回复起个名字。", field="name")
    if not match or not all(isinstance(one, str) and fold(one) for one in match):
        raise UserError(f"「{name}」至少要有一个关键词，而且不能只有标点。", field="match")
    if how not in set(How):
        raise UserError(f"「{name}」的匹配方式只能是 exact 或 contains。", field="how")
    if not reply.strip():
        raise UserError(f"「{name}」还没有写回复内容。", field="reply")
    if len(reply.encode("utf-8", "replace")) > APP_TEXT_LIMIT:
        most = APP_TEXT_LIMIT // 3
        raise UserError(f"「{name}」的回复太长，最多约 {most} 个汉字。", field="reply")
    placeholders.check(reply, field="reply")


def fold(text: str) -> str:
    """Width, case, spaces and punctuation at the edges do not matter: 「 积分？」 is 「积分」."""
    folded = unicodedata.normalize("NFKC", text[:_LONGEST_TEXT]).casefold()
    return _EDGES.sub("", _SPACES.sub("", folded))


def match(session: Session, text: str) -> KeywordReply | None:
    """The reply to `text`, or None: exact before contains, the longest keyword first, then HQ's
    order."""
    said = fold(text)
    if not said:
        return None
    best: tuple[tuple[int, int, int, int], KeywordReply] | None = None
    for reply in _active(session):
        for keyword in reply.match:
            key = fold(keyword)
            if not key:
                continue
            is_same = key == said
            if not is_same and (reply.how != How.CONTAINS or key not in said):
                continue
            rank = (0 if is_same else 1, -len(key), reply.position, reply.id)
            if best is None or rank < best[0]:
                best = (rank, reply)
    return best[1] if best else None


def menu(session: Session, limit: int = MENU_ITEMS) -> list[str]:
    """The first keyword of each reply in HQ's order: what a customer may be offered to touch."""
    firsts = [reply.match[0] for reply in _active(session) if reply.match]
    return list(dict.fromkeys(firsts))[:limit]


def _active(session: Session) -> Sequence[KeywordReply]:
    return session.scalars(
        select(KeywordReply)
        .where(KeywordReply.is_active)
        .order_by(KeywordReply.position, KeywordReply.id)
    ).all()
