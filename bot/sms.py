"""SMS (短信) through an HTTP gateway: one signed request a message, safe to repeat.

POST {SMS_GATEWAY_URL}/messages with {message_id, account, mobile, signature, template, params,
content, sent_at}: the template with its variables, and the whole text for gateways that want that.
`X-Signature` is the HMAC of `<X-Timestamp>.<body>`, as on our own events API. The gateway answers
{code, id, reason?} and takes a message_id once, however often it comes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any

import requests

from bot import errors
from bot.settings import SmsSettings
from bot.wecom import wire
from bot.wecom.bodies import freeze
from bot.wecom.exchange import TIMEOUT, Timeout, errcode_of, exchange

log = logging.getLogger(__name__)

API = "sms/messages"
# Documented for our own gateway protocol: how long it wants to rest when it says BUSY or TOO_FAST.
_REST_SECONDS = 60.0


class Code(IntEnum):
    """What a gateway answers."""

    OK = 0
    WRONG_SIGNATURE = 1
    NO_BALANCE = 2
    UNKNOWN_TEMPLATE = 3
    WRONG_MOBILE = 4
    #: The receiver has refused messages of this sender, at the gateway or at the operator.
    REFUSED_BY_RECEIVER = 5
    TOO_FAST = 6
    BUSY = 7


_RAISES: dict[int, type[errors.WeComError]] = {
    Code.WRONG_SIGNATURE: errors.NotConfigured,
    Code.NO_BALANCE: errors.NotConfigured,
    Code.UNKNOWN_TEMPLATE: errors.Refused,
    Code.WRONG_MOBILE: errors.UnknownPerson,
    Code.REFUSED_BY_RECEIVER: errors.UnknownPerson,
    Code.BUSY: errors.WeComUnavailable,
}


class SmsCarrier:
    """One account at a gateway. Safe to share between threads; raises only WeComError.

    `unseal` opens the mobile number of a frozen body: it stands in clear on the wire only.
    """

    def __init__(
        self, settings: SmsSettings, unseal: Callable[[bytes], str], *, pool_size: int = 16
    ) -> None:
        self._settings = settings
        self._unseal = unseal
        self._http = requests.Session()
        wire.configure(self._http, pool_size)

    def call(
        self, api: str, body: bytes, *, members: Sequence[str] = (), timeout: Timeout = TIMEOUT
    ) -> dict[str, Any]:
        """Send the message frozen in `body`; returns {code, id}."""
        if api != API:
            raise errors.Refused(api, None, "not a call of an SMS gateway")
        message = json.loads(body)
        try:
            mobile = self._unseal(base64.b64decode(message.pop("mobile_sealed")))
        except errors.DaogouError as error:
            # Sealed under another SECRET_KEY: nobody can read it any more.
            raise errors.UnknownPerson(api, None, str(error)) from None
        sent_at = str(int(time.time()))
        filled = {
            **message,
            "account": self._settings.account,
            "mobile": mobile,
            "sent_at": int(sent_at),
        }
        reply = self._post("messages", freeze(filled), sent_at, timeout)
        return {"code": 0, "id": str(reply.get("id", ""))[:200]}

    def check(self) -> None:
        """Ask for the account, so that doctor can say whether the gateway lets us in."""
        sent_at = str(int(time.time()))
        body = freeze({"account": self._settings.account, "sent_at": int(sent_at)})
        self._post("account", body, sent_at, TIMEOUT)

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()

    def _post(self, path: str, body: bytes, sent_at: str, timeout: Timeout) -> dict[str, Any]:
        api = f"sms/{path}"
        reply = exchange(
            self._http,
            "POST",
            f"{self._settings.gateway_url}/{path}",
            api=api,
            body=body,
            headers={
                "X-Timestamp": sent_at,
                "X-Signature": signature(self._settings.secret, sent_at, body),
            },
            timeout=timeout,
        )
        code = errcode_of(api, reply, "code")
        if code == Code.OK:
            return reply
        log.warning("event=sms_refused code=%s", code)
        # The gateway's own words might repeat the number; ours are enough.
        reason = Code(code).name if code in set(Code) else f"code {code}"
        if code == Code.TOO_FAST:
            raise errors.RateLimited(api, code, reason, retry_after=_REST_SECONDS)
        raise _RAISES.get(code, errors.Refused)(api, code, reason)


def message_body(
    message_id: str,
    mobile_sealed: bytes,
    signature: str,
    template: str,
    params: Mapping[str, str],
    content: str,
) -> bytes:
    """One message as it is kept: the mobile stays sealed, account and moment come at the call."""
    return freeze(
        {
            "message_id": message_id,
            "mobile_sealed": base64.b64encode(mobile_sealed).decode("ascii"),
            "signature": signature,
            "template": template,
            "params": dict(params),
            "content": content,
        }
    )


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What a request carries in `X-Signature`."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"
