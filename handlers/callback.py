"""Door: callbacks of WeCom (回调). Kept durably, then answered; nothing is done here."""

from __future__ import annotations

import logging
import threading

from flask import Blueprint, Response, current_app, request

from bot import metrics
from bot.bot import Bot
from bot.errors import CallbackError
from bot.receiving import Receiver, keys_of, spool_of
from bot.wecom import callback

log = logging.getLogger(__name__)

bp = Blueprint("callback", __name__)

_STATUS = {"bad_signature": 403, "bad_body": 400, "too_large": 413, "unreadable": 400}
_making = threading.Lock()


@bp.get("/wecom/callback")
def check_address() -> Response:
    """WeCom checks the address when HQ saves it: answer the decrypted echo, nothing around it."""
    try:
        echo = callback.verify_echo(keys_of(_bot()), request.args)
    except CallbackError as error:
        return _refuse(error)
    metrics.CALLBACKS.labels("verified").inc()
    return Response(echo, mimetype="text/plain")


@bp.post("/wecom/callback")
def receive() -> Response:
    """Keep one message and answer an empty 200; 503 only when there is nowhere to keep it."""
    body = _body()
    if body is None:
        metrics.CALLBACKS.labels("too_large").inc()
        return Response(status=413)
    try:
        receipt = _receiver().take(request.args.to_dict(), body, _bot().clock.now())
    except CallbackError as error:
        return _refuse(error)
    except OSError as error:
        # Neither PostgreSQL nor the disk has room: WeCom shall keep it and come again.
        log.error("callback unavailable reason=%s", type(error).__name__)
        metrics.CALLBACKS.labels("unavailable").inc()
        return Response(status=503)
    metrics.CALLBACKS.labels(receipt.value).inc()
    return Response(status=200)


def _body() -> bytes | None:
    """The body, or None if it is over the limit; read with its own bound, whatever it announces."""
    announced = request.content_length
    if announced is not None and announced > callback.BODY_LIMIT:
        return None
    body = bytearray()
    while len(body) <= callback.BODY_LIMIT:
        piece = request.stream.read(callback.BODY_LIMIT + 1 - len(body))
        if not piece:
            return bytes(body)
        body += piece
    return None


def _refuse(error: CallbackError) -> Response:
    metrics.CALLBACKS.labels(error.kind).inc()
    log.info("callback refused kind=%s reason=%s", error.kind, error.reason)
    return Response(status=_STATUS.get(error.kind, 400))


def _bot() -> Bot:
    bot: Bot = current_app.extensions["bot"]
    return bot


def _receiver() -> Receiver:
    """The receiver of this process; made at its first message, because processes are forked."""
    found: Receiver | None = current_app.extensions.get("receiver")
    if found is None:
        with _making:
            found = current_app.extensions.get("receiver")
            if found is None:
                bot = _bot()
                found = Receiver(bot.engine, keys_of(bot), bot.bells, spool_of(bot))
                current_app.extensions["receiver"] = found
    return found
