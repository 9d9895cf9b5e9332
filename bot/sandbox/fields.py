"""Reading a request body the way the platform does: type, presence, length; else a Refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.refusal import Refusal

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Upload:
    """One file of a multipart request."""

    filename: str
    content_type: str
    data: bytes


@dataclass(frozen=True)
class Ask:
    """One call that has passed the front door."""

    api: str
    args: Mapping[str, str]
    body: Body
    uploads: tuple[Upload, ...] = field(default=())
    caller: str = "127.0.0.1"


def text(
    body: Body,
    key: str,
    *,
    missing: int | None = 40058,
    chars: int | None = None,
    octets: int | None = None,
    over: int = 40058,
) -> str:
    """A string field. `missing=None` makes it optional (then "" stands for absent)."""
    value = body.get(key)
    if value is None or value == "":
        if missing is not None:
            raise Refusal(missing, f"{key} missing")
        return ""
    if not isinstance(value, str):
        raise Refusal(40058, f"{key} must be a string")
    if chars is not None and len(value) > chars:
        raise Refusal(over, f"{key} too long")
    if octets is not None and len(value.encode()) > octets:
        raise Refusal(over, f"{key} too long")
    return value


def cut(value: str, octets: int) -> str:
    """The first `octets` bytes of a text, never half a character (the platform's 超过截断)."""
    return value.encode()[:octets].decode(errors="ignore")


def number(body: Body, key: str, default: int | None = None, *, wrong: int = 40058) -> int:
    """An integer field; None as default makes it required."""
    value = body.get(key, default)
    if value is None:
        raise Refusal(wrong, f"{key} missing")
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refusal(wrong, f"{key} must be an integer")
    return value


def flag(body: Body, key: str, default: bool) -> bool:
    """A boolean field; the platform also takes 0 and 1."""
    value = body.get(key, default)
    if value is None:
        return default
    if value not in (True, False, 0, 1):
        raise Refusal(40058, f"{key} must be a boolean")
    return bool(value)


def strings(body: Body, key: str, *, most: int | None = None, over: int = 40058) -> list[str]:
    """A list of non-empty strings, without repetitions; absent is an empty list."""
    value = body.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise Refusal(40058, f"{key} must be an array of strings")
    if most is not None and len(value) > most:
        raise Refusal(over, f"{key} too long")
    return list(dict.fromkeys(value))


def mapping(body: Body, key: str, *, missing: int | None = 40058) -> Body:
    """An object field; `missing=None` makes it optional (then an empty mapping)."""
    value = body.get(key)
    if value is None:
        if missing is not None:
            raise Refusal(missing, f"{key} missing")
        return {}
    if not isinstance(value, dict):
        raise Refusal(40058, f"{key} must be an object")
    return value


def mappings(body: Body, key: str, *, most: int | None = None, over: int = 40058) -> list[Body]:
    """A list of objects; absent is an empty list."""
    value = body.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise Refusal(40058, f"{key} must be an array of objects")
    if most is not None and len(value) > most:
        raise Refusal(over, f"{key} too long")
    return value
