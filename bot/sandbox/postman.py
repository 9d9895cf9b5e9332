"""The postman (投递): carries queued letters to the app, with a deadline and up to three tries.

The same plaintext every time; timestamp, nonce, random bytes and signature are fresh. Letters of
the till (purchases) travel the same way, but are tried until they are taken.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import logging
import os
import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from bot.sandbox import actors, knobs, passive
from bot.sandbox.town import Town
from bot.wecom import callback

log = logging.getLogger(__name__)

_IDLE_SECONDS = 0.2
_TILL_TRIES = 100
_TILL_DEADLINE = 10.0
# A letter that a killed process had in its hands is free again this long after its deadline.
_CLAIM_MARGIN = 2.0


@dataclass(frozen=True)
class Delivery:
    """How one try ended. `status` 0: no answer at all, `outcome` says why."""

    letter: Any
    status: int
    outcome: str
    reply: bytes = b""


class Postman:
    """One dispatcher thread and a few senders. Safe to start in every process: letters are
    claimed in the file before they are carried."""

    def __init__(self, town: Town) -> None:
        self._town = town
        config = town.config
        self._keys = callback.CallbackKeys(
            config.callback_token, config.callback_aes_key, config.corp_id
        )
        self._ended: deque[Delivery] = deque()
        self._flying: set[int] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = 0

    def start(self) -> None:
        """Begin to deliver, once per process (a forked child starts its own)."""
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._flying.clear()
            self._ended.clear()
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="postman", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop after the letters on their way have come back."""
        self._stopping.set()
        self._town.bell.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(timeout=10)
        self._pid = 0

    def verify_address(self) -> bool:
        """The platform's check of a callback address: one second, the exact text back."""
        echo = str(secrets.randbits(62))
        now = int(self._town.now())
        query = callback.seal_echo(self._keys, echo, timestamp=now, nonce=_nonce())
        try:
            status, body = _exchange("GET", _with(self._town.config.callback_url, query), 1.0)
        except (OSError, http.client.HTTPException):
            return False
        return status == 200 and body == echo.encode()

    # -- the dispatcher --------------------------------------------------------------------

    def _run(self) -> None:
        with ThreadPoolExecutor(self._town.config.senders, "sender") as senders:
            while not self._stopping.is_set():
                self._town.bell.clear()
                try:
                    actors.accept_due(self._town)
                    letters = self._round()
                except Exception:
                    # Say another process holds the file for long: the next round tries again.
                    log.warning("event=postman_round_failed", exc_info=True)
                    self._stopping.wait(_IDLE_SECONDS)
                    letters = []
                try:
                    for letter in letters:
                        senders.submit(self._carry, letter)
                except RuntimeError:
                    # The interpreter is going down; what is claimed is carried by the next start.
                    return
                if not letters and not self._ended:
                    self._town.bell.wait(_IDLE_SECONDS)
        self._settle()

    def _round(self) -> list[Any]:
        """Write down how tries ended, then take what is due: as many as hands are free."""
        self._settle()
        free = self._town.config.senders * 2 - len(self._flying)
        now = self._town.now()
        with self._town.read() as db:
            paused = knobs.knob(db, "callback_paused")
            deadline = max(_TILL_DEADLINE, float(knobs.knob(db, "callback_deadline")))
            found = db.execute(
                "SELECT id FROM callback WHERE state = 'queued' AND due_at <= ? "
                "AND claimed_until <= ? AND (channel = 'till' OR NOT ?) ORDER BY due_at LIMIT ?",
                (now, now, paused, max(0, free) + len(self._flying)),
            ).fetchall()
        wanted = [row["id"] for row in found if row["id"] not in self._flying][: max(0, free)]
        if not wanted:
            return []
        marks = ",".join(str(one) for one in wanted)
        with self._town.write(quiet=True) as db:
            letters = db.execute(
                f"UPDATE callback SET claimed_until = ?, tries = tries + 1 WHERE id IN ({marks}) "
                "AND state = 'queued' AND claimed_until <= ? RETURNING *",
                (now + deadline + _CLAIM_MARGIN, now),
            ).fetchall()
        self._flying.update(row["id"] for row in letters)
        return letters

    def _settle(self) -> None:
        ended = [self._ended.popleft() for _ in range(len(self._ended))]
        if not ended:
            return
        now = self._town.now()
        try:
            with self._town.write(quiet=True) as db:
                settings = knobs.every(db)
                for one in ended:
                    _write_down(db, one, now, settings)
                self._town.forget_letters(db)
        except sqlite3.Error:
            self._ended.extendleft(reversed(ended))
            raise
        self._flying.difference_update(one.letter["id"] for one in ended)
        for one in ended:
            if one.reply and one.letter["channel"] == "wecom":
                self._apply(one)

    def _apply(self, delivery: Delivery) -> None:
        try:
            plaintext = callback.open_reply(self._keys, delivery.reply)
            passive.apply(self._town, delivery.letter["plaintext"], plaintext)
        except Exception:
            # Whatever an app answers must not stop the post; the platform would ignore it too.
            log.warning(
                "event=passive_reply_ignored callback=%s", delivery.letter["id"], exc_info=True
            )

    # -- one try ---------------------------------------------------------------------------

    def _carry(self, letter: Any) -> None:
        try:
            status, body = self._post(letter)
            outcome = str(status)
            reply = b"" if body.strip() in (b"", b"success") else body
        except Exception as error:
            status, outcome, reply = 0, type(error).__name__, b""
        self._ended.append(Delivery(letter, status, outcome, reply if status == 200 else b""))
        self._town.bell.set()

    def _post(self, letter: Any) -> tuple[int, bytes]:
        town = self._town
        now = int(town.now())
        if letter["channel"] == "till":
            signed = f"{now}.".encode() + letter["plaintext"]
            digest = hmac.new(town.config.events_secret.encode(), signed, hashlib.sha256)
            headers = {
                "Content-Type": "application/json",
                "X-Daogou-Timestamp": str(now),
                "X-Daogou-Signature": f"sha256={digest.hexdigest()}",
            }
            # The SMS gateway tells its news with the till's signature, at a door of its own.
            is_sms = letter["kind"] == "sms"
            url = town.config.sms_reports_url if is_sms else town.config.events_url
            return _exchange("POST", url, _TILL_DEADLINE, letter["plaintext"], headers)
        with town.read() as db:
            deadline = float(knobs.knob(db, "callback_deadline"))
        sealed = callback.seal(
            self._keys,
            letter["plaintext"],
            timestamp=now,
            nonce=_nonce(),
            agent_id=letter["agent_id"],
        )
        url = _with(town.config.callback_url, sealed.query)
        return _exchange("POST", url, deadline, sealed.body, {"Content-Type": "text/xml"})


