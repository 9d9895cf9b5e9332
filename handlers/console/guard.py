"""The guard of the console (门禁): who is asking, may she, and does the request come from our page.

Everything is closed unless the tables here say otherwise; every answer carries the same headers.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from flask import Response, abort, g, jsonify, redirect, request, url_for

from bot.crm import sign_ins
from bot.crm.models import Operator, OperatorRole
from bot.crm.sign_ins import SignInKind
from bot.db import transaction
from handlers.web import the_bot

#: What answers people who are not signed in. Everything else asks them to sign in first.
OPEN = frozenset(
    {
        "console.static",
        "console.sign_in.page",
        "console.sign_in.by_password",
        "console.sign_in.by_demo",
        "console.sign_in.to_wecom",
        "console.sign_in.from_wecom",
    }
)
#: Writing requests that a viewer may make too.
VIEWER_MAY = frozenset({"console.sign_in.sign_out", "console.editor.describe"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_STATIC = Path(__file__).parent / "static"
_WELCOME_HOME = "/console/"
_STALE = "页面已过期，请刷新后再试"


@dataclass(frozen=True)
class Who:
    """The operator behind this request."""

    id: int
    username: str
    name: str
    role: OperatorRole

    @property
    def may_write(self) -> bool:
        """Viewers look, the others change."""
        return self.role != OperatorRole.VIEWER

    @property
    def actor(self) -> str:
        """As the audit log and the versions write it."""
        return f"operator:{self.username}"


def admit() -> Any:
    """Let a request in, or answer it here."""
    g.nonce = secrets.token_urlsafe(16)
    g.who, g.csrf = None, None
    if request.endpoint == "console.static":
        return None
    _recognize()
    if g.who is None and request.endpoint not in OPEN:
        return _ask_to_sign_in()
    if request.method not in _SAFE:
        _check_form_token()
        may = g.who is None or g.who.may_write or request.endpoint in VIEWER_MAY
        if not may:
            abort(403, "您的账号只能查看，要修改请联系管理员")
    return None


def who() -> Who:
    """The operator of a guarded request."""
    found: Who = g.who
    return found


def _recognize() -> None:
    bot = the_bot()
    token = request.cookies.get(cookie_name())
    if token:
        with transaction(bot.sessions) as session:
            found = sign_ins.read(session, token, bot.clock.real_now())
            if found is not None and found.kind == SignInKind.OPERATOR:
                row = session.get_one(Operator, found.subject_id)
                g.who = Who(row.id, row.username, row.name, OperatorRole(row.role))
                g.csrf = found.csrf
                return
    # Before the sign-in the form token hangs on a cookie of its own.
    door = request.cookies.get(door_cookie_name())
    g.csrf = sign_ins.csrf_of(door) if door else None


def _check_form_token() -> None:
    given = request.headers.get("X-CSRF-Token") or request.form.get("csrf") or ""
    if not g.csrf or not hmac.compare_digest(given.encode(), str(g.csrf).encode()):
        abort(403, _STALE)


def _ask_to_sign_in() -> Any:
    if request.method not in _SAFE or wants_json():
        return jsonify(error="登录已过期，请重新登录"), 401
    wanted = request.full_path.rstrip("?")
    if wanted == _WELCOME_HOME:
        return redirect(url_for("console.sign_in.page"))
    return redirect(url_for("console.sign_in.page", next=wanted))


def wants_json() -> bool:
    """Whether a script of ours asks, not the address bar."""
    return request.headers.get("X-Requested-With") == "fetch"


def local_path(wanted: str | None) -> str:
    """`wanted` if it is a path of this console, else its front page: never another site."""
    path = wanted or ""
    is_plain = path.isprintable() and "\\" not in path and "//" not in path
    return path if is_plain and path.startswith(_WELCOME_HOME) else _WELCOME_HOME


def is_secure() -> bool:
    """Whether the console is reached over https."""
    return the_bot().settings.public_base_url.startswith("https://")


def cookie_name() -> str:
    """The cookie of a sign-in; over https the browser itself keeps it to this host."""
    return "__Host-daogou-console" if is_secure() else "daogou_console"


def door_cookie_name() -> str:
    """The cookie of somebody who is not signed in yet."""
    return "__Host-daogou-door" if is_secure() else "daogou_door"


def set_cookie(response: Response, name: str, value: str, seconds: int | None = None) -> None:
    """A cookie no script can read and no other site can send along."""
    response.set_cookie(
        name, value, max_age=seconds, path="/", httponly=True, secure=is_secure(), samesite="Lax"
    )


def finish(response: Response) -> Response:
    """The headers of every answer."""
    if request.endpoint == "console.static":
        is_named = request.args.get("v") is not None
        keep = "public, max-age=31536000, immutable" if is_named else "no-cache"
        response.headers["Cache-Control"] = keep
        return response
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Content-Security-Policy"] = "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'nonce-{g.get('nonce', '')}'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    )
    if is_secure():
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    return response


def context() -> dict[str, Any]:
    """What every template knows."""
    return {
        "who": g.get("who"),
        "csrf": g.get("csrf"),
        "nonce": g.get("nonce"),
        "asset": asset,
        "is_sandbox": the_bot().settings.sandbox,
    }


def asset(name: str) -> str:
    """The address of a file under static/, which changes when the file does."""
    return url_for("console.static", filename=name, v=_mark(name))


@cache
def _mark(name: str) -> str:
    return hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:12]
