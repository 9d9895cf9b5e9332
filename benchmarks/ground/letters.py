"""Callbacks sealed beforehand (预制回调): distinct messages, a fifth of them delivered twice."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from bot.wecom import callback
from ground.installation import KEYS
from ground.load import post

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Letters:
    """Requests ready to send, and the key under which the inbox knows each of them."""

    requests: list[bytes]
    keys: list[bytes]


def contact_event(
    change: str, userid: str, external_userid: str, *, at: int | None = None, **more: str
) -> bytes:
    """A change_external_contact message of a moment (Unix seconds), or of this one."""
    fields = {"UserID": userid, "ExternalUserID": external_userid, **more}
    inner = "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items())
    told = f"<ChangeType><![CDATA[{change}]]></ChangeType>{inner}"
    return _event("change_external_contact", told, at=at)


def entered(userid: str, number: int) -> bytes:
    """A guide opens the app; `number` makes the message one of its own."""
    inner = f"<EventKey><![CDATA[{number}]]></EventKey><AgentID>1000002</AgentID>"
    return _event("enter_agent", inner, sender=userid)


def seal(plaintext: bytes) -> bytes:
    """A whole request; another nonce and other random bytes every time."""
    sealed = callback.seal(KEYS, plaintext, timestamp=int(time.time()), nonce=f"n{next(_numbers)}")
    return post(f"/wecom/callback?{urlencode(sealed.query)}", sealed.body)


def edits(count: int, *, doubled: float = 0.2, seed: int = 1) -> Letters:
    """`count` deliveries of edits of customers; a share is delivered again soon after."""
    dice = random.Random(f"{seed}:{time.time_ns()}")
    plain: list[bytes] = []
    while len(plain) < count:
        if plain and dice.random() < doubled:
            plain.append(plain[-1 - dice.randrange(min(len(plain), 50))])
        else:
            number = next(_numbers)
            plain.append(contact_event("edit_external_contact", "guide000001", f"wm{number:030}"))
    return sealed(plain)


def sealed(plaintexts: Sequence[bytes]) -> Letters:
    """Requests and keys of messages, in their order."""
    keys = [callback.event_key(KEYS.receive_id, one) for one in plaintexts]
    return Letters([seal(one) for one in plaintexts], keys)


def _event(event: str, inner: str, *, sender: str = "sys", at: int | None = None) -> bytes:
    created_at = int(time.time()) if at is None else at
    return (
        f"<xml><ToUserName><![CDATA[{KEYS.receive_id}]]></ToUserName>"
        f"<FromUserName><![CDATA[{sender}]]></FromUserName><CreateTime>{created_at}</CreateTime>"
        f"<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[{event}]]></Event>{inner}</xml>"
    ).encode()
