"""The one path of every call to WeCom: limiter, token, wire, errcode, in this order."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from bot.clock import Clock
from bot.errors import RateLimited, TokenRejected, WeComUnavailable
from bot.limiter import (
    BLOCK_SECONDS,
    CONCURRENCY,
    LIMITS,
    OWN_LIMITS,
    UNCOUNTED,
    Limit,
    Limiter,
)
from bot.settings import WeComSettings
from bot.wecom.client import TIMEOUT, Client, Files, Timeout
from bot.wecom.errcodes import TOKEN_ERRCODES, error_for
from bot.wecom.tokens import Fetch, Token, TokenName, TokenStore

log = logging.getLogger(__name__)

# A call that must wait no longer than this for the limiter waits here instead of failing.
PATIENCE_SECONDS = 1.0
_RATE_ERRCODE = 45009


class CallPath:
    """Sends calls for one app. Safe to share between threads; raises only WeComError."""

    def __init__(
        self,
        wecom: WeComSettings,
        *,
        tokens: TokenStore,
        limiter: Limiter | None,
        clock: Clock,
        pool_size: int = 32,
        block_seconds: Sequence[float] = BLOCK_SECONDS,
    ) -> None:
        self.wecom = wecom
        self.clock = clock
        self.sdk = Client(wecom, self.call, pool_size=pool_size)
        self._tokens = tokens
        self._limiter = limiter
        self._block_seconds = tuple(block_seconds)
        self._strikes: dict[str, int] = {}
        self._slots = {api: threading.BoundedSemaphore(n) for api, n in CONCURRENCY.items()}

    def call(
        self,
        api: str,
        body: bytes | None = None,
        *,
        method: str = "POST",
        params: Mapping[str, Any] | None = None,
        files: Files | None = None,
        timeout: Timeout = TIMEOUT,
        members: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Call `api` (a path such as `message/send`) and return its reply, errcode 0.

        `members` are the receivers of message/send, each with limits of their own. `timeout` is
        (connect, whole answer) in seconds. A refused token is renewed once and the call repeated
        once. Raises the class that `errcodes` has for the number.
        """
        self._await_turn(api, members)
        with self._slot(api):
            token = self.token()
            reply, errcode = self._send(api, token, method, params, body, files, timeout)
            if errcode in TOKEN_ERRCODES:
                # The call was turned away at the gate, so repeating it cannot double anything.
                token = self.token(refused=token.version)
                reply, errcode = self._send(api, token, method, params, body, files, timeout)
        if errcode == 0:
            self._strikes.pop(api, None)
            if "wrong json format" in str(reply.get("errmsg", "")).lower():
                # WeCom did it, but says that our body was malformed: a defect of ours.
                log.error("event=wecom_wrong_json api=%s", api)
            return reply
        raise self._failure(api, errcode, reply, token)

    def close(self) -> None:
        """Close idle connections; a later call opens new ones."""
        self.sdk.close()

    def token(self, *, refused: int | None = None) -> Token:
        """The app's access token, newer than the refused version."""
        name = TokenName(self.wecom.corp_id, str(self.wecom.agent_id))
        return self._tokens.get(name, self._fetch_token, refused=refused)

    def ticket(self, kind: str, fetch: Fetch) -> Token:
        """A JS-SDK ticket, kept like the access token."""
        name = TokenName(self.wecom.corp_id, str(self.wecom.agent_id), kind)
        return self._tokens.get(name, fetch)

    def _fetch_token(self) -> tuple[str, int]:
        reply = self.sdk.fetch_access_token()
        life = reply.get("expires_in")
        log.info("event=wecom_token_fetched corp=%s", self.wecom.corp_id)
        return reply["access_token"], life if isinstance(life, int) else 7200

    def _send(
        self,
        api: str,
        token: Token,
        method: str,
        params: Mapping[str, Any] | None,
        body: bytes | None,
        files: Files | None,
        timeout: Timeout,
    ) -> tuple[dict[str, Any], int]:
        reply = self.sdk.exchange(
            method,
            api,
            params={**(params or {}), "access_token": token.value},
            body=body,
            files=files,
            timeout=timeout,
        )
        return reply, self.sdk.errcode_of(api, reply)

    def _await_turn(self, api: str, members: Sequence[str]) -> None:
        if self._limiter is None:
            return
        limits = self._limits(api, members)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (wait := self._limiter.acquire(limits)) > 0:
            if time.monotonic() + wait > deadline:
                raise RateLimited(api, None, "our own limiter", retry_after=wait)
            time.sleep(wait)

    def _limits(self, api: str, members: Sequence[str]) -> list[Limit]:
        key = self._api_key(api)
        if api in UNCOUNTED:
            # No frequency of its own, but it can be blocked, so it asks with one wide limit.
            limits = [Limit(key, 1.0, 100_000)]
        else:
            limits = [row.on(key) for row in (*LIMITS["api"], *OWN_LIMITS.get(api, ()))]
        for userid in dict.fromkeys(one.lower() for one in members):
            limits += [row.on(f"{key}:{userid}") for row in LIMITS["member"]]
        return limits

    def _api_key(self, api: str) -> str:
        return f"{self.wecom.corp_id}:{api}"

    def _slot(self, api: str) -> AbstractContextManager[Any]:
        slot = self._slots.get(api)
        return nullcontext() if slot is None else slot

    def _failure(self, api: str, errcode: int, reply: Mapping[str, Any], token: Token) -> Exception:
        reason = self._safe_reason(reply, token)
        log.warning("event=wecom_refused api=%s errcode=%s", api, errcode)
        if errcode in TOKEN_ERRCODES:
            return TokenRejected(api, errcode, "refused even after one renewal")
        error = error_for(api, errcode, reason)
        if errcode == _RATE_ERRCODE:
            strike = self._strikes.get(api, 0)
            self._strikes[api] = strike + 1
            rest = self._block_seconds[min(strike, len(self._block_seconds) - 1)]
            if self._limiter is not None:
                self._limiter.block(self._api_key(api), rest)
            return RateLimited(api, errcode, reason, retry_after=rest)
        return error

    def _safe_reason(self, reply: Mapping[str, Any], token: Token) -> str:
        # WeCom appends a hint, our address and a link to every text; the words before are enough.
        words = str(reply.get("errmsg", "")).split(", hint:")[0].split(", from ip:")[0][:200]
        if any(secret in words for secret in (token.value, self.wecom.app_secret)):
            return ""
        return words


def fetch_ticket(
    call: Callable[..., dict[str, Any]], api: str, params: Mapping[str, str] | None = None
) -> tuple[str, int]:
    """Ask for a JS-SDK ticket: (ticket, seconds of life)."""
    reply = call(api, method="GET", params=params)
    ticket, life = reply.get("ticket"), reply.get("expires_in")
    if not isinstance(ticket, str) or not ticket:
        raise WeComUnavailable(api, 0, "the answer holds no ticket")
    return ticket, life if isinstance(life, int) else 7200
