"""What a guide reads when something cannot be shown or done: one sentence, never a bare error."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, jsonify, render_template
from werkzeug.exceptions import HTTPException

from bot.errors import UserError
from handlers.h5 import guard

_TITLES = {403: "没有成功", 404: "没有找到"}
_SENTENCES = {
    404: "可能已经不在了，或者不是您的客户。",
    405: "请从页面上的按钮操作。",
    413: "内容太长了，请写短一些。",
}


def register(bp: Blueprint) -> None:
    """Answer every refusal of this blueprint and its rooms."""
    bp.register_error_handler(UserError, _user_error)
    for code in (400, 403, 404, 405, 413):
        bp.register_error_handler(code, _http_error)
    bp.add_url_rule("/<path:unknown>", "unknown", _unknown)


def _unknown(unknown: str) -> Any:
    # An address nobody serves would otherwise be answered by the bare framework.
    abort(404)


def _user_error(error: UserError) -> Any:
    if guard.is_partial():
        return jsonify(error=error.message_zh, field=error.field), 400
    return _page("没有成功", error.message_zh), 400


def _http_error(error: HTTPException) -> Any:
    code = error.code or 500
    own_words = error.description if code == 403 and error.description else None
    sentence = own_words or _SENTENCES.get(code, "这个请求无法处理，请返回重试。")
    if guard.is_partial():
        return jsonify(error=sentence, field=None), code
    return _page(_TITLES.get(code, "没有成功"), sentence), code


def _page(title: str, sentence: str) -> str:
    return render_template("h5/problem.html", title=title, sentence=sentence, again=False)
