"""The pages of the sandbox (双机演示): two phones side by side, and the link of a 客服 account."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from bot.sandbox.town import Town

# Who holds the guide's phone when somebody opens the page for the first time.
FIRST_GUIDE = "linxiaoyu"
_LOOPBACK = frozenset({"127.0.0.1", "localhost"})


def blueprint(town: Town) -> Blueprint:
    """`/`, `/kf/<open_kfid>` and the files of the page."""
    pages = Blueprint(
        "sandbox_phones",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/static",
    )

    @pages.get("/")
    def phones() -> AnyResponse:
        return _page(town)

    @pages.get("/kf/<open_kfid>")
    def customer_service(open_kfid: str) -> AnyResponse:
        """What a customer opens from a link: the phones, with this account's chat in front."""
        with town.read() as db:
            known = db.execute(
                "SELECT 1 FROM kf_account WHERE open_kfid = ?", (open_kfid,)
            ).fetchone()
        if known is None:
            abort(404)
        return _page(town, open_kfid)

    @pages.after_request
    def guard(response: Response) -> Response:
        # People's names and words are shown here: nothing but our own files may run. Pictures of
        # link cards come from wherever HQ keeps them.
        response.headers["Content-Security-Policy"] = "; ".join(
            [
                "default-src 'none'",
                "script-src 'self'",
                "style-src 'self'",
                "img-src 'self' data: http: https:",
                "media-src 'self'",
                "connect-src 'self'",
                f"frame-src 'self' {_origin(town)}",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
            ]
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        return response

    return pages


def _page(town: Town, open_kfid: str = "") -> AnyResponse:
    elsewhere = _usual_address(town)
    if elsewhere:
        return redirect(elsewhere)
    page = render_template(
        "sandbox/phones.html",
        corp_name=town.config.corp_name,
        app_name=town.config.app_name,
        first_guide=FIRST_GUIDE,
        mount=request.script_root,
        open_kfid=open_kfid,
        app_origin=_origin(town),
    )
    response = make_response(page)
    response.headers["Cache-Control"] = "no-store"
    return response


def _origin(town: Town) -> str:
    """Where the app's own pages live: the address that its cards and login links use."""
    address = urlsplit(town.config.public_base_url)
    return f"{address.scheme}://{address.netloc}"


def _usual_address(town: Town) -> str:
    """The same page under the configured name of this machine, "" if it is open there already.

    Links of the app lead to that name; under another one (localhost for 127.0.0.1) its pages
    would be strangers in the phone's browser and never see whose phone it is.
    """
    usual, here = urlsplit(town.config.public_base_url), urlsplit(request.base_url)
    is_alias = usual.hostname in _LOOPBACK and here.hostname in _LOOPBACK
    if not is_alias or usual.port != here.port or usual.hostname == here.hostname:
        return ""
    return f"{usual.scheme}://{usual.netloc}{here.path}"
