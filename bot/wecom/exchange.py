"""One request and its JSON object (一次请求): bounded, no redirects, silent about addresses."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

import requests
import urllib3.exceptions

from bot.errors import WeComUnavailable
from bot.wecom import wire

Timeout = tuple[float, float]
Files = Mapping[str, tuple[str, bytes, str]]

TIMEOUT: Timeout = (2.0, 5.0)


def exchange(
    session: requests.Session,
    method: str,
    url: str,
    *,
    api: str,
    params: Mapping[str, Any] | None = None,
    body: bytes | None = None,
    files: Files | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: Timeout = TIMEOUT,
) -> dict[str, Any]:
    """Ask `url` over a session that `wire.configure` made fit; `api` names it in errors.

    Everything but HTTP 200 with a JSON object raises WeComUnavailable: nothing is then known
    about the effect.
    """
    content: bytes | None = None
    problem = ""
    try:
        with session.request(
            method,
            url,
            params=params,
            data=body,
            files=files,
            headers={**_typed(body), **(headers or {})} or None,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
        ) as response:
            if response.status_code == 200:
                content = wire.read_limited(response)
                problem = "the answer is too large or compressed"
            else:
                problem = f"HTTP {response.status_code}"
    except (requests.Timeout, TimeoutError, urllib3.exceptions.TimeoutError):
        problem = "timeout"
    except (
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
        ValueError,
    ) as error:
        # Only the name: texts of these exceptions hold the address with the token.
        problem = f"connection failed ({type(error).__name__})"
    # Raised outside the handlers, so that nothing with an address hangs on to the exception.
    if content is None:
        raise WeComUnavailable(api, None, problem)
    reply = _decode(content)
    if reply is None:
        raise WeComUnavailable(api, None, "the answer is not a JSON object")
    return reply


def errcode_of(api: str, reply: Mapping[str, Any], field: str = "errcode") -> int:
    """The errcode as a number; without a readable one nothing is known about the effect."""
    value = reply.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and len(value) < 12:
        return int(value)
    raise WeComUnavailable(api, None, f"the answer holds no {field}")


def _typed(body: bytes | None) -> dict[str, str]:
    return {} if body is None else {"Content-Type": "application/json"}


def _decode(content: bytes) -> dict[str, Any] | None:
    try:
        # Nicknames bring raw control letters and broken UTF-8; the page of 100 customers around
        # such a one must stay readable.
        value = json.loads(content.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    cleaned: dict[str, Any] = _clean(value)
    return cleaned


def _clean(value: Any) -> Any:
    """Without what PostgreSQL cannot store as text: NUL, and halves of surrogate pairs."""
    if isinstance(value, str):
        if value.isascii():
            return value.replace("\0", "")
        return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(one) for key, one in value.items()}
    return value
