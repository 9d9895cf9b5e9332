"""Choose what a new customer reads first (欢迎语): by channel code, store and time of day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    and_,
    case,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import Session, aliased

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
    session: Session, wanted: Sequence[tuple[int, int | None]], now: datetime
) -> list[Welcome]:
    """The welcomes for customers of these (guide id, channel code id) at this moment.

    In this order: the code's own, one for store and time, for the store, for the time, the
    brand's default, the built-in words. A message with a time slot never speaks outside of it.
    Three statements for any number of customers.
    """
    pairs = list(dict.fromkeys(wanted))
    chosen = dict(zip(pairs, _best(session, pairs, now), strict=True))
    ids = sorted({found for found in chosen.values() if found is not None})
    materials = _materials(session, ids)
    messages = session.scalars(select(WelcomeMessage).where(WelcomeMessage.id.in_(ids)))
    welcomes: dict[int | None, Welcome] = {
        one.id: Welcome(one.id, one.name, one.text, tuple(materials.get(one.id, ())))
        for one in (messages if ids else ())
    }
    return [welcomes.get(chosen[pair], PLAIN) for pair in wanted]


def _best(
    session: Session, pairs: Sequence[tuple[int, int | None]], now: datetime
) -> Sequence[int | None]:
    message = aliased(WelcomeMessage)
    pair = (
        func.unnest(
            literal([guide for guide, _ in pairs], ARRAY(BigInteger)),
            literal([code for _, code in pairs], ARRAY(BigInteger)),
        )
        .table_valued("guide_id", "code_id", with_ordinality="place")
        .render_derived(name="pair")
    )
    by_code = message.id.in_(
        select(ChannelWelcome.welcome_message_id)
        .where(ChannelWelcome.channel_code_id == pair.c.code_id)
        .correlate(pair)
    )
    by_store, by_time = message.store_id == Guide.store_id, message.from_time.is_not(None)
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
    best = (
        select(message.id)
        .where(or_(by_code, in_general), _speaks_at(message, now))
        .order_by(rank, message.id)
        .limit(1)
        .correlate(pair, Guide)
        .scalar_subquery()
    )
    guided = pair.outerjoin(Guide, Guide.id == pair.c.guide_id)
    return session.scalars(select(best).select_from(guided).order_by(pair.c.place)).all()


def materials_of(session: Session, welcome_message_id: int) -> tuple[Material, ...]:
    """The materials that go with a welcome message, in order."""
    return tuple(_materials(session, [welcome_message_id]).get(welcome_message_id, ()))


def _materials(session: Session, welcome_message_ids: Sequence[int]) -> dict[int, list[Material]]:
    found: dict[int, list[Material]] = {}
    if welcome_message_ids:
        rows = session.execute(
            select(WelcomeMaterial.welcome_message_id, Material)
            .join(Material, WelcomeMaterial.material_id == Material.id)
            .where(WelcomeMaterial.welcome_message_id.in_(welcome_message_ids))
            .order_by(WelcomeMaterial.position)
        )
        for message_id, material in rows:
            if len(found.setdefault(message_id, [])) < MOST_ATTACHMENTS:
                found[message_id].append(material)
    return found


def fillable(welcome: Welcome) -> Welcome:
    """The same, or the built-in words where HQ's cannot be filled (a row written past `check`)."""
    try:
        placeholders.check(welcome.text)
    except UserError:
        return Welcome(welcome.welcome_message_id, welcome.name, PLAIN_TEXT, welcome.materials)
    return welcome


def _speaks_at(message: type[WelcomeMessage], now: datetime) -> ColumnElement[bool]:
    """Inside its time slot, which may run over midnight; a slot of no length is all day."""
    time = now.astimezone(SHANGHAI).time()
    start, end = message.from_time, message.until_time
    return or_(
        start.is_(None),
        end.is_(None),
        start == end,
        and_(start < end, start <= time, end > time),
        and_(start > end, or_(start <= time, end > time)),
    )
