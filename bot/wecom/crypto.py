"""WeCom's callback cipher (消息加解密): wechatpy's class with every trusted byte checked.

wechatpy compares signatures with `!=`, does not check the padding nor the inner length, and leaks
ten kinds of exceptions. Here each step is strict and there is exactly one exception,
`CallbackError`. The format is the one of developer.work.weixin.qq.com/document/path/91144.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from wechatpy.work.crypto import WeChatCrypto

from bot.errors import CallbackError

# The padding block of this protocol is 32 bytes although the cipher's own block is 16.
PAD_BLOCK = 32
_HEAD = 20  # 16 random bytes, then the length of the message in 4 bytes, big-endian
_KEY = re.compile(r"[A-Za-z0-9+/]{43}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_SIGNATURE = re.compile(r"[0-9a-f]{40}")
_TIMESTAMP = re.compile(r"[0-9]{1,10}")
_NONCE = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True)
class CallbackKeys:
    """What one app's callback is signed and sealed with; `receive_id` is the corp id."""

    token: str = field(repr=False)
    aes_key: str = field(repr=False)
    receive_id: str


def signature(token: str, timestamp: str, nonce: str, encrypted: str) -> str:
    """SHA-1 over the sorted parts, in hex: `msg_signature`."""
    parts = sorted(part.encode() for part in (token, timestamp, nonce, encrypted))
    return hashlib.sha1(b"".join(parts), usedforsecurity=False).hexdigest()


# wechatpy has no types, so its classes are Any here; mypy is told where we derive from one.
class CallbackCrypto(WeChatCrypto):  # type: ignore[misc]
    """`WeChatCrypto` whose inherited entry points, too, go through the strict steps below."""

    def __init__(self, keys: CallbackKeys) -> None:
        # The parent decodes the key leniently, which is right (43 letters often carry bits that
        # strict decoders refuse), but checks it by `assert`; so it is checked here first.
        if not _KEY.fullmatch(keys.aes_key):
            raise CallbackError("unreadable", "the AES key must be 43 letters and digits")
        super().__init__(keys.token, keys.aes_key, keys.receive_id)

    def check(self, given: str, timestamp: str, nonce: str, encrypted: str) -> None:
        """Raise `bad_signature` unless the four belong together."""
        for name, value, shape in (
            ("msg_signature", given, _SIGNATURE),
            ("timestamp", timestamp, _TIMESTAMP),
            ("nonce", nonce, _NONCE),
        ):
            if not isinstance(value, str) or not shape.fullmatch(value):
                raise CallbackError("bad_signature", f"{name} is missing or has a wrong shape")
        try:
            expected = signature(self.token, timestamp, nonce, encrypted)
        except UnicodeEncodeError:
            raise CallbackError("bad_signature", "lone surrogates cannot be signed") from None
        # Bytes, because compare_digest refuses a str with a letter outside ASCII.
        if not hmac.compare_digest(expected.encode(), given.encode()):
            raise CallbackError("bad_signature", "the signature does not match")

    def open(self, encrypted: str) -> bytes:
        """Decrypt base64 text to the message; anything odd is `unreadable`."""
        sealed = _strict_base64(encrypted)
        if len(sealed) < PAD_BLOCK or len(sealed) % 16:
            raise CallbackError("unreadable", "the ciphertext is not made of whole blocks")
        decryptor = self._cipher().decryptor()
        return self._unwrap(decryptor.update(sealed) + decryptor.finalize())

    def seal(self, plaintext: bytes) -> str:
        """Encrypt a message to base64 text, with fresh random bytes in front."""
        content = b"".join(
            (
                secrets.token_bytes(16),
                len(plaintext).to_bytes(4, "big"),
                plaintext,
                self.corp_id.encode(),
            )
        )
        pad = PAD_BLOCK - len(content) % PAD_BLOCK
        encryptor = self._cipher().encryptor()
        sealed = encryptor.update(content + bytes([pad]) * pad) + encryptor.finalize()
        return base64.b64encode(sealed).decode("ascii")

    def sign(self, timestamp: str, nonce: str, encrypted: str) -> str:
        """The `msg_signature` of sealed text under this app's token."""
        return signature(self.token, timestamp, nonce, encrypted)

    def _cipher(self) -> Cipher[modes.CBC]:
        return Cipher(algorithms.AES(self.key), modes.CBC(self.key[:16]))

    def _unwrap(self, padded: bytes) -> bytes:
        pad = padded[-1]
        if not 1 <= pad <= PAD_BLOCK or padded[-pad:] != bytes([pad]) * pad:
            raise CallbackError("unreadable", "the padding is wrong")
        content = padded[:-pad]
        if len(content) < _HEAD:
            raise CallbackError("unreadable", "the content is too short")
        end = _HEAD + int.from_bytes(content[16:_HEAD], "big")
        if end > len(content):
            raise CallbackError("unreadable", "the inner length is wrong")
        # Everything behind the message must be our own id, so the length cannot be shifted.
        if not hmac.compare_digest(content[end:], self.corp_id.encode()):
            raise CallbackError("unreadable", "the message is for another receiver")
        return content[_HEAD:end]

    # The parent's public methods end in these three; none of its own code is left on the path.
    def _check_signature(
        self, signature: str, timestamp: str, nonce: str, echo_str: str, crypto_class: object = None
    ) -> bytes:
        self.check(signature, timestamp, nonce, echo_str)
        return self.open(echo_str)

    def _decrypt_message(
        self, msg: object, signature: str, timestamp: str, nonce: str, crypto_class: object = None
    ) -> bytes:
        if not isinstance(msg, dict) or not isinstance(msg.get("Encrypt"), str):
            raise CallbackError("bad_body", "open the envelope first: only its fields are taken")
        return self._check_signature(signature, timestamp, nonce, msg["Encrypt"])

    def _encrypt_message(
        self, msg: object, nonce: str, timestamp: object = None, crypto_class: object = None
    ) -> str:
        raise TypeError("use bot.wecom.callback.seal or seal_reply")


def _strict_base64(text: str) -> bytes:
    if not isinstance(text, str) or not _BASE64.fullmatch(text):
        raise CallbackError("unreadable", "not base64")
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise CallbackError("unreadable", "not base64") from None
    if base64.b64encode(decoded).decode("ascii") != text:
        raise CallbackError("unreadable", "not canonical base64")
    return decoded
