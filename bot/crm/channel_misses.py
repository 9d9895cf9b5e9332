"""Channels that do not reach a customer for now (暂时不通): remembered for some days.

The carrier has said so (she does not follow the official account, the number is nobody's). It is no
refusal: what she or the carrier says later clears it, and without a word it grows old by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, select, text
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm.models import ChannelMiss

#: For so many days another way is taken where there is one.
MISS_DAYS = 7

_NOTE = text(
    """
    INSERT INTO channel_miss AS m (contact_id, channel, missed_at, missed_on)
    VALUES (:contact_id, :channel, :at, :on)
    ON CONFLICT (contact_id, channel) DO UPDATE
    SET missed_at = excluded.missed_at, missed_on = excluded.missed_on
    WHERE m.missed_at < excluded.missed_at
    """
)
_CLEAR = text(
    """
    DELETE FROM channel_miss AS m
    USING unnest(CAST(:contact_ids AS bigint[]), CAST(:channels AS text[]),
                 CAST(:moments AS timestamptz[])) AS heard (contact_id, channel, at)
    WHERE m.contact_id = heard.contact_id AND m.channel = heard.channel AND m.missed_at < heard.at
    """
)


def note(session: Session, contact_id: int, channel: str, at: datetime) -> None:
    """The channel did not reach her at this moment; of two such words the later stays."""
    given = {"contact_id": contact_id, "channel": channel, "at": at, "on": business_day(at)}
    session.execute(_NOTE, given)


def clear(session: Session, heard: Iterable[tuple[int, str, datetime]]) -> None:
    """(contact, channel, moment) that speak for the channel: older misses are forgotten."""
    signs = sorted(set(heard))
    if signs:
        contact_ids, channels, moments = (list(column) for column in zip(*signs, strict=True))
        given = {"contact_ids": contact_ids, "channels": channels, "moments": moments}
        session.execute(_CLEAR, given)


def of(session: Session, contact_id: int, day: date) -> list[ChannelMiss]:
    """What does not reach her as of `day`, in the order of the channels."""
    return list(
        session.scalars(
            select(ChannelMiss)
            .where(ChannelMiss.contact_id == contact_id, _is_fresh(day))
            .order_by(ChannelMiss.channel)
            .execution_options(populate_existing=True)
        )
    )


def missed_clause(contact_id: Any, channel: str, day: date) -> ColumnElement[bool]:
    """Whether this channel missed the customer of a row lately, in SQL."""
    return exists(
        select(ChannelMiss.contact_id).where(
            ChannelMiss.contact_id == contact_id, ChannelMiss.channel == channel, _is_fresh(day)
        )
    )


def _is_fresh(day: date) -> ColumnElement[bool]:
    # A day that was is explained as it was: what happened after it is not known on it.
    return ChannelMiss.missed_on.between(day - timedelta(days=MISS_DAYS - 1), day)
