"""The sandbox as a Flask app: the platform on the wire, login pages, files, /api."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    make_response,
    redirect,
    render_template_string,
    request,
)
from werkzeug.wrappers import Response as AnyResponse

from bot.sandbox import login, official_account, phones, qr, sms, world_api
from bot.sandbox.calls import CALLS
from bot.sandbox.config import SandboxConfig
from bot.sandbox.fields import Upload
from bot.sandbox.pipeline import FrontDoor, Request
from bot.sandbox.postman import Postman
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town

# A phone of the sandbox remembers in this cookie whose it is.
PHONE_COOKIE = "sandbox_userid"
_LARGEST_BODY = 24 * 1024 * 1024
_PICKER = """<!doctype html><html lang="zh-CN"><meta charset="utf-8"><title>选择身份</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<body style="font:17px/24px 'PingFang SC','Noto Sans CJK SC',system-ui;margin:0 auto;
 max-width:480px;padding:24px 16px;color:#1a1d21">
<h1 style="font-size:22px;margin:0 0 12px">以谁的身份登录？</h1>
{% for one in members %}<a href="{{ one.href }}" style="display:flex;justify-content:space-between;
 padding:12px 0;border-top:1px solid #e8eaee;color:inherit;text-decoration:none">{{ one.name }}
<span style="color:#646d7e;font-size:15px">{{ one.userid }}</span></a>
{% else %}<p>企业里还没有成员。</p>{% endfor %}</body></html>"""


@dataclass(frozen=True)
class Sandbox:
    """What `app.extensions["sandbox"]` holds."""

    town: Town
    postman: Postman


def create_sandbox(config: SandboxConfig) -> Flask:
    """The app of one pretend corp. Its postman begins with the first request of each process,
    or when `app.extensions["sandbox"].postman.start()` is called."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY
    town = Town(config)
    sandbox = Sandbox(town, Postman(town))
    app.extensions["sandbox"] = sandbox
    app.before_request(sandbox.postman.start)
    app.register_blueprint(_platform(town))
    app.register_blueprint(_pages(town))
    app.register_blueprint(world_api.blueprint(town))
    app.register_blueprint(phones.blueprint(town))
    app.register_blueprint(sms.blueprint(town))
    app.register_blueprint(official_account.blueprint(town))
    return app


def _platform(town: Town) -> Blueprint:
    platform = Blueprint("sandbox_platform", __name__, url_prefix="/platform/cgi-bin")
    door = FrontDoor(town)

    @platform.route("/<path:api>", methods=["GET", "POST"])
    def call(api: str) -> Response:
        if api not in CALLS:
            abort(404)
        uploads = tuple(
            Upload(one.filename or "", one.mimetype, one.read()) for one in request.files.values()
        )
        reply = door.answer(
            Request(
                api,
                request.method,
                request.args,
                b"" if CALLS[api].is_upload else request.get_data(),
                uploads,
                request.remote_addr or "127.0.0.1",
            )
        )
        response = make_response(reply.body, reply.status)
        response.headers["Content-Type"] = reply.content_type
        return response

    return platform


def _pages(town: Town) -> Blueprint:
    pages = Blueprint("sandbox_doors", __name__)

    @pages.get("/connect/oauth2/authorize")
    @pages.get("/oauth2/authorize")
    @pages.get("/wwlogin/sso/login")
    def authorize() -> AnyResponse:
        return _authorize(town)

    @pages.get("/qr/<config_id>")
    def code_picture(config_id: str) -> Response:
        return Response(qr.picture(config_id), mimetype="image/svg+xml")

    @pages.get("/media/<media_id>")
    def file(media_id: str) -> Response:
        with town.read() as db:
            row = db.execute("SELECT * FROM media WHERE media_id = ?", (media_id,)).fetchone()
        if row is None:
            abort(404)
        response = Response(row["data"], mimetype=_safe_type(row["kind"], row["data"]))
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return pages


def _safe_type(kind: str, data: bytes) -> str:
    """Pictures and films as such; whatever else was uploaded is never shown as a page."""
    if kind in ("image", "picture", "moment_image"):
        return "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
    return "video/mp4" if kind in ("video", "moment_video") else "application/octet-stream"


def _authorize(town: Town) -> AnyResponse:
    """Back to the app with a code: of the phone's owner, or of whom the visitor picks."""
    args = request.args
    target, state = args.get("redirect_uri", ""), args.get("state", "")
    try:
        login.check_door(town, args.get("appid", ""), args.get("agentid", ""), target)
        userid = args.get("userid") or request.cookies.get(PHONE_COOKIE, "")
        if userid:
            return redirect(login.go_back(town, userid, target, state))
    except Refusal as refusal:
        return make_response(f"{refusal.errcode} {refusal.text}", 400)
    return make_response(render_template_string(_PICKER, members=_choices(town)))


def _choices(town: Town) -> list[dict[str, Any]]:
    with town.read() as db:
        rows = db.execute(
            "SELECT userid, name FROM member WHERE is_visible AND status = 1 "
            "ORDER BY department_id, is_leader DESC, userid LIMIT 200"
        ).fetchall()
    here = request.full_path
    glue = "" if here.endswith("?") else "&"
    script = request.script_root
    return [
        {
            "userid": row["userid"],
            "name": row["name"],
            "href": f"{script}{here}{glue}userid={row['userid']}",
        }
        for row in rows
    ]
