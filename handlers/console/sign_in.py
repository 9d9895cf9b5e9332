"""Sign-in of HQ (登录): demo accounts in the sandbox, passwords, WeCom QR; and signing out."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from flask import (
    Blueprint,
    Response,
    abort,
    g,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bot.crm import operators, sign_ins
from bot.crm.models import Brand, Operator, OperatorRole
from bot.crm.operators import WrongPassword
from bot.crm.sign_ins import SignInKind
from bot.db import transaction
from bot.errors import UserError, WeComError
from bot.limiter import Limit, Limiter
from bot.wecom import login
from handlers.console import guard
from handlers.web import the_bot

log = logging.getLogger(__name__)

bp = Blueprint("sign_in", __name__)

#: The accounts of the sandbox: username → (name, what she may do, role).
DEMO: dict[str, tuple[str, str, OperatorRole]] = {
    "demo-admin": ("陈静", "总部管理员 · 可以做所有事", OperatorRole.ADMIN),
    "demo-editor": ("林晓", "会员运营 · 编辑并发布 SOP", OperatorRole.EDITOR),
    "demo-viewer": ("周航", "区域督导 · 只能查看", OperatorRole.VIEWER),
}
_STATE_COOKIE = "daogou_console_state"
# An office shares one address, so this is wider than the five tries of one account.
_PER_ADDRESS = {"per": 900.0, "count": 60, "burst": 30}


@bp.get("/sign-in")
def page() -> Any:
    """The sign-in page; who is signed in goes on."""
    if g.who is not None:
        return redirect(guard.local_path(request.args.get("next")))
    return _page()


@bp.post("/sign-in")
def by_password() -> Any:
    """Username and password; five wrong ones close the account for a while."""
    bot = the_bot()
    limit = Limit(f"console:sign-in:{request.remote_addr}", **_PER_ADDRESS)  # type: ignore[arg-type]
    if Limiter(None, bot.sessions).acquire([limit]) > 0:
        return _page("尝试次数过多，请稍后再试", 429)
    now = bot.clock.real_now()
    username, password = request.form.get("username", ""), request.form.get("password", "")
    if "\x00" in username or len(password) > 1000:
        return _page("账号或密码不对", 400)
    try:
        with transaction(bot.sessions) as session:
            operator = operators.sign_in(session, username, password, now)
            return _enter(session, operator)
    except WrongPassword as error:
        if error.operator_id is not None:
            with transaction(bot.sessions) as session:
                operators.count_failure(session, error.operator_id, now)
        return _page(error.message_zh, 400, username=username)
    except UserError as error:
        return _page(error.message_zh, 400, username=username)


@bp.post("/sign-in/demo")
def by_demo() -> Any:
    """One tap, in the sandbox only; elsewhere this address does not exist."""
    bot = the_bot()
    if not bot.settings.sandbox:
        abort(404)
    username = request.form.get("account", "")
    if username not in DEMO:
        abort(404)
    with transaction(bot.sessions) as session:
        operator_id = _demo_account(session, username)
        return _enter(session, session.get_one(Operator, operator_id))


@bp.get("/sign-in/wecom")
def to_wecom() -> Any:
    """Off to the QR code, with a state that only this browser can bring back, once."""
    bot = the_bot()
    with transaction(bot.sessions) as session:
        next_path = guard.local_path(request.args.get("next"))
        departure = sign_ins.depart(session, next_path, bot.clock.real_now())
    back = bot.settings.public_base_url.rstrip("/") + url_for("console.sign_in.from_wecom")
    answer = redirect(login.console_login_url(bot.settings.wecom, back, departure.state))
    seconds = int(sign_ins.STATE_LIFE.total_seconds())
    guard.set_cookie(answer, _STATE_COOKIE, departure.cookie, seconds)  # type: ignore[arg-type]
    return answer


@bp.get("/sign-in/wecom/return")
def from_wecom() -> Any:
    """Back from the QR code: WeCom says who it is, and only its answer counts."""
    bot = the_bot()
    now = bot.clock.real_now()
    with transaction(bot.sessions) as session:
        cookie = request.cookies.get(_STATE_COOKIE)
        next_path = sign_ins.arrive(session, request.args.get("state", ""), cookie, now)
    if next_path is None:
        return _page("这次扫码登录已失效，请重新扫码", 403)
    code = request.args.get("code", "")
    if not code:
        return _page("没有完成扫码，请再试一次", 400)
    try:
        userid = bot.gateway.login_user(code)
        with transaction(bot.sessions) as session:
            return _enter(session, operators.by_userid(session, userid, now), next_path)
    except UserError as error:
        return _page(error.message_zh, 403)
    except WeComError as error:
        log.warning("console sign-in by code failed api=%s errcode=%s", error.api, error.errcode)
        return _page("企业微信没有确认这次登录，请再试一次", 403)


@bp.post("/sign-out")
def sign_out() -> Any:
    """End this sign-in."""
    with transaction(the_bot().sessions) as session:
        sign_ins.close(session, request.cookies.get(guard.cookie_name()))
    answer = redirect(url_for("console.sign_in.page"))
    answer.delete_cookie(guard.cookie_name(), path="/", secure=guard.is_secure(), httponly=True)
    return answer


def _enter(session: Session, operator: Operator, next_path: str | None = None) -> Any:
    now = the_bot().clock.real_now()
    # A token from before the sign-in opens nothing afterwards.
    sign_ins.close(session, request.cookies.get(guard.cookie_name()))
    token = sign_ins.open(session, SignInKind.OPERATOR, operator.id, now)
    wanted = next_path or request.form.get("next")
    answer = redirect(guard.local_path(wanted))
    guard.set_cookie(answer, guard.cookie_name(), token)  # type: ignore[arg-type]
    log.info("console sign-in operator=%s", operator.id)
    return answer


def _demo_account(session: Session, username: str) -> int:
    known = select(Operator.id).where(Operator.username == username, Operator.is_active)
    found = session.scalar(known)
    if found is not None:
        return found
    name, _, role = DEMO[username]
    try:
        with session.begin_nested():
            # Nobody knows this password: the account is reached by the tap only.
            password = secrets.token_urlsafe(32)
            return operators.save(session, username, name=name, role=role, password=password).id
    except IntegrityError:
        # Two first taps at once: the other one made it.
        return session.scalars(known).one()


def _page(problem: str | None = None, status: int = 200, *, username: str = "") -> Response:
    bot = the_bot()
    door = request.cookies.get(guard.door_cookie_name())
    fresh = door or secrets.token_urlsafe(32)
    g.csrf = sign_ins.csrf_of(fresh)
    wanted = request.values.get("next")
    next_path = guard.local_path(wanted) if wanted else ""
    with transaction(bot.sessions) as session:
        brand = session.get(Brand, 1)
        html = render_template(
            "console/sign_in.html",
            brand_name=brand.name if brand else "",
            demo=DEMO if bot.settings.sandbox else {},
            problem=problem,
            username=username,
            next_path=next_path,
        )
    answer = make_response(html, status)
    if door is None:
        guard.set_cookie(answer, guard.door_cookie_name(), fresh)
    return answer
