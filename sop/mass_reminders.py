"""Guides who have not confirmed are reminded (提醒确认): WeCom notifies them once more.

WeCom allows three reminders of a message in 24 hours; so many hours lie between two of ours that
there are never more. Moments cannot be reminded of.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot import outbox
from bot.clock import business_day
from bot.crm import brand
from bot.errors import UserError
from bot.wecom import mass
from sop import mass_sends
from sop.postings import WATCHED_DAYS
from sop.quiet import QuietHours
from sop.send_board import SendKey

#: Three fit into 24 hours.
APART = timedelta(hours=8)

# The moment is written before the call is wanted: a second press finds nobody left to remind.
_MASS = text(
    """
    UPDATE mass_send AS m SET reminded_at = :now
    FROM guide AS g
    WHERE m.step_id = :step_id AND m.planned_on = :day
      AND m.state = 'created' AND m.msgid IS NOT NULL
      AND EXISTS (SELECT FROM task AS t WHERE t.mass_send_id = m.id AND t.state = 'open')
      AND g.id = m.guide_id AND g.is_active
      AND (CAST(:store_id AS bigint) IS NULL OR g.store_id = :store_id)
      AND (m.reminded_at IS NULL OR m.reminded_at <= :before)
    RETURNING m.msgid, m.guide_id
    """
)
_GROUP = text(
    """
    UPDATE posting_guide AS bg SET reminded_at = :now
    FROM guide AS g, posting AS p
    WHERE bg.posting_id = :posting_id AND p.id = bg.posting_id AND p.due_on >= :since
      AND bg.state = 'asked' AND bg.msgid IS NOT NULL
      AND g.id = bg.guide_id AND g.is_active
      AND (CAST(:store_id AS bigint) IS NULL OR g.store_id = :store_id)
      AND (bg.reminded_at IS NULL OR bg.reminded_at <= :before)
    RETURNING bg.msgid, bg.guide_id
    """
)


def remind(session: Session, send: SendKey, store_id: int | None, now: datetime) -> int:
    """Have the guides of one send reminded who have not confirmed; returns how many.

    `store_id` None: those of every store. Raises UserError in quiet hours, and if there is nobody
    who may be reminded now.
    """
    quiet = QuietHours.parse(brand.settings(session).quiet_hours)
    if quiet.covers_moment(now):
        hours = f"{quiet.start:%H:%M}–{quiet.end:%H:%M}"
        raise UserError(f"现在是免打扰时段（{hours}），过了再提醒")
    rows = session.execute(
        _MASS if send.posting_id is None else _GROUP,
        {
            "step_id": send.step_id,
            "day": send.day,
            "posting_id": send.posting_id,
            "since": business_day(now) - timedelta(days=WATCHED_DAYS),
            "store_id": store_id,
            "now": now,
            "before": now - APART,
        },
    ).all()
    if not rows:
        raise UserError("没有可以提醒的导购：都确认了，或者 8 小时内已经提醒过")
    deadline = mass_sends.closes(now, quiet)
    outbox.add_many(
        session,
        [
            outbox.Draft(
                kind="mass_reminder",
                api=mass.REMIND_API,
                body=mass.remind_body(row.msgid),
                dedupe_key=f"mass_reminder:{row.msgid}:{int(now.timestamp())}",
                not_before=now,
                deadline=deadline,
                # Behind what is still to be made for her, and before what comes later.
                order_key=f"mass:{row.guide_id}",
            )
            for row in rows
        ],
    )
    return len({row.guide_id for row in rows})
