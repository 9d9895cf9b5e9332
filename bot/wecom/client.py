"""wechatpy's client (WeChatClient) with its wire replaced: one base address, one bounded exchange.

Its own transport has no timeout for gettoken, retries a refused token without end, puts the
secret into cache keys and exceptions, and returns what is not JSON as if it were a result. All of
its API groups end in `_request`, which here leads to the gateway's one path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wechatpy.session import SessionStorage
from wechatpy.work import WeChatClient

from bot.errors import WeComUnavailable
from bot.settings import WeComSettings
from bot.wecom import wire
from bot.wecom.bodies import freeze
from bot.wecom.errcodes import error_for
from bot.wecom.exchange import TIMEOUT, Files, Timeout, errcode_of, exchange

__all__ = ["TIMEOUT", "Client", "Files", "NoStorage", "Timeout"]

Route = Callable[..., dict[str, Any]]


class NoStorage(SessionStorage):  # type: ignore[misc]
    """wechatpy wants a place for tokens; ours is PostgreSQL, so it gets one that keeps nothing."""

    def get(self, key: str, default: object = None) -> object:
        return default

    def set(self, key: str, value: object, ttl: int | None = None) -> None:
        raise TypeError("tokens live in bot.wecom.tokens")

    def delete(self, key: str) -> None:
        return None


class Client(WeChatClient):  # type: ignore[misc]
    """One corp's app on the wire. `route` is the gateway's call; safe to share between threads."""

    def __init__(self, wecom: WeComSettings, route: Route, *, pool_size: int) -> None:
        super().__init__(
            wecom.corp_id,
            wecom.app_secret,
            session=NoStorage(),
            timeout=TIMEOUT,
            auto_retry=False,
        )
        self.API_BASE_URL = wecom.api_base_url.rstrip("/").removesuffix("/cgi-bin") + "/cgi-bin/"
        self._route = route
        wire.configure(self._http, pool_size)

    def __repr__(self) -> str:
        return f"Client(corp={self.corp_id})"

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()

    @property
    def access_token_key(self) -> str:
        """Never a key of anything; the parent's holds ten letters of the secret."""
        return "unused"

    @property
    def access_token(self) -> str:
        """Nobody reads the token from here: the gateway puts it where it belongs."""
        # The parent's __new__ walks over all attributes and swallows only AttributeError.
        raise AttributeError("tokens live in bot.wecom.tokens")

    def fetch_access_token(self) -> dict[str, Any]:
        """Ask for a token: `access_token` and `expires_in`. Raises WeComError."""
        reply = self.exchange(
            "GET",
            "gettoken",
            params={"corpid": self.corp_id, "corpsecret": self.secret},
        )
        errcode = self.errcode_of("gettoken", reply)
        if errcode != 0:
            raise error_for("gettoken", errcode)
        if not isinstance(reply.get("access_token"), str) or not reply["access_token"]:
            raise WeComUnavailable("gettoken", 0, "the answer holds no token")
        return reply

    def exchange(
        self,
        method: str,
        api: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        files: Files | None = None,
        timeout: Timeout = TIMEOUT,
    ) -> dict[str, Any]:
        """One request and its JSON object; everything else is WeComUnavailable."""
        return exchange(
            self._http,
            method,
            self.API_BASE_URL + api,
            api=api,
            params=params,
            body=body,
            files=files,
            timeout=timeout,
        )

    @staticmethod
    def errcode_of(api: str, reply: Mapping[str, Any]) -> int:
        """The errcode as a number; without a readable one nothing is known about the effect."""
        return errcode_of(api, reply)

    def _request(self, method: str, url_or_endpoint: str, **kwargs: Any) -> Any:
        # Reached from wechatpy's API groups only.
        if url_or_endpoint.startswith(("http:", "https:", "//")) or "api_base_url" in kwargs:
            raise TypeError("wechatpy asked for an address outside the configured base")
        if kwargs.get("files"):
            raise TypeError("upload with the gateway's own methods")
        params = dict(kwargs.get("params") or {})
        params.pop("access_token", None)
        data = kwargs.get("data")
        reply = self._route(
            url_or_endpoint.lstrip("/"),
            freeze(data) if isinstance(data, dict) else data,
            method=method.upper(),
            params=params,
        )
        processor = kwargs.get("result_processor")
        return processor(reply) if processor else reply
