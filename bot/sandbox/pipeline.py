"""The front door of every call: token, address, rights, body, frequency, faults."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.sandbox import knobs, tokens
from bot.sandbox.calls import CALLS, Call
from bot.sandbox.fields import Ask, Upload
from bot.sandbox.frequency import Exceeded, block, refuse_blocked, spend
from bot.sandbox.knobs import Fault
from bot.sandbox.refusal import Refusal, envelope
from bot.sandbox.town import Town

_DEBUG_CALLS_PER_MINUTE = 5


@dataclass(frozen=True)
class Request:
    """One HTTP request as it came in."""

    api: str
    method: str
    args: Mapping[str, str]
    body: bytes
    uploads: tuple[Upload, ...]
    caller: str


@dataclass(frozen=True)
class Reply:
    """What goes back over the wire."""

    body: bytes
    status: int = 200
    content_type: str = "application/json; charset=UTF-8"


class FrontDoor:
    """Answers calls for one town; concurrency is counted per process."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._inside: Counter[str] = Counter()
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Reply:
        """One call from knock to reply; always HTTP 200, unless a fault says otherwise."""
        with self._lock:
            self._inside[request.api] += 1
            inside = self._inside[request.api]
        try:
            return self._answer(request, inside)
        finally:
            with self._lock:
                self._inside[request.api] -= 1

    def _answer(self, request: Request, inside: int) -> Reply:
        town = self._town
        faults: dict[str, Fault] = {}
        try:
            settings, faults = self._enter(request, inside)
            wait = settings["latency"] + _value(faults, "latency")
            if wait > 0:
                time.sleep(wait)
            if "status" in faults or "html" in faults:
                return self._page(request, int(_value(faults, "status") or 200))
            if "errcode" in faults:
                raise Refusal(int(faults["errcode"].value))
            result = self._work(request)
            answer = envelope(0, "ok", now=town.now(), caller=request.caller) | result
        except Refusal as refusal:
            self._remember(request, refusal)
            answer = (
                envelope(refusal.errcode, refusal.text, now=town.now(), caller=request.caller)
                | refusal.extra
            )
            if request.api == "getcallbackip":
                answer["ip_list"] = []
        town.log_call(request.api, answer["errcode"])
        body = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
        if "hang_after" in faults:
            time.sleep(faults["hang_after"].value)
        if "truncate_after" in faults:
            body = body[: len(body) // 2]
        return Reply(body)

    def _enter(self, request: Request, inside: int) -> tuple[dict[str, Any], dict[str, Fault]]:
        """G1 to G8 and G11, and the faults that strike; commits what was counted."""
        town = self._town
        refusal: Refusal | None = None
        faults: dict[str, Fault] = {}
        with town.write(quiet=True) as db:
            settings = knobs.every(db)
            try:
                self._check(db, request, settings, inside)
                faults = {fault.kind: fault for fault in knobs.strike(db, request.api)}
            except Exceeded as exceeded:
                block(db, exceeded)
                refusal = exceeded
            except Refusal as other:
                refusal = other
        if refusal is not None:
            raise refusal
        return settings, faults

    def _check(self, db: Any, request: Request, settings: Mapping[str, Any], inside: int) -> None:
        town, call, now = self._town, CALLS[request.api], self._town.now()
        if call.needs_token:
            tokens.check(town, db, request.args.get("access_token", ""))
        else:
            refuse_blocked(db, now, tokens.wrong_secret_name(request.caller))
        trusted = settings["trusted_ips"]
        if call.needs_token and trusted is not None and request.caller not in trusted:
            raise Refusal(60020)
        if call.needs_token and not settings["app_is_enabled"]:
            raise Refusal(50003, "app disabled")
        if call.family and call.family in settings["denied_families"]:
            raise Refusal(48002)
        _parse(request, call)
        if inside > settings["concurrent_limit"]:
            raise Refusal(45033)
        if request.args.get("debug"):
            spend(db, now, f"{request.api} debug", 60, _DEBUG_CALLS_PER_MINUTE)
        if call.is_counted:
            # A block of the minute limit must also stop what the hour would still allow.
            spend(db, now, f"{request.api} per minute", 60, settings["minute_limit"])
            spend(db, now, f"{request.api} per hour", 3600, settings["hour_limit"])

    def _work(self, request: Request) -> dict[str, Any]:
        call = CALLS[request.api]
        ask = Ask(request.api, request.args, _parse(request, call), request.uploads, request.caller)
        # Issuing a token is book-keeping: no phone shows it.
        opened = (
            self._town.read() if call.only_reads else self._town.write(quiet=not call.needs_token)
        )
        try:
            with opened as db:
                return call.work(self._town, db, ask)
        except UnicodeEncodeError as error:
            raise Refusal(40033, "illegal characters") from error
        except OverflowError as error:
            raise Refusal(40058, "number out of range") from error

    def _remember(self, request: Request, refusal: Refusal) -> None:
        """What must outlive the refusal's rollback: a block, a wrong secret."""
        town = self._town
        if isinstance(refusal, Exceeded):
            with town.write(quiet=True) as db:
                block(db, refusal)
        if request.api == "gettoken" and refusal.errcode in (40001, 40013):
            with town.write(quiet=True) as db:
                try:
                    tokens.count_wrong_secret(town, db, request.caller)
                except Exceeded as exceeded:
                    block(db, exceeded)

    def _page(self, request: Request, status: int) -> Reply:
        self._town.log_call(request.api, -status)
        page = b"<html><body><h1>service temporarily unavailable</h1></body></html>"
        return Reply(page, status, "text/html; charset=UTF-8")


def _value(faults: Mapping[str, Fault], kind: str) -> float:
    return faults[kind].value if kind in faults else 0.0


def _parse(request: Request, call: Call) -> Mapping[str, Any]:
    """G7 and G8: the right method, and a JSON object where a body is due."""
    if request.method != call.method:
        raise Refusal(40058, "wrong http method")
    if call.is_upload or call.method == "GET":
        return {}
    if not request.body:
        raise Refusal(40058, "empty body")
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise Refusal(40058, "wrong json format") from error
    if not isinstance(body, dict):
        raise Refusal(40058, "body must be an object")
    return body
