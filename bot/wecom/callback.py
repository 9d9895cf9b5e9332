"""Callbacks (接收消息与事件): from a request to the plaintext it carries, and the way back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.errors import CallbackError
from bot.wecom import envelope, reading
from bot.wecom.crypto import CallbackCrypto, CallbackKeys

__all__ = [
    "BODY_LIMIT",
    "CallbackKeys",
    "Sealed",
    "event_key",
    "is_urgent",
    "open_reply",
    "open_sealed",
    "parse",
    "parse_and_weigh",
    "seal",
    "seal_echo",
    "seal_reply",
    "verify_echo",
]

BODY_LIMIT = envelope.BODY_LIMIT
parse = reading.parse
parse_and_weigh = reading.parse_and_weigh
is_urgent = reading.is_urgent


@dataclass(frozen=True)
class Sealed:
    """A callback as WeCom posts it: the query of the address, and the body."""

    query: dict[str, str]
    body: bytes


def verify_echo(keys: CallbackKeys, query: Mapping[str, str]) -> str:
    """The plaintext to answer when WeCom checks the address (GET, within 1 second).

    Raises CallbackError. The source is developer.work.weixin.qq.com/document/path/90930.
    """
    encrypted = _text(query, "echostr")
    if len(encrypted) > 4096:
        raise CallbackError("too_large", "echostr is longer than any WeCom sends")
    plaintext = _open(keys, query, encrypted)
    try:
        return plaintext.decode("utf-8")
    except UnicodeDecodeError:
        raise CallbackError("unreadable", "the echo is not UTF-8") from None


def open_sealed(keys: CallbackKeys, query: Mapping[str, str], body: bytes) -> bytes:
    """The inner XML of a posted callback; `keys.receive_id` must be the receiver inside.

    Raises CallbackError: `too_large` and `bad_body` before anything was decrypted,
    `bad_signature`, and `unreadable` where the signature is right and the content is not.
    """
    return _open(keys, query, envelope.read_encrypted(body))


def seal(
    keys: CallbackKeys, plaintext: bytes, *, timestamp: int, nonce: str, agent_id: int | None = None
) -> Sealed:
    """A callback as the platform would post it; `timestamp` in Unix seconds."""
    crypto = CallbackCrypto(keys)
    encrypted = crypto.seal(plaintext)
    agent = "" if agent_id is None else f"<AgentID>{_cdata(str(agent_id))}</AgentID>"
    body = (
        f"<xml><ToUserName>{_cdata(keys.receive_id)}</ToUserName>{agent}"
        f"<Encrypt>{_cdata(encrypted)}</Encrypt></xml>"
    )
    return Sealed(_query(crypto, timestamp, nonce, encrypted), body.encode())


def seal_echo(keys: CallbackKeys, echo: str, *, timestamp: int, nonce: str) -> dict[str, str]:
    """The query with which the platform checks a callback address."""
    crypto = CallbackCrypto(keys)
    encrypted = crypto.seal(echo.encode())
    return {**_query(crypto, timestamp, nonce, encrypted), "echostr": encrypted}


def seal_reply(keys: CallbackKeys, plaintext: bytes, *, timestamp: int, nonce: str) -> bytes:
    """The body of a passive reply (被动回复), which goes to the member who wrote."""
    crypto = CallbackCrypto(keys)
    encrypted = crypto.seal(plaintext)
    sign = crypto.sign(str(timestamp), nonce, encrypted)
    return (
        f"<xml><Encrypt>{_cdata(encrypted)}</Encrypt><MsgSignature>{_cdata(sign)}</MsgSignature>"
        f"<TimeStamp>{timestamp}</TimeStamp><Nonce>{_cdata(nonce)}</Nonce></xml>"
    ).encode()


def open_reply(keys: CallbackKeys, body: bytes) -> bytes:
    """The plaintext of a passive reply, as the platform reads it. Raises CallbackError."""
    query = {
        "msg_signature": envelope.read_field(body, "MsgSignature"),
        "timestamp": envelope.read_field(body, "TimeStamp"),
        "nonce": envelope.read_field(body, "Nonce"),
    }
    return open_sealed(keys, query, body)


def event_key(corp_id: str, plaintext: bytes) -> bytes:
    """The identity of a message, whatever was random around it: 32 bytes of SHA-256.

    WeCom's own advice (sender and second) would merge two customers who come in one second.
    """
    return hashlib.sha256(corp_id.encode() + b"\0" + plaintext).digest()


def _open(keys: CallbackKeys, query: Mapping[str, str], encrypted: str) -> bytes:
    crypto = CallbackCrypto(keys)
    crypto.check(
        _text(query, "msg_signature"), _text(query, "timestamp"), _text(query, "nonce"), encrypted
    )
    return crypto.open(encrypted)


def _text(query: Mapping[str, str], name: str) -> str:
    value: Any = query.get(name)
    return value if isinstance(value, str) else ""


def _query(crypto: CallbackCrypto, timestamp: int, nonce: str, encrypted: str) -> dict[str, str]:
    return {
        "msg_signature": crypto.sign(str(timestamp), nonce, encrypted),
        "timestamp": str(timestamp),
        "nonce": nonce,
    }


def _cdata(text: str) -> str:
    if "]]>" in text:
        raise ValueError("this text cannot stand in an envelope")
    return f"<![CDATA[{text}]]>"
