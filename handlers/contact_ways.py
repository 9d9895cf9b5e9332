"""Channel codes on their way to WeCom (渠道活码下发): only differences, each exactly once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from bot import outbox
from bot.bot import Bot
from bot.crm import channels

# WeCom's clock and ours may differ; looking a little further back costs nothing.
_LOOK_BACK = timedelta(hours=1)


def push_changed(session: Session) -> int:
    """Put into the outbox what WeCom does not have yet; returns how many calls are new."""
    drafts = [
        outbox.Draft(
            kind=one.kind,
            api=one.api,
            body=one.body,
            dedupe_key=one.dedupe_key,
            order_key=one.order_key,
            subject=one.subject,
        )
        for one in channels.differences(session)
    ]
    return len(outbox.add_many(session, drafts)) if drafts else 0


def reconcile_created(bot: Bot, delivery: outbox.Delivery) -> dict[str, Any] | None:
    """Whether a creation of unknown effect has happened: the code with its `state` at WeCom.

    Returns what the call would have answered, or None.
    """
    since = int((delivery.created_at - _LOOK_BACK).timestamp())
    cursor = ""
    while True:
        page = bot.gateway.contact_ways(cursor, start_time=since)
        for config_id in page.config_ids:
            way = bot.gateway.contact_way(config_id)
            if way.state == delivery.subject["state"]:
                return {"config_id": way.config_id, "qr_code": way.qr_code}
        if not page.next_cursor or page.next_cursor == cursor:
            return None
        cursor = page.next_cursor
