"""What customers refuse (退订): of everything ever said about a channel, the newest word holds.

A refusal can come by SMS, in 微信客服, through the guide, from HQ or from the mall; whichever way
and in whatever order it arrives, the result is the same.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NotRequired, TypedDict, Unpack

from sqlalchemy import ColumnElement, and_, exists, or_, select, text
from sqlalchemy.orm import Session

from bot.crm import changes, channel_misses, timeline
from bot.crm.models import AuditEntry, OptOut, OptOutChannel

#: Channel -> how people call it.
LABELS: dict[str, str] = {
    OptOutChannel.ALL: "全部联系",
    OptOutChannel.CHAT: "导购联系",
    OptOutChannel.MASS_MESSAGE: "群发",
    OptOutChannel.SMS: "短信",
    OptOutChannel.TEMPLATE_MESSAGE: "公众号消息",
}
#: What "退订" without more words means: what machines and mass messages send, not her guide.
MESSAGES = (OptOutChannel.MASS_MESSAGE, OptOutChannel.SMS, OptOutChannel.TEMPLATE_MESSAGE)
#: Source -> how the story tells it.
SOURCES: dict[str, str] = {
    "sms_reply": "回复短信",
    "kf": "在微信客服里说",
    "guide": "导购代为登记",
    "console": "总部登记",
    "event": "业务系统告知",
    "official_account": "拒收公众号消息",
    "operator": "短信运营商告知",
}
# What a customer writes who wants no more messages; the letters are what carriers teach people
# (拒收请回复R, 退订回T).
_STOP_REPLIES = frozenset({"t", "td", "n", "r", "qx", "退订", "退", "拒收", "取消订阅"})
_LETTERS = frozenset({"t", "n", "r", "qx", "退"})
#: 退订 of what was ordered or paid (退订金, 退订单) is about money, not about messages.
ABOUT_MONEY = re.compile("退订(?:了?的)?[金单货款费钱订定婚戒钻做制买购]")
_STOP = re.compile(
    rf"(?<![不别没])(?<!不要)(?<!没有)(?<!取消)(?!{ABOUT_MONEY.pattern})退订"
    "|(?:别再|不要再)发(?![错货有坏旧])|(?:不要|别)发消息|停止发送"
    # What she does not want to receive may be goods (不想收到有划痕的).
    "|不想再?收到?(?:.{0,6}(?:消息|短信|广告|推送|信息|群发)|(?:你们的|这些)?了?$)"
)
_WORDS_LENGTH = 100

# Sorted, so that two writers wait for each other in the same order. What a guide reports never
# covers the refusal of the customer herself, whichever is told first: only she takes that back.
_HEAR = text(
    """
    INSERT INTO opt_out AS o
        (contact_id, channel, is_out, source, said_at, words, event_key)
    SELECT DISTINCT ON (contact_id, r.channel)
        COALESCE(c.merged_into_id, c.id) AS contact_id, r.channel, r.is_out, r.source, r.said_at,
        r.words, r.event_key
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (contact_id bigint, channel text,
        is_out bool, source text, said_at timestamptz, words text, event_key text)
    JOIN contact AS c ON c.id = r.contact_id
    ORDER BY 1, r.channel, r.said_at DESC, r.event_key DESC
    ON CONFLICT (contact_id, channel) DO UPDATE
    SET is_out = excluded.is_out,
        source = CASE WHEN o.is_out AND excluded.is_out AND o.source <> 'guide'
                      AND excluded.source = 'guide' THEN o.source ELSE excluded.source END,
        words = CASE WHEN o.is_out AND excluded.is_out AND o.source <> 'guide'
                     AND excluded.source = 'guide' THEN o.words ELSE excluded.words END,
        said_at = GREATEST(o.said_at, excluded.said_at),
        event_key = CASE WHEN (excluded.said_at, excluded.event_key) > (o.said_at, o.event_key)
                         THEN excluded.event_key ELSE o.event_key END
    WHERE (excluded.said_at, excluded.event_key) > (o.said_at, o.event_key)
       OR (o.is_out AND excluded.is_out AND o.source = 'guide' AND excluded.source <> 'guide')
    RETURNING contact_id, channel, is_out
    """
)


@dataclass(frozen=True, kw_only=True)
class Saying:
    """One word of one customer about one channel; `event_key` makes it the same when repeated."""

    contact_id: int
    channel: str
    is_out: bool
    source: str
    said_at: datetime
    event_key: str
    words: str | None = None


class Told(TypedDict):
    """How one word was told. With `actor` (by hand) it is also written into the audit log; without
    an `event_key` the source and its moment tell a repeated word."""

    source: str
    at: datetime
    words: NotRequired[str | None]
    event_key: NotRequired[str | None]
    actor: NotRequired[str | None]


def hear(session: Session, sayings: Sequence[Saying]) -> set[tuple[int, str]]:
    """Write many sayings in one statement; returns the (contact, channel) that changed.

    Those contacts are marked, so that what is planned for them is looked at again.
    """
    if not sayings:
        return set()
    rows = [_row(saying) for saying in sayings]
    found = session.execute(_HEAR, {"rows": json.dumps(rows, ensure_ascii=False)}).all()
    changed = {(int(row.contact_id), str(row.channel)) for row in found}
    changes.mark(session, {contact_id for contact_id, _ in changed})
    channel_misses.clear(
        session, [(one.contact_id, one.channel, one.said_at) for one in sayings if not one.is_out]
    )
    timeline.record_many(session, [_line(one) for one in _to_tell(sayings, changed)])
    return changed


def _to_tell(sayings: Sequence[Saying], changed: set[tuple[int, str]]) -> list[Saying]:
    """What the story tells: a word about everything is one line, not one a channel."""
    latest = {(one.contact_id, one.channel): one for one in sayings}
    found = [latest[key] for key in sorted(changed & set(latest))]
    of_all = {(one.contact_id, one.event_key) for one in found if one.channel == OptOutChannel.ALL}
    return [
        one
        for one in found
        if one.channel == OptOutChannel.ALL or (one.contact_id, one.event_key) not in of_all
    ]


def refuse(session: Session, contact_id: int, channel: str, **told: Unpack[Told]) -> bool:
    """The customer wants nothing on `channel` any more; False: a newer word said otherwise, or
    this one was heard before."""
    return bool(_say(session, contact_id, [channel], True, **told))


def refuse_messages(session: Session, contact_id: int, **told: Unpack[Told]) -> bool:
    """A 退订 without a channel: no mass message, SMS or template message; her guide may write."""
    return bool(_say(session, contact_id, MESSAGES, True, **told))


def allow(session: Session, contact_id: int, channel: str, **told: Unpack[Told]) -> bool:
    """She may be written to on `channel` again; `all` takes back every refusal there is."""
    # Every channel is spoken of, so that an older refusal that comes later changes nothing.
    channels = list(OptOutChannel) if channel == OptOutChannel.ALL else [channel]
    return bool(_say(session, contact_id, channels, False, **told))


def of(session: Session, contact_id: int) -> list[OptOut]:
    """What this customer refuses now, in the order of the channels."""
    wanted = select(OptOut).where(OptOut.contact_id == contact_id, OptOut.is_out)
    fresh = wanted.execution_options(populate_existing=True)
    return sorted(session.scalars(fresh), key=lambda one: list(LABELS).index(one.channel))


def refused_clause(contact_id: Any, kind: Any) -> ColumnElement[bool]:
    """Whether the customer of a row refuses a step kind (chat, call, sms …), in SQL."""
    return exists(
        select(OptOut.contact_id).where(
            OptOut.contact_id == contact_id,
            OptOut.is_out,
            or_(
                OptOut.channel == OptOutChannel.ALL.value,
                OptOut.channel == kind,
                and_(OptOut.channel == OptOutChannel.CHAT.value, kind.in_(["call", "invite"])),
            ),
        )
    )


def is_stop_reply(words: str) -> bool:
    """Whether an SMS answer refuses: R, TD, T, N, 退订 in any width and case, also with 回复 before
    it, or in a sentence."""
    said = _folded(words)
    return said.removeprefix("回复").removeprefix("回") in _STOP_REPLIES or asks_to_stop(words)


def asks_to_stop(words: str) -> bool:
    """Whether a customer in 微信客服 asks for no more messages."""
    said = _folded(words)
    return said in _STOP_REPLIES - _LETTERS or _STOP.search(said) is not None


def _say(
    session: Session,
    contact_id: int,
    channels: Iterable[str],
    is_out: bool,
    **told: Unpack[Told],
) -> set[tuple[int, str]]:
    source, at, actor = told["source"], told["at"], told.get("actor")
    key = told.get("event_key") or f"{source}:{at.isoformat()}"
    sayings = [
        Saying(
            contact_id=contact_id,
            channel=channel,
            is_out=is_out,
            source=source,
            said_at=at,
            words=told.get("words"),
            event_key=key,
        )
        for channel in channels
    ]
    changed = hear(session, sayings)
    if actor is not None and changed:
        session.add(
            AuditEntry(
                actor=actor,
                action="opt_out" if is_out else "opt_in",
                object=f"contact:{contact_id}",
                detail={"channels": sorted(channel for _, channel in changed)},
            )
        )
    return changed


def _row(saying: Saying) -> dict[str, Any]:
    return {
        "contact_id": saying.contact_id,
        "channel": OptOutChannel(saying.channel).value,
        "is_out": saying.is_out,
        "source": saying.source,
        "said_at": saying.said_at.isoformat(),
        "words": (saying.words or "").strip()[:_WORDS_LENGTH] or None,
        "event_key": saying.event_key,
    }


def _line(saying: Saying) -> dict[str, Any]:
    verb = "退订了" if saying.is_out else "恢复了"
    said = f"（{SOURCES.get(saying.source, saying.source)}）"
    return {
        "contact_id": saying.contact_id,
        "guide_id": None,
        "kind": "opt_out",
        "occurred_at": saying.said_at.isoformat(),
        "text": f"客户{verb}{LABELS[saying.channel]}{said}",
        "detail": {"channel": saying.channel, "is_out": saying.is_out},
        "dedupe_key": story_key(saying.contact_id, saying.channel, saying.event_key),
    }


def story_key(contact_id: int, channel: str, event_key: str) -> str:
    """What makes a word one line of a story.

    The key of an event may hold anything a sender likes, so the story keeps only its digest.
    """
    digest = hashlib.sha256(event_key.encode()).hexdigest()[:16]
    return f"opt_out:{contact_id}:{channel}:{digest}"


def _folded(words: str) -> str:
    folded = unicodedata.normalize("NFKC", words[:2000]).casefold()
    return "".join(one for one in folded if one.isalnum())
