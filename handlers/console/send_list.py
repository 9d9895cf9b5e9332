"""Room: what went to many (群发): mass messages, moments and group messages, and their results."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.db import transaction
from handlers.console import audit, days, filters
from handlers.web import the_bot
from sop import mass_reminders, send_board, step_kinds
from sop.models import Posting, TaskState
from sop.send_board import SendKey

bp = Blueprint("sends", __name__, url_prefix="/sends")

#: The tabs: how many days back they look.
_SPANS = {7: "近 7 天", 30: "近 30 天", 90: "近 90 天"}
_KINDS = ("mass_message", "moment", "group_message")
KIND_WORDS = {kind: step_kinds.KINDS[kind] for kind in _KINDS}
GUIDE_WORDS = {
    "waiting": "待确认",
    "failed": "没有发出",
    "ahead": "还没到时间",
    "confirmed": "已确认",
}
TASK_WORDS: dict[str, str] = {
    TaskState.DONE: "已送达",
    TaskState.OPEN: "等导购确认",
    TaskState.DEFERRED: "顺延等待",
    TaskState.SKIPPED: "没有送达",
    TaskState.EXPIRED: "过期没有发",
    TaskState.WITHDRAWN: "已撤回",
}
#: What WeCom can remind guides of.
REMINDED = frozenset({"mass_message", "group_message"})


@bp.get("/")
def page() -> Any:
    """The sends of some days; span, kind, store and SOP stay in the address."""
    today = business_day(the_bot().clock.now())
    span = request.args.get("days", 7, type=int)
    span = span if span in _SPANS else 7
    kind = request.args.get("kind")
    kind = kind if kind in _KINDS else None
    # What leaves tonight or tomorrow is planned already, and shown as ahead.
    last = days.read(request.args.get("until"), today)
    with transaction(the_bot().sessions) as session:
        chosen = filters.read(session)
        rows = send_board.sends(
            session,
            last - timedelta(days=span - 1),
            last,
            kind=kind,
            store_id=chosen.store_id,
            sop_id=chosen.sop_id,
        )
    kept = chosen.kept | {"days": span} | ({"kind": kind} if kind else {})
    return render_template(
        "console/sends.html",
        rows=rows,
        span=span,
        spans=_SPANS,
        kind=kind,
        kinds=KIND_WORDS,
        filters=chosen,
        kept=kept,
        is_cut=len(rows) == send_board.MOST_SENDS,
        link=_link,
    )


@bp.get("/mass/<int:step_id>/<day>")
def mass(step_id: int, day: str) -> Any:
    """One mass message step on one day, by store, or one store's guides."""
    return _one(_of_step(step_id, day))


@bp.get("/postings/<int:posting_id>")
def posting(posting_id: int) -> Any:
    """One moment or group message, by store, or one store's guides."""
    return _one(_of_posting(posting_id))


@bp.post("/mass/<int:step_id>/<day>/remind")
def remind_mass(step_id: int, day: str) -> Any:
    """Have the guides reminded who have not confirmed."""
    return _remind(_of_step(step_id, day))


@bp.post("/postings/<int:posting_id>/remind")
def remind_posting(posting_id: int) -> Any:
    """Have the guides reminded who have not sent it to their groups."""
    return _remind(_of_posting(posting_id))


def _one(key: SendKey) -> Any:
    with transaction(the_bot().sessions) as session:
        chosen = filters.read(session)
        send = _send(session, key, chosen.store_id)
        return render_template(
            "console/send.html",
            send=send,
            kinds=KIND_WORDS,
            filters=chosen,
            stores=send_board.stores(session, key),
            guides=send_board.guides(session, key, chosen.store_id),
            most_guides=send_board.MOST_GUIDES,
            ended=send_board.ended(session, key, chosen.store_id),
            states=GUIDE_WORDS,
            task_states=TASK_WORDS,
            may_remind=send.kind in REMINDED and send.totals.waiting > 0,
            kept=_kept(),
            reminded=request.args.get("reminded", type=int),
            link=_link,
        )


def _remind(key: SendKey) -> Any:
    bot = the_bot()
    now = bot.clock.now()
    with transaction(bot.sessions) as session:
        chosen = filters.read(session)
        send = _send(session, key, None)
        if send.kind not in REMINDED:
            abort(404)
        count = mass_reminders.remind(session, key, chosen.store_id, now)
        thing = f"posting:{key.posting_id}" if key.posting_id else f"step:{key.step_id}:{key.day}"
        audit.note(session, "send.remind", thing, now, guides=count, store_id=chosen.store_id)
    return redirect(_link(send.key, **{**_kept(), "reminded": count}))


def _send(session: Session, key: SendKey, store_id: int | None) -> send_board.Send:
    send = send_board.one(session, key, store_id)
    if send is None and store_id is not None:
        # A store without guides in it is an empty part of a send that is there.
        whole = send_board.one(session, key)
        return abort(404) if whole is None else send_board.without_guides(whole)
    return abort(404) if send is None else send


def _of_posting(posting_id: int) -> SendKey:
    with transaction(the_bot().sessions) as session:
        found = session.get(Posting, posting_id) if posting_id < 2**63 else None
        if found is None:
            abort(404)
        return SendKey(found.step_id, found.due_on, found.id)


def _of_step(step_id: int, said: str) -> SendKey:
    nothing = date.min
    day = days.read(said, nothing)
    return abort(404) if day == nothing or step_id >= 2**63 else SendKey(step_id, day)


def _kept() -> dict[str, Any]:
    """What the list was filtered by, so that the way back leads to the same list."""
    return {
        name: value
        for name in ("days", "kind", "sop", "store", "until")
        if (value := request.args.get(name))
    }


def _link(key: SendKey, deed: str = "", **kept: Any) -> str:
    """The address of one send, or (`remind_`) of what can be done with it."""
    end = f"console.sends.{deed}"
    if key.posting_id is not None:
        return url_for(f"{end}posting", posting_id=key.posting_id, **kept)
    return url_for(f"{end}mass", step_id=key.step_id, day=key.day.isoformat(), **kept)
