"""The guard of the guides' pages (门禁): which guide is asking, and does it come from our page.

Everything is closed unless OPEN says otherwise; every answer carries the same headers.
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
from sqlalchemy import select

from bot.crm import sign_ins
from bot.crm.models import Guide, Store
from bot.crm.sign_ins import SignInKind
from bot.db import transaction
from handlers.web import the_bot

#: What answers people who are not signed in. Everything else sends them to WeCom first.
OPEN = frozenset({"h5.static", "h5.sign_in.depart", "h5.sign_in.arrive"})
HOME = "/h5/today"
#: No row has a larger id, and the database cannot even compare it.
LARGEST_ID = 2**63 - 1
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_STATIC = Path(__file__).parent / "static"
_PREFIX = "/h5/"
_STALE = "页面放得太久了，请刷新后再试"
# The pretend phone writes here whose it is (sandbox only).
_PHONE_COOKIE = "sandbox_userid"
# The hosts the WeCom script and WeChat's pictures come from.
_WECOM_SCRIPTS = "https://res.wx.qq.com https://wwcdn.weixin.qq.com https://open.work.weixin.qq.com"
_PICTURES = "https://wx.qlogo.cn https://thirdwx.qlogo.cn https://wework.qpic.cn"


@dataclass(frozen=True)
class Viewer:
    """The guide behind this request."""

    id: int
    userid: str
    name: str
    store_id: int | None
    store_name: str
    is_manager: bool

    @property
    def sees_store(self) -> bool:
        """A manager sees the customers of her whole store."""
        return self.is_manager and self.store_id is not None


def admit() -> Any:
    """Let a request in, or answer it here."""
    g.nonce = secrets.token_urlsafe(16)
    g.viewer, g.csrf = None, None
    if request.endpoint in OPEN:
        return None
    _recognize()
    if g.viewer is None:
        return _ask_to_sign_in()
    if request.method not in _SAFE:
        _check_form_token()
    if any(isinstance(one, int) and one > LARGEST_ID for one in (request.view_args or {}).values()):
        abort(404)
    return None


def viewer() -> Viewer:
    """The guide of a guarded request."""
    found: Viewer = g.viewer
    return found


def _recognize() -> None:
    bot = the_bot()
    token = request.cookies.get(cookie_name())
    if not token:
        return
    with transaction(bot.sessions) as session:
        found = sign_ins.read(session, token, bot.clock.real_now())
        if found is None or found.kind != SignInKind.GUIDE:
            return
        guide, store_name = session.execute(
            select(Guide, Store.name)
            .outerjoin(Store, Store.id == Guide.store_id)
            .where(Guide.id == found.subject_id)
        ).one()
        if _is_another_phone(guide.userid):
            return
        g.viewer = Viewer(
            guide.id, guide.userid, guide.name, guide.store_id, store_name or "", guide.is_manager
        )
        g.csrf = found.csrf


def _is_another_phone(userid: str) -> bool:
    """In the sandbox one browser plays the phones of all guides, one after the other."""
    if not the_bot().settings.sandbox:
        return False
    owner = request.cookies.get(_PHONE_COOKIE, "")
    return bool(owner) and owner.lower() != userid.lower()


def _check_form_token() -> None:
    given = request.headers.get("X-CSRF-Token") or request.form.get("csrf") or ""
    if not g.csrf or not hmac.compare_digest(given.encode(), str(g.csrf).encode()):
        abort(403, _STALE)


def _ask_to_sign_in() -> Any:
    if request.method not in _SAFE or is_partial():
        return jsonify(error="登录已过期，请重新打开页面"), 401
    return redirect(url_for("h5.sign_in.depart", next=request.full_path.rstrip("?")))


def is_partial() -> bool:
    """Whether a script of ours asks for a part of the page, not the address bar."""
    return request.headers.get("HX-Request") == "true"


def local_path(wanted: str | None) -> str:
    """`wanted` if it is a path of these pages, else today's list: never another site."""
    path = wanted or ""
    is_plain = path.isprintable() and path.isascii() and "\\" not in path and "//" not in path
    return path if is_plain and path.startswith(_PREFIX) and ".." not in path else HOME


def is_secure() -> bool:
    """Whether the pages are reached over https."""
    return the_bot().settings.public_base_url.startswith("https://")


def cookie_name() -> str:
    """The cookie of a sign-in; over https the browser itself keeps it to this host."""
    return "__Host-daogou-guide" if is_secure() else "daogou_guide"


def set_cookie(response: Response, name: str, value: str, seconds: int | None = None) -> None:
    """A cookie no script can read and no other site can send along."""
    response.set_cookie(
        name, value, max_age=seconds, path="/", httponly=True, secure=is_secure(), samesite="Lax"
    )


def finish(response: Response) -> Response:
    """The headers of every answer."""
    if request.endpoint == "h5.static":
        is_named = request.args.get("v") is not None
        keep = "public, max-age=31536000, immutable" if is_named else "no-cache"
        response.headers["Cache-Control"] = keep
        return response
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "same-origin"
    # The pretend phone shows these pages in a frame of the same site.
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    response.headers["Content-Security-Policy"] = "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'nonce-{g.get('nonce', '')}' {_WECOM_SCRIPTS}",
            "style-src 'self'",
            f"img-src 'self' data: {_PICTURES}",
            "connect-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
            "object-src 'none'",
            "base-uri 'none'",
        )
    )
    if is_secure():
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    return response


def context() -> dict[str, Any]:
    """What every template knows."""
    return {
        "viewer": g.get("viewer"),
        "csrf": g.get("csrf") or "",
        "nonce": g.get("nonce", ""),
        "asset": asset,
        "is_partial": is_partial(),
    }


def asset(name: str) -> str:
    """The address of a file under static/, which changes when the file does."""
    return url_for("h5.static", filename=name, v=_mark(name))


@cache
def _mark(name: str) -> str:
    return hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:12]
