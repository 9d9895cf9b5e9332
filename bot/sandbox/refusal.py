"""How the pretend platform says no: an errcode, and an errmsg nobody can match on."""

from __future__ import annotations

import secrets
from typing import Any

# The literal texts that are known from the platform's pages; everything else gets a plain one.
TEXTS: dict[int, str] = {
    -1: "system busy",
    0: "ok",
    40001: "invalid credential",
    40007: "invalid media_id",
    40008: "invalid message type",
    40013: "invalid corpid",
    40014: "invalid access_token",
    40029: "invalid code",
    40058: "invalid request parameter",
    40068: "invalid tagid",
    40071: "tag name already exists",
    40096: "invalid external userid",
    41001: "access_token missing",
    41049: "missing welcome_code",
    41050: "invalid welcome_code",
    41051: "externaluser has started chatting",
    41046: "missing msgid",
    41047: "invalid msgid",
    41048: "no customer to send",
    41059: "missing moment_id",
    41060: "invalid moment_id",
    41063: "group msg is being distributed",
    41093: "group msg has been cancelled",
    41094: "remind too frequently",
    41096: "welcome msg is being distributed",
    42001: "access_token expired",
    45009: "api freq out of limit",
    45033: "api concurrent out of limit",
    48002: "api forbidden",
    60011: "no privilege to access/modify contact/party/agent",
    60020: "not allow to access from your ip",
    60111: "userid not found",
    60140: "invalid response_code",
    81013: "user & party & tag all invalid",
    84061: "not external contact",
    95007: "invalid msg token",
    95018: "session status not allowed to send",
}


class Refusal(Exception):
    """The platform refuses a call; nothing was changed."""

    def __init__(self, errcode: int, text: str | None = None, **extra: Any) -> None:
        super().__init__(errcode)
        self.errcode = errcode
        self.text = text or TEXTS.get(errcode, "request refused")
        self.extra = extra


def envelope(errcode: int, text: str, *, now: float, caller: str) -> dict[str, Any]:
    """`errcode` and `errmsg`; a refusal carries the hint tail of the real platform."""
    if errcode == 0:
        return {"errcode": 0, "errmsg": "ok"}
    hint = f"[{int(now)}_{secrets.randbelow(900) + 100}_{secrets.token_hex(16)}]"
    more = f"https://open.work.weixin.qq.com/devtool/query?e={errcode}"
    return {
        "errcode": errcode,
        "errmsg": f"{text}, hint: {hint}, from ip: {caller}, more info at {more}",
    }
