"""Why something came to nothing (原因): the button she tapped, or words of her own."""

from __future__ import annotations

from flask import request

from bot.errors import UserError

_LONGEST = 200


def told() -> str:
    """The reason of this request's form; UserError where there is none to keep."""
    reason = (request.form.get("reason") or request.form.get("own_words") or "").strip()
    if not reason:
        raise UserError("请选一个原因，或者写一句", field="own_words")
    if len(reason) > _LONGEST or "\0" in reason:
        raise UserError(f"原因请写在 {_LONGEST} 个字以内", field="own_words")
    return reason
