"""Messages as WeCom sends them (信件), for tests that need one and do not care about the rest."""

from __future__ import annotations

import itertools

from bot.wecom import callback
from bot.wecom.callback import CallbackKeys, Sealed

KEYS = CallbackKeys("lettertoken", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "ww1")
_numbers = itertools.count(1)


def contact_event(
    change: str, external_userid: str, *, at: int = 1_790_000_000, **more: str
) -> bytes:
    """A change_external_contact message; `more` are further fields such as WelcomeCode."""
    fields = {"UserID": "lihua", "ExternalUserID": external_userid, **more}
    inner = "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items())
    return (
        "<xml><ToUserName><![CDATA[ww1]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName>"
        f"<CreateTime>{at}</CreateTime><MsgType><![CDATA[event]]></MsgType>"
        "<Event><![CDATA[change_external_contact]]></Event>"
        f"<ChangeType><![CDATA[{change}]]></ChangeType>{inner}</xml>"
    ).encode()


def edited(external_userid: str = "wm1", *, at: int = 1_790_000_000) -> bytes:
    return contact_event("edit_external_contact", external_userid, at=at)


def added(external_userid: str = "wm1", *, code: str = "CODE", at: int = 1_790_000_000) -> bytes:
    return contact_event("add_external_contact", external_userid, at=at, WelcomeCode=code)


def removed(external_userid: str = "wm1", *, at: int = 1_790_000_000) -> bytes:
    return contact_event("del_follow_user", external_userid, at=at)


def sealed(plaintext: bytes, keys: CallbackKeys = KEYS) -> Sealed:
    """The message in an envelope of its own: another nonce, another random, every time."""
    return callback.seal(keys, plaintext, timestamp=1_790_000_000, nonce=f"nonce{next(_numbers)}")


def key(plaintext: bytes, keys: CallbackKeys = KEYS) -> bytes:
    return callback.event_key(keys.receive_id, plaintext)
