"""Door: facts from POS, ERP and mall (数据接口): signed, bounded, answered one by one."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import math
import re
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from sqlalchemy.orm import Session

from bot import jobs
from bot.bot import Bot
from bot.crm import intake
from bot.crm.intake import IntakeResult, Rejection
from bot.db import transact

log = logging.getLogger(__name__)

bp = Blueprint("api", __name__, url_prefix="/api/v1")

BODY_LIMIT = 8 * 1024 * 1024
MOST_EVENTS = 10_000
_CLOCK_SECONDS = 300
# Longer digits are no amount, no number of anything, and slow to read.
_MOST_DIGITS = 64
# More than any event has, and far less than what a reader of JSON gets lost in.
_DEEPEST = 50
# A text with its quotes (an unended one runs to the end), or a bracket.
_TEXT_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)


class Refused(Exception):
    """The request as a whole is refused: HTTP status and one sentence."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


@bp.post("/events")
def receive_events() -> tuple[Response, int]:
    """Keep a JSON array or NDJSON of events (design 4.3); one bad event never hurts the others."""
    bot: Bot = current_app.extensions["bot"]
    try:
        entries = signed_entries(bot)
    except Refused as refused:
        log.info("events refused status=%d", refused.status)
        return jsonify(error=refused.error), refused.status
    result = _keep(bot, entries)
    log.info(
        "events accepted=%d duplicate=%d rejected=%d",
        result.accepted,
        result.duplicate,
        len(result.rejected),
    )
    rejected = [{"index": r.index, "id": r.id, "error": r.error} for r in result.rejected]
    answer = jsonify(accepted=result.accepted, duplicate=result.duplicate, rejected=rejected)
    return answer, 200


def signed_entries(bot: Bot) -> list[Any]:
    """What a rightly signed request brings, unread; raises Refused for the request as a whole."""
    body = _body()
    _check_signature(bot, body)
    entries = list(_entries(body))
    if len(entries) > MOST_EVENTS:
        raise Refused(413, f"一次最多 {MOST_EVENTS} 条事件。")
    return entries


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The signature a sender puts into `X-Daogou-Signature`."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


def _body() -> bytes:
    announced = request.content_length
    if announced is None or announced <= BODY_LIMIT:
        body: bytes = request.stream.read(BODY_LIMIT + 1)
        if len(body) <= BODY_LIMIT:
            return body
    raise Refused(413, f"请求最多 {BODY_LIMIT // 1024 // 1024} MB。")


def _check_signature(bot: Bot, body: bytes) -> None:
    timestamp = request.headers.get("X-Daogou-Timestamp", "")
    given = request.headers.get("X-Daogou-Signature", "")
    # The sentence is the same whatever is wrong, and so is the time the comparison takes.
    wanted = sign(bot.settings.events_secret, timestamp, body)
    is_right = hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
    is_number = timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12
    is_fresh = is_number and abs(int(timestamp) - bot.clock.now().timestamp()) <= _CLOCK_SECONDS
    if not (is_right and is_fresh):
        raise Refused(401, "签名不正确，或者时间与服务器相差超过 5 分钟。")


def _entries(body: bytes) -> Iterator[Any]:
    """The events of the body; a broken line is one bad event, a broken array the whole request.

    What is JSON but no number to keep (NaN, 5,000 digits), or nested without end, is for the check
    of its own event to refuse.
    """
    try:
        words = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(400, "请求要用 UTF-8 编码。") from None
    if not words.strip():
        raise Refused(400, "请求里没有事件。")
    if words.lstrip().startswith("["):
        try:
            yield from _parse(words)
        except (ValueError, RecursionError):
            raise Refused(400, "请求不是正确的 JSON 数组。") from None
        return
    # Only the line feed ends a line of NDJSON; U+2028 may stand inside a text.
    lines = [line for line in words.split("\n") if line.strip()]
    parsed = [_line(line) for line in lines]
    if all(isinstance(one, _Unreadable) for one in parsed):
        raise Refused(400, "请求不是 JSON 数组，也不是每行一个 JSON 对象。")
    yield from parsed


class _Unreadable:
    """A line that is no JSON."""


def _line(line: str) -> Any:
    try:
        return _parse(line)
    except (ValueError, RecursionError):
        return _Unreadable()


def _parse(words: str) -> Any:
    try:
        return _read(words)
    except RecursionError:
        return _read(_shallow(words))


def _read(words: str) -> Any:
    return json.loads(words, parse_constant=float, parse_int=_whole, parse_float=_number)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else math.nan


def _number(digits: str) -> float:
    return float(digits) if len(digits) <= _MOST_DIGITS else math.nan


def _shallow(words: str) -> str:
    """The same JSON with what lies below the deepest level cut out; its event is refused anyway."""
    kept: list[str] = []
    depth = start = 0
    for found in _TEXT_OR_BRACKET.finditer(words):
        sign = found[0]
        if sign in ("[", "{"):
            depth += 1
            if depth == _DEEPEST:
                kept.append(words[start : found.start()])
        elif sign in ("]", "}"):
            depth -= 1
            if depth == _DEEPEST - 1:
                kept.append("null")
                start = found.end()
    # What was never closed is no JSON: the reader says so.
    return "".join(kept) if depth >= _DEEPEST else "".join(kept) + words[start:]


def _keep(bot: Bot, entries: list[Any]) -> IntakeResult:
    """Batch after batch, each its own transaction: a sender who repeats after a failure is safe."""
    accepted = duplicate = 0
    rejected: list[Rejection] = []
    for start in range(0, len(entries), intake.MOST_EVENTS):
        result = _keep_batch(bot, entries[start : start + intake.MOST_EVENTS])
        accepted += result.accepted
        duplicate += result.duplicate
        rejected += [Rejection(start + r.index, r.id, r.error) for r in result.rejected]
    return IntakeResult(accepted, duplicate, rejected)


def _keep_batch(bot: Bot, batch: list[Any]) -> IntakeResult:
    def keep(session: Session) -> IntakeResult:
        now, key = bot.clock.now(), bot.settings.secret_key
        result = intake.receive(session, batch, now=now, secret_key=key)
        jobs.ring(session, "events")
        return result

    return transact(bot.sessions, keep)
