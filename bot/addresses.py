"""Addresses in the environment (地址): checked at the start; the message names the variable."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from bot.errors import SettingsError

# user:password@ (a password may hold anything but an @), then the host and its port.
_AUTHORITY = re.compile(
    r"(?:[^@/?]*(?::[^@]*)?@)?(?:\[[^\]]*\]|[^:/?\[\]]*)(?::(?P<port>[^/?]*))?(?:[/?].*)?"
)


def port(text: str) -> int:
    """A port from 1 to 65535."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise SettingsError("PORT must be a number from 1 to 65535")
    return int(text)


def http_url(name: str, text: str) -> str:
    """An http(s) address without query, and without a slash at its end."""
    try:
        parts = urlsplit(text)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname
        wrong = wrong or bool(parts.query or parts.fragment) or parts.port == 0
    except ValueError:
        wrong = True
    if wrong:
        raise SettingsError(f"{name} must be an address such as https://daogou.example.com")
    return text.rstrip("/")


def database_url(text: str | None) -> str | None:
    """PostgreSQL's address in one spelling; None stays None."""
    if text is None:
        return None
    match = re.match(r"(postgresql|postgres|postgresql\+psycopg)://(.+)", text)
    if match is None or not _has_good_port(match[2]):
        # The value is not shown, for it may hold a password.
        raise SettingsError(
            "DATABASE_URL must be postgresql://user:password@host:5432/name,"
            " with a port from 1 to 65535"
        )
    return f"postgresql://{match[2]}"


def redis_url(text: str | None) -> str | None:
    """Redis's address as it was given; None stays None."""
    match = re.match(r"(rediss?|unix)://(.+)", text or "")
    is_wrong = match is None or (match[1] != "unix" and not _has_good_port(match[2]))
    if text is not None and is_wrong:
        raise SettingsError(
            "REDIS_URL must be redis://host:6379/0 (or rediss://, unix://),"
            " with a port from 1 to 65535"
        )
    return text


def _has_good_port(rest: str) -> bool:
    found = _AUTHORITY.fullmatch(rest)
    if found is None:
        return False
    port = found["port"]
    return port is None or (
        re.fullmatch(r"[0-9]{1,5}", port) is not None and 1 <= int(port) <= 65535
    )
