"""What people read when something cannot be shown or done: one sentence, in the console's dress."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify, render_template, request
from werkzeug.exceptions import HTTPException

from bot.errors import UserError
from handlers.console import guard

_TITLES = {403: "不能这样做", 404: "没有找到"}
_SENTENCES = {404: "这个页面不存在，可能已被删除，或者地址不完整。"}


def register(bp: Blueprint) -> None:
    """Answer every refusal of this blueprint and its rooms."""
    bp.register_error_handler(UserError, _user_error)
    for code in (400, 403, 404, 405, 413):
        bp.register_error_handler(code, _http_error)


def _user_error(error: UserError) -> Any:
    if guard.wants_json() or request.is_json:
        return jsonify(error=error.message_zh, field=error.field), 400
    return _page("没有成功", error.message_zh), 400


def _http_error(error: HTTPException) -> Any:
    code = error.code or 500
    own_words = error.description if code == 403 and error.description else None
    sentence = own_words or _SENTENCES.get(code, "这个请求无法处理，请返回重试。")
    if guard.wants_json() or request.is_json:
        return jsonify(error=sentence, field=None), code
    return _page(_TITLES.get(code, "没有成功"), sentence), code


def _page(title: str, sentence: str) -> str:
    return render_template("console/problem.html", title=title, sentence=sentence)
