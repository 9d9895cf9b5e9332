"""Room: the lost (流失): who deleted whom, and what was between them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Blueprint, render_template, request

from bot.clock import business_day
from bot.crm import lost
from bot.crm.lost import Direction
from bot.db import transaction
from handlers.console import days, filters
from handlers.web import the_bot

bp = Blueprint("lost", __name__, url_prefix="/lost")

_SPAN = timedelta(days=30)
_DIRECTION_WORDS: dict[str, str] = {"customer": "客户删除导购", "guide": "导购删除客户"}


@bp.get("/")
def page() -> Any:
    """The relations that ended since a day; day, direction, store and place stay in the address."""
    today = business_day(the_bot().clock.now())
    first = days.read(request.args.get("since"), today - _SPAN)
    wanted = request.args.get("direction", "")
    direction = Direction(wanted) if wanted in _DIRECTION_WORDS else None
    cursor = request.args.get("cursor")
    with transaction(the_bot().sessions) as session:
        chosen = filters.read(session)
        found = lost.page(
            session,
            first=first,
            last=today,
            direction=direction,
            store_id=chosen.store_id,
            cursor=cursor,
        )
    return render_template(
        "console/lost.html",
        found=found,
        first=first,
        direction=direction,
        directions=_DIRECTION_WORDS,
        filters=chosen,
        kept={"since": first.isoformat()}
        | ({"direction": direction.value} if direction else {})
        | ({"store": chosen.store_id} if chosen.store_id else {}),
    )
