"""Mobile numbers (手机号): normalized, sealed at rest, found by a keyed hash, shown masked."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bot.errors import DaogouError, UserError

_MAINLAND = re.compile(r"(?:\+?86|0086)?(1[3-9][0-9]{9})")
_ABROAD = re.compile(r"(?:\+|00)([1-9][0-9]{6,14})")
_NONCE_BYTES = 12


def normalize(mobile: str) -> str:
    """Eleven digits of a mainland number, or `+` and digits; UserError for anything else.

    Full-width digits, blanks, hyphens and a country code 86 are how people write the same number.
    """
    plain = re.sub(r"[\s()\-]", "", unicodedata.normalize("NFKC", mobile))
    home = _MAINLAND.fullmatch(plain)
    if home:
        return home[1]
    abroad = _ABROAD.fullmatch(plain)
    if abroad:
        return f"+{abroad[1]}"
    raise UserError("mobile 不是有效的手机号。", field="mobile")


def mobile_index(mobile: str, secret_key: str) -> str:
    """The blind index of a normalized number: equal for equal numbers, useless without the key."""
    return hmac.new(_key(secret_key, "mobile index"), mobile.encode(), hashlib.sha256).hexdigest()


def row_digest(digest: str, secret_key: str) -> str:
    """The digest of a row that may hold a mobile number, useless without the key: 32 signs."""
    return hmac.new(_key(secret_key, "row"), digest.encode(), hashlib.sha256).hexdigest()[:32]


def seal_mobile(mobile: str, secret_key: str) -> bytes:
    """Encrypt a normalized number (AES-256-GCM: nonce, ciphertext, tag)."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(_key(secret_key, "mobile seal")).encrypt(nonce, mobile.encode(), None)


def open_mobile(sealed: bytes, secret_key: str) -> str:
    """The number again; DaogouError when the key is another one or the bytes were changed."""
    nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        opened = AESGCM(_key(secret_key, "mobile seal")).decrypt(nonce, ciphertext, None)
        return opened.decode()
    except (InvalidTag, ValueError) as error:
        raise DaogouError("a sealed mobile does not open with this SECRET_KEY") from error


def mask_mobile(mobile: str) -> str:
    """138****1234; the middle of a number never reaches a page."""
    return f"{mobile[:3]}****{mobile[-4:]}" if len(mobile) >= 11 else f"****{mobile[-2:]}"


@lru_cache(maxsize=8)
def _key(secret_key: str, purpose: str) -> bytes:
    derive = HKDF(SHA256(), length=32, salt=None, info=f"daogou {purpose}".encode())
    return derive.derive(secret_key.encode())
