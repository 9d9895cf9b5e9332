"""Words and cards to one guide in the app (通知): sent once, never swallowed as a repetition.

Every message/send of the product is frozen with `duplicate_check_seconds` of its dedupe key.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from bot import outbox
from bot.wecom import bodies
from bot.wecom.messages import APP_TEXT_LIMIT, clip

# The platform drops a request it has seen within the interval, and two different questions often
# have the same answer. The interval itself is part of the request, so a number of our own in it
# tells two notices apart, while a retry of one notice still is the same request. It never gets
# shorter than the time in which the outbox repeats a call: 3 h 50 min, or the deadline.
_LONGEST = bodies.DUPLICATE_CHECK_SECONDS
_REPEATED_FOR = 13_800
_WITH_DEADLINE = 900


def add(
    session: Session,
    *,
    kind: str,
    agent_id: int,
    userid: str,
    text: str,
    dedupe_key: str,
    deadline: datetime | None = None,
    subject: Mapping[str, Any] | None = None,
) -> int | None:
    """Want `text` sent to one guide now; None if this `dedupe_key` is wanted already.

    A `deadline` must be at most 15 minutes away. Longer words are cut at WeCom's 2048 bytes.
    """
    least = _REPEATED_FOR if deadline is None else _WITH_DEADLINE
    seconds = duplicate_check_seconds(dedupe_key, least=least)
    message = {"msgtype": "text", "text": {"content": clip(text, APP_TEXT_LIMIT)}}
    return outbox.add(
        session,
        kind=kind,
        api="message/send",
        body=bodies.app_message_body(agent_id, [userid], message, seconds),
        dedupe_key=dedupe_key,
        members=[userid],
        deadline=deadline,
        # News may wait behind nothing that runs on a 20 s clock; an answer is waited for.
        lane="send" if kind == "alert" else "fast",
        subject=subject,
    )


def text_body(agent_id: int, userid: str, text: str, number: int | str) -> bytes:
    """The frozen request of a text; with other words or another `number` it is another."""
    message = {"msgtype": "text", "text": {"content": clip(text, APP_TEXT_LIMIT)}}
    return bodies.app_message_body(agent_id, [userid], message, duplicate_check_seconds(number))


def duplicate_check_seconds(number: int | str, *, least: int = _REPEATED_FOR) -> int:
    """How long the platform shall know a message again: never shorter than we repeat it.

    600 neighboring numbers give 600 different intervals; a dedupe key gives any of them.
    """
    if isinstance(number, str):
        number = zlib.crc32(number.encode())
    return least + number % (_LONGEST - least)
