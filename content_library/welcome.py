"""Choose what a new customer reads first (欢迎语): by channel code, store and time of day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, or_, select
from sqlalchemy.orm import Session

from bot.clock import SHANGHAI
from bot.crm.models import Guide
from bot.errors import UserError
from bot.wecom.messages import MOST_ATTACHMENTS, TEXT_LIMIT
from content_library import placeholders
from content_library.models import ChannelWelcome, Material, WelcomeMaterial, WelcomeMessage

#: Said when HQ has written nothing, or something that cannot be filled.
PLAIN_TEXT = "您好，我是{导购名}，很高兴认识您。有什么想了解的，随时跟我说。"


@dataclass(frozen=True)
class Welcome:
    """The message chosen: words with placeholders, and what goes with them, in order."""

    welcome_message_id: int | None
    name: str
    text: str
    materials: tuple[Material, ...] = ()


PLAIN = Welcome(None, "内置欢迎语", PLAIN_TEXT)


def check(*, name: str, text: str, materials: Sequence[str] = ()) -> None:
    """Refuse a welcome message that could not be sent; raises UserError with the field."""
    if not text.strip():
        raise UserError(f"欢迎语「{name}」还没有写内容。", field="text")
    if len(text.encode("utf-8", "replace")) > TEXT_LIMIT:
        raise UserError(f"欢迎语「{name}」太长，最多约 {TEXT_LIMIT // 3} 个汉字。", field="text")
    if len(materials) > MOST_ATTACHMENTS:
        raise UserError(f"一条欢迎语最多带 {MOST_ATTACHMENTS} 个素材。", field="materials")
    placeholders.check(text, field="text")


def choose(
    session: Session, *, guide_id: int, channel_code_id: int | None, now: datetime
) -> Welcome:
    """The welcome for a customer of this guide who came by this code at this moment.

    In this order: the code's own, one for store and time, for the store, for the time, the
    brand's default, the built-in words. A message with a time slot never speaks outside of it.
    """
    message = WelcomeMessage
    by_code = message.id.in_(
        select(ChannelWelcome.welcome_message_id).where(
            ChannelWelcome.channel_code_id == channel_code_id
        )
    )
    store_of_guide = select(Guide.store_id).where(Guide.id == guide_id).scalar_subquery()
    by_store, by_time = message.store_id == store_of_guide, message.from_time.is_not(None)
    in_general = and_(
        or_(message.store_id.is_(None), by_store),
        or_(message.store_id.is_not(None), by_time, message.is_default),
    )
    rank = case(
        (by_code, 0),
        (and_(by_store, by_time), 1),
        (by_store, 2),
        (by_time, 3),
        else_=4,
    )
    found = session.scalars(
        select(message)
        .where(or_(by_code, in_general), _speaks_at(now))
        .order_by(rank, message.id)
        .limit(1)
    ).one_or_none()
    if found is None:
        return PLAIN
    return Welcome(found.id, found.name, found.text, materials_of(session, found.id))


def materials_of(session: Session, welcome_message_id: int) -> tuple[Material, ...]:
    """The materials that go with a welcome message, in order."""
    return tuple(
        session.scalars(
            select(Material)
            .join(WelcomeMaterial, WelcomeMaterial.material_id == Material.id)
            .where(WelcomeMaterial.welcome_message_id == welcome_message_id)
            .order_by(WelcomeMaterial.position)
            .limit(MOST_ATTACHMENTS)
        )
    )


def fillable(welcome: Welcome) -> Welcome:
    """The same, or the built-in words where HQ's cannot be filled (a row written past `check`)."""
    try:
        placeholders.check(welcome.text)
    except UserError:
        return Welcome(welcome.welcome_message_id, welcome.name, PLAIN_TEXT, welcome.materials)
    return welcome


def _speaks_at(now: datetime) -> ColumnElement[bool]:
    """Inside its time slot, which may run over midnight; a slot of no length is all day."""
    time = now.astimezone(SHANGHAI).time()
    start, end = WelcomeMessage.from_time, WelcomeMessage.until_time
    return or_(
        start.is_(None),
        end.is_(None),
        start == end,
        and_(start < end, start <= time, end > time),
        and_(start > end, or_(start <= time, end > time)),
    )
