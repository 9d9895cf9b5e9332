"""Alerts about leads (线索提醒): to the guide who has one, to the manager when nobody touches it.

A hot lead, or one that a person gave her, is told at once; the others of one hour are told
together. Nobody is told in the quiet hours; who asked for something that wants a person (定制,
结婚选款) is worth an alert from eight to ten all the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot import outbox
from bot.clock import SHANGHAI
from bot.crm import brand
from bot.settings import Settings
from content_library import notices, words
from sop import lead_assignment, lead_views, leads
from sop.lead_signals import BEHAVIORS
from sop.quiet import QuietHours

_LIFE = timedelta(hours=12)
_MOST_LINES = 8
_ASKS_FROM, _ASKS_UNTIL = time(8), time(22)
_NAME = "COALESCE(NULLIF(r.remark, ''), NULLIF(c.name, ''), NULLIF(m.name, ''), '一位客户')"

# Claimed and told in one transaction: whoever comes second finds nothing to tell.
_CLAIM = text(
    f"""
    WITH due AS (
        SELECT l.id FROM lead l
        WHERE l.state = 'assigned' AND l.alerted_at IS NULL
          AND (l.is_hot OR l.assigned_by = 'person'
               OR date_trunc('hour', l.assigned_at) + interval '1 hour' <= :now)
          AND (NOT :asks_only OR EXISTS (
              SELECT FROM lead_signal x WHERE x.lead_id = l.id AND x.behavior = ANY(:asks)))
        ORDER BY l.id FOR UPDATE OF l SKIP LOCKED
    ),
    told AS (
        UPDATE lead l SET alerted_at = :now FROM due WHERE l.id = due.id
        RETURNING l.id, l.contact_id, l.guide_id, l.is_hot, l.assigned_by
    )
    SELECT t.id, t.guide_id, t.is_hot, t.assigned_by, g.userid, {_NAME} AS name,
           r.id IS NOT NULL AND r.state <> 'ended' AS is_friend,
           {lead_views.NUMBER.replace("l.id", "t.id")} AS number, g.is_manager,
           (SELECT x.text FROM lead_signal x WHERE x.lead_id = t.id
            ORDER BY x.score DESC, x.seen_at DESC LIMIT 1) AS signal
    FROM told t
    JOIN guide g ON g.id = t.guide_id AND g.is_active
    JOIN contact c ON c.id = t.contact_id
    LEFT JOIN member m ON m.contact_id = t.contact_id
    LEFT JOIN follow_relation r ON r.guide_id = t.guide_id AND r.contact_id = t.contact_id
    ORDER BY t.guide_id, t.is_hot DESC, t.id
    """
)
# The managers of the store; where there is none but the guide herself, HQ.
_UNTOUCHED = text(
    f"""
    SELECT l.id, boss.userid, g.name AS guide_name, {_NAME} AS name,
           (SELECT x.text FROM lead_signal x WHERE x.lead_id = l.id
            ORDER BY x.score DESC, x.seen_at DESC LIMIT 1) AS signal
    FROM lead l
    JOIN contact c ON c.id = l.contact_id
    LEFT JOIN member m ON m.contact_id = l.contact_id
    LEFT JOIN guide g ON g.id = l.guide_id
    LEFT JOIN follow_relation r ON r.guide_id = l.guide_id AND r.contact_id = l.contact_id
    CROSS JOIN LATERAL (
        SELECT b.userid FROM guide b
        WHERE b.store_id = l.store_id AND b.is_manager AND b.is_active
          AND b.id IS DISTINCT FROM l.guide_id
        UNION ALL
        SELECT o.userid FROM operator o
        WHERE o.userid IS NOT NULL AND o.is_active AND NOT EXISTS (
            SELECT FROM guide b
            WHERE b.store_id = l.store_id AND b.is_manager AND b.is_active
              AND b.id IS DISTINCT FROM l.guide_id)
    ) AS boss
    WHERE l.id = ANY(:ids)
    ORDER BY boss.userid, l.is_hot DESC, l.id
    """
)
_NOBODY = text(
    """
    UPDATE lead SET alerted_at = :now
    WHERE state = 'open' AND alerted_at IS NULL AND raised_at <= :before RETURNING id
    """
)


def tell_due(session: Session, settings: Settings, now: datetime) -> int:
    """Everything about leads that is due to be told now, and escalations; returns the alerts."""
    rules = brand.settings(session)
    leads.touch_by_tasks(session, now)
    quiet = QuietHours.parse(rules.quiet_hours)
    drafts: list[outbox.Draft] = []
    # What is late in the quiet hours is late after them, and told then.
    if not quiet.covers_moment(now):
        late = lead_assignment.escalate(session, now, rules.leads.escalate_hours)
        lead_assignment.take_to_managers(session, now, rules.leads.escalate_hours)
        late += session.scalars(_NOBODY, {"now": now, "before": now - timedelta(hours=1)})
        drafts += _to_managers(session, settings, late, now)
    drafts += _to_guides(session, settings, quiet, now)
    return len(outbox.add_many(session, drafts))


def tell_now(session: Session, settings: Settings, now: datetime) -> int:
    """Tell guides of the leads they have just got; returns the alerts."""
    quiet = QuietHours.parse(brand.settings(session).quiet_hours)
    return len(outbox.add_many(session, _to_guides(session, settings, quiet, now)))


def _to_guides(
    session: Session, settings: Settings, quiet: QuietHours, now: datetime
) -> list[outbox.Draft]:
    asks_only = quiet.covers_moment(now)
    if asks_only and not _ASKS_FROM <= now.astimezone(SHANGHAI).time() < _ASKS_UNTIL:
        return []
    asks = [key for key, one in BEHAVIORS.items() if one.is_hot]
    found: dict[str, list[Any]] = defaultdict(list)
    for row in session.execute(_CLAIM, {"now": now, "asks_only": asks_only, "asks": asks}):
        found[row.userid].append(row)
    return [
        _draft(settings, userid, _guide_words(rows), f"lead:{rows[0].guide_id}", rows, now)
        for userid, rows in found.items()
    ]


def _to_managers(
    session: Session, settings: Settings, ids: Sequence[int], now: datetime
) -> list[outbox.Draft]:
    if not ids:
        return []
    found: dict[str, list[Any]] = defaultdict(list)
    for row in session.execute(_UNTOUCHED, {"ids": list(ids)}):
        found[row.userid].append(row)
    return [
        _draft(settings, userid, _manager_words(rows), f"lead_late:{userid}", rows, now)
        for userid, rows in found.items()
    ]


def _guide_words(rows: Sequence[Any]) -> str:
    head = "有客户意向强，请尽快联系：" if rows[0].is_hot else f"{len(rows)} 条新线索等您联系："
    lines = [_guide_line(row) for row in rows[:_MOST_LINES]]
    if len(rows) > _MOST_LINES:
        lines.append(f"……还有 {len(rows) - _MOST_LINES} 条，写「线索」看全部")
    return "\n".join([head, *lines, f"联系后写「线索 {rows[0].number} 已联系」。"])


def _guide_line(row: Any) -> str:
    line = f"{row.number}. {words.plain(row.name, 20)}：{words.plain(row.signal, 60)}"
    if row.is_friend:
        return line
    whom = "总部" if row.is_manager else "店长或总部"
    return f"{line}（还不是您的好友，请向{whom}要联系方式）"


def _manager_words(rows: Sequence[Any]) -> str:
    lines = [
        f"· {words.plain(row.name, 20)}（{row.guide_name or '还没有导购'}）："
        f"{words.plain(row.signal, 60)}"
        for row in rows[:_MOST_LINES]
    ]
    if len(rows) > _MOST_LINES:
        lines.append(f"……还有 {len(rows) - _MOST_LINES} 条")
    return "\n".join([f"{len(rows)} 条线索还没有人联系，请帮忙看一下：", *lines])


def _draft(
    settings: Settings, userid: str, said: str, key: str, rows: Sequence[Any], now: datetime
) -> outbox.Draft:
    dedupe_key = f"alert:{key}:{min(row.id for row in rows)}:{int(now.timestamp() * 1000)}"
    return outbox.Draft(
        kind="alert",
        api="message/send",
        body=notices.text_body(settings.wecom.agent_id, userid, said, dedupe_key),
        dedupe_key=dedupe_key,
        members=(userid,),
        subject={"lead_ids": [row.id for row in rows]},
        deadline=now + _LIFE,
    )
