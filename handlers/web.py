"""The web process around its doors: health, metrics, headers, and errors in one sentence."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import shutil
from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify, redirect, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from bot.bot import Bot
from bot.embedded import schema_version
from bot.errors import UserError

log = logging.getLogger(__name__)

bp = Blueprint("health", __name__)

# Below this an installation is soon unable to keep a callback.
_FREE_BYTES = 64 * 1024 * 1024
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "SAMEORIGIN",
}


def prepare(app: Flask, bot: Bot) -> None:
    """Give an app its bot, its keys, and what every answer has in common."""
    app.extensions["bot"] = bot
    # Read now: a program renewed on disk must not judge the process that runs still.
    schema_version.scripts()
    app.secret_key = bot.settings.secret_key
    app.config.update(
        SESSION_COOKIE_NAME="daogou",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=bot.settings.public_base_url.startswith("https://"),
        MAX_CONTENT_LENGTH=32 * 1024 * 1024,
    )
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.register_blueprint(bp)
    app.after_request(_finish)
    app.register_error_handler(UserError, _user_error)
    app.register_error_handler(Exception, _unexpected)


def the_bot() -> Bot:
    """The bot of the app that answers this request."""
    bot: Bot = current_app.extensions["bot"]
    return bot


def _finish(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _user_error(error: UserError) -> tuple[Response, int]:
    return jsonify(error=error.message_zh, field=error.field), 400


def _unexpected(error: Exception) -> Any:
    if isinstance(error, HTTPException):
        return error
    # The last door: what nobody foresaw is logged whole and told to nobody.
    log.exception("request path=%s failed", request.path)
    return Response("出错了，请稍后再试。", 500, mimetype="text/plain")


@bp.get("/")
def index() -> Any:
    """The front page: the sandbox's phones, or HQ's console."""
    return redirect("/sandbox/" if the_bot().settings.sandbox else "/console/")


@bp.get("/healthz")
def healthz() -> Response:
    """Alive; asks nobody."""
    return Response("ok\n", mimetype="text/plain")


@bp.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Ready: database, migrations and disk in order. Redis away is `degraded`, and still ready.

    A structure newer than this process is no reason: it serves on until it is replaced.
    """
    bot = the_bot()
    wrong, degraded = [], []
    try:
        with bot.engine.connect() as connection:
            found = frozenset(connection.scalars(text(schema_version.QUERY)))
        if schema_version.fit(found) is schema_version.Fit.OLD:
            wrong.append("migrations")
    except SQLAlchemyError:
        wrong.append("database")
    if shutil.disk_usage(bot.settings.var_dir).free < _FREE_BYTES:
        wrong.append("disk")
    if not bot.bells.answers():
        degraded.append("redis")
    return jsonify(ready=not wrong, wrong=wrong, degraded=degraded), 503 if wrong else 200


@bp.get("/metrics")
def metrics() -> Response:
    """Prometheus text, for this machine, or for who shows the token `daogou doctor` prints."""
    if not (_is_from_here() or _has_token()):
        return Response(status=404)
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)


def metrics_token(secret_key: str) -> str:
    """The bearer token of `/metrics`, as good as SECRET_KEY and telling nothing of it."""
    return hmac.new(secret_key.encode(), b"metrics", hashlib.sha256).hexdigest()


def _is_from_here() -> bool:
    """Whether the caller, and everybody a proxy names before it, is this machine.

    The names can be made up, so each of them can only speak against the caller.
    """
    if "Forwarded" in request.headers:
        return False
    named = [*request.headers.getlist("X-Forwarded-For"), *request.headers.getlist("X-Real-Ip")]
    callers = ",".join([request.remote_addr or "", *named]).split(",")
    try:
        return all(ipaddress.ip_address(caller.strip()).is_loopback for caller in callers)
    except ValueError:
        return False


def _has_token() -> bool:
    given = request.headers.get("Authorization", "").encode("utf-8", "replace")
    wanted = f"Bearer {metrics_token(the_bot().settings.secret_key)}".encode()
    return hmac.compare_digest(given, wanted)
