"""Template messages of the brand's official account (公众号模板消息), by wechatpy on our own wire.

Numbers and meanings: developers.weixin.qq.com/doc/offiaccount, "全局返回码说明". They overlap with
WeCom's and sometimes mean something else, so they have a table of their own.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wechatpy import WeChatClient

from bot import errors
from bot.settings import OfficialAccountSettings
from bot.wecom import wire
from bot.wecom.bodies import freeze
from bot.wecom.client import NoStorage
from bot.wecom.exchange import TIMEOUT, Timeout, errcode_of, exchange
from bot.wecom.tokens import Token, TokenName, TokenStore

log = logging.getLogger(__name__)

API = "message/template/send"
_APP = "mp"
#: The token is unknown, dead or wrong: turned away at the gate, nothing has happened.
_TOKEN_ERRCODES = frozenset({40001, 40014, 42001})
#: She does not follow the account (any more); she may tomorrow.
NOT_SUBSCRIBED = frozenset({43004})
#: The openid is none of this account's.
UNKNOWN_OPENID = frozenset({40003})
#: She follows it and has shut it out, or wants no such messages.
REFUSED = frozenset({43019, 43101})
_RAISES: dict[int, type[errors.WeComError]] = {
    -1: errors.WeComUnavailable,
    40001: errors.NotConfigured,
    40013: errors.NotConfigured,
    40125: errors.NotConfigured,
    40164: errors.NotConfigured,
    48001: errors.NotConfigured,
    50002: errors.NotConfigured,
    89503: errors.NotConfigured,
    **dict.fromkeys(NOT_SUBSCRIBED | UNKNOWN_OPENID | REFUSED, errors.UnknownPerson),
}
# 45009: the day's allowance is used up. 45011: too many in one minute.
_RESTS = {45009: 3600.0, 45011: 60.0}


class _Sdk(WeChatClient):  # type: ignore[misc]
    """wechatpy's client whose API groups all end in `send`; it keeps no token and no secret."""

    def __init__(self, app_id: str, send: Callable[[str, bytes], dict[str, Any]]) -> None:
        super().__init__(app_id, "", session=NoStorage(), timeout=TIMEOUT, auto_retry=False)
        self._send = send

    @property
    def access_token(self) -> str:
        # The parent's __new__ walks over all attributes and swallows only AttributeError.
        raise AttributeError("tokens live in bot.wecom.tokens")

    def _request(self, method: str, url_or_endpoint: str, **kwargs: Any) -> Any:
        if method.lower() != "post" or url_or_endpoint != API:
            raise TypeError("only template messages are sent here")
        return self._send(url_or_endpoint, freeze(dict(kwargs["data"])))


class OfficialAccount:
    """One official account. Safe to share between threads; raises only WeComError."""

    def __init__(
        self, settings: OfficialAccountSettings, *, tokens: TokenStore, pool_size: int = 16
    ) -> None:
        self._settings = settings
        self._base = settings.api_base_url.rstrip("/").removesuffix("/cgi-bin") + "/cgi-bin/"
        self._tokens = tokens
        self._sdk = _Sdk(settings.app_id, self._send)
        self._http = self._sdk._http
        wire.configure(self._http, pool_size)

    def call(
        self, api: str, body: bytes, *, members: Sequence[str] = (), timeout: Timeout = TIMEOUT
    ) -> dict[str, Any]:
        """Send the template message frozen in `body`; returns the reply with its msgid."""
        if api != API:
            raise errors.Refused(api, None, "not a call of an official account")
        message = json.loads(body)
        reply: dict[str, Any] = self._sdk.message.send_template(
            message["touser"], message["template_id"], message["data"], url=message.get("url")
        )
        return reply

    def check(self) -> None:
        """Ask for a token, so that doctor can say whether the account lets us in."""
        self._token()

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()

    def _send(self, api: str, body: bytes) -> dict[str, Any]:
        token = self._token()
        reply, errcode = self._exchange(api, token, body)
        if errcode in _TOKEN_ERRCODES:
            token = self._token(refused=token.version)
            reply, errcode = self._exchange(api, token, body)
            if errcode in _TOKEN_ERRCODES:
                raise errors.TokenRejected(api, errcode, "refused even after one renewal")
        if errcode != 0:
            log.warning("event=official_account_refused api=%s errcode=%s", api, errcode)
            raise _error(api, errcode, reply, self._settings.secret, token.value)
        return reply

    def _exchange(self, api: str, token: Token, body: bytes) -> tuple[dict[str, Any], int]:
        reply = exchange(
            self._http,
            "POST",
            self._base + api,
            api=api,
            params={"access_token": token.value},
            body=body,
        )
        return reply, errcode_of(api, reply)

    def _token(self, *, refused: int | None = None) -> Token:
        name = TokenName(self._settings.app_id, _APP)
        return self._tokens.get(name, self._fetch_token, refused=refused)

    def _fetch_token(self) -> tuple[str, int]:
        params = {
            "grant_type": "client_credential",
            "appid": self._settings.app_id,
            "secret": self._settings.secret,
        }
        reply = exchange(self._http, "GET", self._base + "token", api="token", params=params)
        value, life = reply.get("access_token"), reply.get("expires_in")
        if isinstance(value, str) and value:
            log.info("event=official_account_token_fetched app=%s", self._settings.app_id)
            return value, life if isinstance(life, int) else 7200
        raise _error("token", errcode_of("token", reply), reply, self._settings.secret)


def template_body(
    openid: str, template_id: str, data: Mapping[str, str], url: str | None = None
) -> bytes:
    """message/template/send: {touser, template_id, data: {name: {value}}, url?}."""
    body: dict[str, Any] = {
        "touser": openid,
        "template_id": template_id,
        "data": {name: {"value": value} for name, value in data.items()},
    }
    if url:
        body["url"] = url
    return freeze(body)


def _error(api: str, errcode: int, reply: Mapping[str, Any], *secrets: str) -> errors.WeComError:
    words = str(reply.get("errmsg", "")).split(" rid:")[0][:200]
    reason = "" if any(secret in words for secret in secrets) else words
    if errcode in _RESTS:
        return errors.RateLimited(api, errcode, reason, retry_after=_RESTS[errcode])
    return _RAISES.get(errcode, errors.Refused)(api, errcode, reason)
