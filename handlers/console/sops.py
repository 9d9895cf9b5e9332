"""Room: the SOPs (SOP): the list, and one SOP in words with its history."""

from __future__ import annotations

import time
from datetime import date
from typing import Any

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.db import transaction
from handlers.console import audit, sop_list, version_words
from handlers.console.guard import who
from handlers.console.sop_list import Numbers
from handlers.web import the_bot
from sop import versions
from sop.models import Sop, VersionState

bp = Blueprint("sops", __name__, url_prefix="/sops")

_LONGEST_SEARCH = 60
# Counting a week of tasks over a whole brand takes seconds; nobody misses the last minute.
_NUMBERS_LIFE_SECONDS = 60.0


@bp.get("/")
def page() -> Any:
    """The list, with a search that stays in the address."""
    bot = the_bot()
    search = request.args.get("q", "").replace("\x00", "").strip()[:_LONGEST_SEARCH]
    with transaction(bot.sessions) as session:
        found = sop_list.rows(session, search)
        numbers = _numbers(session, business_day(bot.clock.now()))
    # What touches most customers comes first among equals.
    order = ("live", "paused", "draft", "retired")
    found.sort(key=lambda row: (order.index(row.state), -numbers.get(row.id, Numbers()).active))
    return render_template("console/sops.html", rows=found, numbers=numbers, search=search)


@bp.get("/<int:sop_id>")
def one(sop_id: int) -> Any:
    """One SOP as it stands: its words, its numbers and its versions."""
    bot = the_bot()
    with transaction(bot.sessions) as session:
        sop = session.get(Sop, sop_id)
        if sop is None:
            abort(404)
        told = version_words.history(session, sop_id)
        numbers = _numbers(session, business_day(bot.clock.now())).get(sop_id, Numbers())
    live = next((one for one in told if one.state == VersionState.PUBLISHED), None)
    draft = next((one for one in told if one.state == VersionState.DRAFT), None)
    return render_template(
        "console/sop.html",
        sop=sop,
        live=live,
        draft=draft,
        shown=live or draft or (told[0] if told else None),
        history=[one for one in told if one.state != VersionState.DRAFT],
        numbers=numbers,
        did=request.args.get("did", ""),
    )


@bp.post("/<int:sop_id>/pause")
def pause(sop_id: int) -> Any:
    """Hold the SOP; open tasks stay with their guides."""
    return _hold(sop_id, is_paused=True)


@bp.post("/<int:sop_id>/resume")
def resume(sop_id: int) -> Any:
    """Let it go on."""
    return _hold(sop_id, is_paused=False)


@bp.post("/<int:sop_id>/versions/<int:version_id>/restore")
def restore(sop_id: int, version_id: int) -> Any:
    """Make an earlier version the draft; nothing changes for anyone until it is published."""
    bot = the_bot()
    with transaction(bot.sessions) as session:
        known = {one.id for one in version_words.history(session, sop_id)}
        if version_id not in known:
            abort(404)
        versions.republish(session, version_id, who().actor)
        audit.note(session, "sop.restore", f"sop:{sop_id}", bot.clock.now(), version_id=version_id)
    return redirect(url_for("console.editor.edit", sop_id=sop_id))


def _hold(sop_id: int, *, is_paused: bool) -> Any:
    bot = the_bot()
    with transaction(bot.sessions) as session:
        if session.get(Sop, sop_id) is None:
            abort(404)
        versions.pause(session, sop_id, is_paused)
        action = "sop.pause" if is_paused else "sop.resume"
        audit.note(session, action, f"sop:{sop_id}", bot.clock.now())
    did = "paused" if is_paused else "resumed"
    return redirect(url_for("console.sops.one", sop_id=sop_id, did=did))


def _numbers(session: Session, day: date) -> dict[int, Numbers]:
    kept = current_app.extensions.get("console.numbers")
    if kept and kept[0] == day and time.monotonic() - kept[1] < _NUMBERS_LIFE_SECONDS:
        return kept[2]  # type: ignore[no-any-return]
    fresh = sop_list.numbers(session, day)
    current_app.extensions["console.numbers"] = (day, time.monotonic(), fresh)
    return fresh
