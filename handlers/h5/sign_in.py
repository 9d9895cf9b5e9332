"""Sign-in of guides (网页授权): off to WeCom with a state that only this browser can bring back."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from sqlalchemy import func, select

from bot.crm import sign_ins
from bot.crm.models import Guide
from bot.crm.sign_ins import SignInKind
from bot.db import transaction
from bot.errors import WeComError
from bot.wecom import login
from handlers.h5 import guard
from handlers.web import the_bot

log = logging.getLogger(__name__)

bp = Blueprint("sign_in", __name__)

_STATE_COOKIE = "daogou_guide_state"
_LONGEST_CODE = 512


@bp.get("/login")
def depart() -> Any:
    """To WeCom's page, which sends back a code without asking the guide anything."""
    bot = the_bot()
    with transaction(bot.sessions) as session:
        next_path = guard.local_path(request.args.get("next"))
        departure = sign_ins.depart(session, next_path, bot.clock.real_now())
    back = _base() + url_for("h5.sign_in.arrive")
    answer = redirect(_page(login.guide_authorize_url(bot.settings.wecom, back, departure.state)))
    seconds = int(sign_ins.STATE_LIFE.total_seconds())
    guard.set_cookie(answer, _STATE_COOKIE, departure.cookie, seconds)  # type: ignore[arg-type]
    return answer


@bp.get("/login/return")
def arrive() -> Any:
    """Back with a code: WeCom says who it is, and only its answer counts."""
    bot = the_bot()
    now = bot.clock.real_now()
    with transaction(bot.sessions) as session:
        cookie = request.cookies.get(_STATE_COOKIE)
        next_path = sign_ins.arrive(session, request.args.get("state", ""), cookie, now)
    if next_path is None:
        return _refuse("这次登录已失效", "请关闭页面，从企业微信里重新打开。")
    code = request.args.get("code", "")
    if not code or len(code) > _LONGEST_CODE:
        return _refuse("没有完成登录", "企业微信没有告诉我们您是谁，请再试一次。")
    try:
        userid = bot.gateway.login_user(code)
    except WeComError as error:
        log.warning("guide sign-in by code failed api=%s errcode=%s", error.api, error.errcode)
        return _refuse("没有完成登录", "企业微信没有确认这次登录，请再试一次。")
    with transaction(bot.sessions) as session:
        # WeCom compares userids without case, and so does the directory's index.
        guide_id = session.scalar(
            select(Guide.id).where(func.lower(Guide.userid) == userid.lower(), Guide.is_active)
        )
        if guide_id is None:
            return _refuse("您还不在导购名单里", "请联系店长或总部，把您加入导购名单后再打开。")
        # A token from before the sign-in opens nothing afterwards.
        sign_ins.close(session, request.cookies.get(guard.cookie_name()))
        token = sign_ins.open(session, SignInKind.GUIDE, guide_id, now)
    answer = redirect(guard.local_path(next_path))
    guard.set_cookie(answer, guard.cookie_name(), token)  # type: ignore[arg-type]
    answer.delete_cookie(_STATE_COOKIE, path="/", secure=guard.is_secure(), httponly=True)
    return answer


def _base() -> str:
    bot = the_bot()
    # The sandbox answers under every name of this machine, and a cookie is kept per name.
    base = request.host_url if bot.settings.sandbox else bot.settings.public_base_url
    return base.rstrip("/")


def _page(url: str) -> str:
    if not the_bot().settings.sandbox:
        return url
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def _refuse(title: str, sentence: str) -> Any:
    page = render_template("h5/problem.html", title=title, sentence=sentence, again=True)
    return make_response(page, 403)
