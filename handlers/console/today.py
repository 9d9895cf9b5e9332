"""Room: today's picture (今日): who came, who was welcomed, what is done, what needs a hand."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for

from bot import inbox, outbox
from bot.clock import SHANGHAI, business_day
from bot.db import transaction
from handlers.console import audit, today_panels
from handlers.web import the_bot

bp = Blueprint("today", __name__)

_PAGE_SIZE = 50
_MOST_AT_ONCE = 1000


@bp.get("/")
def page() -> Any:
    """The whole day on one page; region and page of the table stay in the address."""
    bot = the_bot()
    now = bot.clock.now()
    day = business_day(now)
    number = max(1, request.args.get("page", 1, type=int))
    with transaction(bot.sessions) as session:
        regions = today_panels.regions(session)
        wanted = request.args.get("region", "")
        region = next((one for one in regions if one.code == wanted), None)
        region_id = region.id if region else None
        work = today_panels.work(session, day, region_id, number, _PAGE_SIZE)
        alerts = today_panels.alerts(session, day, now)
        late = today_panels.behind(work, now.astimezone(SHANGHAI).hour) if number == 1 else None
        return render_template(
            "console/today.html",
            day=day,
            now=now,
            regions=regions,
            region=region,
            adds=today_panels.adds(session, day, now, region_id),
            welcomes=today_panels.welcomes(session, day, region_id),
            work=work,
            alerts=alerts + ([late] if late else []),
            number=number,
            pages=-(-work.stores // _PAGE_SIZE),
            said=request.args.get("retried", type=int),
        )


@bp.post("/retry")
def retry() -> Any:
    """Try failed calls of one kind, or failed callbacks, once more."""
    bot = the_bot()
    kind = request.form.get("kind", "")
    if kind != "inbox" and kind not in today_panels.CALL_WORDS:
        abort(404)
    with transaction(bot.sessions) as session:
        if kind == "inbox":
            letters = inbox.dead_letters(session, limit=_MOST_AT_ONCE)
            count = inbox.retry(session, [one.id for one in letters])
        else:
            # What may have happened already is left to the command line, where it is looked at.
            calls = outbox.dead_letters(session, limit=_MOST_AT_ONCE, kind=kind)
            ids = [one.id for one in calls if one.state != outbox.CallState.UNKNOWN]
            count = outbox.retry(session, ids)
        audit.note(session, "deadletters.retry", kind, bot.clock.now(), count=count)
    region = request.form.get("region") or None
    return redirect(url_for("console.today.page", region=region, retried=count))