def _write_down(
    db: sqlite3.Connection, one: Delivery, now: float, settings: Mapping[str, Any]
) -> None:
    letter = one.letter
    is_till = letter["channel"] == "till"
    state, due_at = "queued", letter["due_at"]
    if one.status == 200:
        state = "delivered"
    elif _is_hopeless(one, is_till, settings):
        state = "given_up"
    else:
        backoff = min(30.0, 0.5 * 2 ** min(letter["tries"], 10))
        due_at = now + (backoff if is_till else settings["callback_wait"])
    db.execute(
        "UPDATE callback SET state = ?, due_at = ?, claimed_until = 0, outcome = ?, acked_at = ? "
        "WHERE id = ?",
        (state, due_at, one.outcome, now if state == "delivered" else None, letter["id"]),
    )


def _is_hopeless(one: Delivery, is_till: bool, settings: Mapping[str, Any]) -> bool:
    if not is_till:
        return bool(one.letter["tries"] >= settings["callback_tries"])
    # What the app refuses it will refuse again; a clock that is off or a busy hour will pass.
    refused = 400 <= one.status < 500 and one.status not in (401, 408, 429)
    return refused or one.letter["tries"] >= _TILL_TRIES


def _nonce() -> str:
    return str(secrets.randbelow(9 * 10**9) + 10**9)


def _with(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"


def _exchange(
    method: str, url: str, deadline: float, body: bytes = b"", headers: Mapping[str, str] = {}
) -> tuple[int, bytes]:
    """One request on its own connection, as the platform does it: (status, body up to 64 KiB)."""
    target = urlsplit(url)
    secure = target.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    line = kind(target.hostname or "", target.port, timeout=deadline)
    try:
        path = f"{target.path or '/'}{'?' + target.query if target.query else ''}"
        line.request(method, path, body or None, {"Connection": "close", **headers})
        answer = line.getresponse()
        return answer.status, answer.read(65536)
    finally:
        line.close()
