"""Her customers (客户): the newest first, and found by a name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, render_template, request

from handlers.h5 import book, guard
from handlers.web import the_bot

bp = Blueprint("contacts", __name__)

_LONGEST_QUERY = 40


@bp.get("/contacts")
def page() -> Any:
    """The list; a script asks for the next lines or for hits only."""
    viewer = guard.viewer()
    wanted = request.args.get("q", "").replace("\0", "").strip()[:_LONGEST_QUERY]
    after = _place(request.args.get("after", ""))
    with the_bot().sessions() as session:
        if wanted:
            lines, has_more = book.search(session, viewer, wanted)
            next_place = None
        else:
            found = book.recent(session, viewer, after)
            lines, has_more = found.lines, False
            next_place = _written(found.after)
        total = 0 if guard.is_partial() else book.count(session, viewer)
    template = "h5/_contact_lines.html" if guard.is_partial() else "h5/contacts.html"
    return render_template(
        template,
        tab="h5.contacts.page",
        lines=lines,
        total=total,
        wanted=wanted,
        has_more=has_more,
        next_place=next_place,
        is_first=after is None,
    )


def _written(place: tuple[datetime, int] | None) -> str | None:
    return None if place is None else f"{place[0].astimezone(UTC).isoformat()}~{place[1]}"


def _place(text: str) -> tuple[datetime, int] | None:
    """The place in the list that a link names; anything else is the beginning."""
    moment, _, relation_id = text.partition("~")
    try:
        at, last_id = datetime.fromisoformat(moment), int(relation_id)
    except ValueError:
        return None
    return (at, last_id) if at.tzinfo is not None and 0 < last_id <= guard.LARGEST_ID else None
