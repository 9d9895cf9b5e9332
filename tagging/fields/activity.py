"""Fields over signs of life (到店、浏览、回复) and what a contact has refused (退订)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, func

from bot.crm import opt_outs
from bot.crm.models import Contact, ContactActivity, OptOut, OptOutChannel
from tagging.fields import wording
from tagging.fields.field import Field, Home, as_list, days_fact, days_since
from tagging.fields.kinds import DAYS, Choice

ACTIVITY = Home(ContactActivity.__table__, ContactActivity.contact_id == Contact.id)
REFUSAL = Home(OptOut.__table__, OptOut.contact_id == Contact.id, False)


def _channels(value: Any) -> list[str]:
    """Who refused everything has refused each channel."""
    return [*as_list(value), OptOutChannel.ALL.value]


def _refused_words(op: str, value: Any) -> str:
    names = [opt_outs.LABELS[one] for one in as_list(value)]
    if op in ("=", "in"):
        return f"已退订{wording.either(names)}"
    return f"没有退订{wording.listed(names)}" + ("中的任何一种" if op == "not_in" else "")


def _since(key: str, label: str, gap: str, column: Any, days: int, today: str) -> Field:
    return Field(
        key,
        label,
        DAYS,
        ACTIVITY,
        days_since(column),
        days_fact(column),
        gap=gap,
        today=today,
        moves_with_time=True,
        example=("<=", days),
    )


FIELDS = (
    _since("replied_days", "距上次回复", "从未回复的", ContactActivity.replied_on, 7, "今天回复过"),
    _since(
        "visited_days", "距上次到店", "从未到店的", ContactActivity.visited_on, 30, "今天到过店"
    ),
    _since("viewed_days", "距上次浏览", "从未浏览的", ContactActivity.viewed_on, 7, "今天浏览过"),
    Field(
        "opted_out",
        "退订",
        Choice(opt_outs.LABELS),
        REFUSAL,
        lambda op, value, day: and_(OptOut.is_out, OptOut.channel.in_(_channels(value))),
        lambda day: func.array_agg(OptOut.channel.distinct()).filter(OptOut.is_out),
        gap="没有退订",
        is_many=True,
        phrase=_refused_words,
        example=("=", "sms"),
    ),
)
