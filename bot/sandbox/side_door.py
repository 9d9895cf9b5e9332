"""The side door (侧门): calls that are not WeCom's, with the same faults, waits and call log."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from flask import Response

from bot.sandbox import knobs
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town

Work = Callable[[sqlite3.Connection], dict[str, Any]]


def answer(town: Town, api: str, work: Work, *, code: str, words: str) -> Response:
    """One call: `work` writes and returns its reply; `code` and `words` are this house's names
    for the number and the text of a refusal."""
    with town.write(quiet=True) as db:
        latency = float(knobs.knob(db, "latency"))
        faults = {fault.kind: fault.value for fault in knobs.strike(db, api)}
    if (wait := latency + faults.get("latency", 0.0)) > 0:
        time.sleep(wait)
    if "status" in faults or "html" in faults:
        status = int(faults.get("status") or 200)
        town.log_call(api, -status)
        return Response("<html><body>service unavailable</body></html>", status)
    reply: dict[str, Any]
    try:
        if "errcode" in faults:
            raise Refusal(int(faults["errcode"]))
        with town.write() as db:
            reply = {code: 0, **work(db)}
    except Refusal as refusal:
        reply = {code: refusal.errcode, words: refusal.text, **refusal.extra}
    town.log_call(api, int(reply[code]))
    if "hang_after" in faults:
        time.sleep(faults["hang_after"])
    body = json.dumps(reply, ensure_ascii=False).encode()
    if "truncate_after" in faults:
        body = body[: len(body) // 2]
    return Response(body, content_type="application/json; charset=UTF-8")
