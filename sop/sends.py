"""What machines send (短信与公众号消息): due tasks become calls of the outbox.

A message is made of the facts of the moment in which it leaves, and only if its task is still open
and the customer has not refused. A task is one call at most for each day it is planned for and each
way it goes; what a day could not send waits for the next night like any task that was not done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from bot import outbox, sms
from bot.clock import business_day
from bot.crm import brand
from bot.wecom import official_account
from content_library import channel_templates, placeholders
from content_library.channel_templates import Channel, Filled
from content_library.models import ChannelTemplate
from sop import send_results
from sop.mass_sends import closes
from sop.quiet import QuietHours
from sop.unreached import NO_ADDRESS, NOTHING_REACHES

#: The kinds of calls made here. A task's own kind names its call, and must be one of these.
KINDS = tuple(Channel)
#: When a message leaves whose step says no time.
USUAL_TIME = time(10)
_CHUNK = 2000
_NO_TEMPLATE = "没有可用的模板"

_WAITING = """
    SELECT t.id, t.kind, t.contact_id, t.guide_id, s.template_ids
    FROM task AS t
    JOIN sop_step AS s ON s.id = t.step_id
    WHERE t.planned_on = :day AND t.state = 'open' AND t.carrier = 'machine'
      AND t.words IS NULL AND t.id > :after {only}
    ORDER BY t.id LIMIT :chunk
"""
# A task the caps moved to a later day keeps the time of day its step asked for. The look into the
# outbox is a subquery on purpose: a join may read all of it, and it is long.
_DUE = """
    SELECT t.id, t.kind, t.contact_id, t.guide_id, s.template_ids
    FROM task AS t
    JOIN sop_step AS s ON s.id = t.step_id
    JOIN sop_version AS v ON v.id = s.version_id
    JOIN sop AS p ON p.id = v.sop_id
    WHERE t.planned_on = :day AND t.state = 'open' AND t.carrier = 'machine' AND NOT p.is_paused
      AND GREATEST(t.due_at, timezone('Asia/Shanghai', t.planned_on
          + COALESCE(timezone('Asia/Shanghai', t.due_at)::time, :usual))) <= :now
      AND (SELECT o.id FROM outbox AS o
           WHERE o.dedupe_key = 'task:' || t.id || ':' || t.planned_on || ':' || t.kind) IS NULL
      {only}
    ORDER BY t.id LIMIT :chunk
    FOR UPDATE OF t SKIP LOCKED
"""
# The last moment before it leaves: who has refused since the plan was made is left out.
_OPTED_OUT = text(
    """
    WITH ended AS (
        UPDATE task AS t
        SET state = 'withdrawn', ended_at = :now,
            state_reason = '客户已退订' || CASE t.kind WHEN 'sms' THEN '短信' ELSE '公众号消息' END
        WHERE t.id = ANY(:ids) AND t.state = 'open'
          AND EXISTS (SELECT FROM opt_out AS o WHERE o.contact_id = t.contact_id AND o.is_out
                      AND o.channel IN ('all', t.kind))
        RETURNING t.id
    ), freed AS (
        DELETE FROM touch_ledger AS l USING ended WHERE l.task_id = ended.id
    )
    SELECT id FROM ended
    """
)
# While a carrier is away its calls wait; whose task ended meanwhile gets nothing any more.
_CANCEL = text(
    """
    UPDATE outbox AS o SET state = 'cancelled', done_at = now()
    FROM task AS t
    WHERE o.state = 'due' AND o.kind = ANY(:kinds) AND o.result IS NULL
      AND NOT o.ambiguous AND t.id = CAST(o.subject ->> 'task_id' AS bigint) AND t.state <> 'open'
    """
)
_ADDRESSES = text(
    """
    SELECT c.id AS contact_id, m.mobile_sealed, o.openid
    FROM unnest(CAST(:contact_ids AS bigint[])) AS c (id)
    LEFT JOIN member AS m ON m.contact_id = c.id
    LEFT JOIN LATERAL (
        SELECT i.value AS openid FROM contact_identity AS i
        WHERE i.contact_id = c.id AND i.kind = 'openid' ORDER BY i.id DESC LIMIT 1
    ) AS o ON true
    """
)
_KEEP_WORDS = text(
    """
    UPDATE task SET words = kept.words
    FROM unnest(CAST(:ids AS bigint[]), CAST(:words AS text[])) AS kept (id, words)
    WHERE task.id = kept.id
    """
)


@dataclass(frozen=True)
class _Ready:
    """One message that can leave."""

    row: Row[*tuple[Any, ...]]
    template: ChannelTemplate
    filled: Filled
    mobile_sealed: bytes | None
    openid: str | None


def queue_machine(
    session: Session, day: date, now: datetime, contact_ids: Sequence[int] | None = None
) -> int:
    """Write the words of the machines' tasks of `day`, and send those that are due already.

    Returns how many words were written. A few statements for every two thousand tasks.
    """
    done = after = 0
    while rows := _waiting(session, day, contact_ids, after):
        filled = _filled(session, rows, _templates(session, rows), day)
        _keep_words(session, {task_id: one.words for task_id, one in filled.items()})
        done, after = done + len(filled), rows[-1].id
        if len(rows) < _CHUNK:
            break
    if day == business_day(now):
        while queue_due(session, now, contact_ids):
            pass
    return done


def queue_due(session: Session, now: datetime, contact_ids: Sequence[int] | None = None) -> int:
    """Hand what is due by now to the carriers; returns how many tasks were looked at.

    Never inside quiet hours. One transaction of the caller takes two thousand; call it until it
    returns 0.
    """
    day, quiet = business_day(now), QuietHours.parse(brand.settings(session).quiet_hours)
    if quiet.covers_moment(now):
        return 0
    if contact_ids is None:
        session.execute(_CANCEL, {"kinds": list(KINDS)})
    only, given = _only(contact_ids)
    given |= {"day": day, "now": now, "usual": USUAL_TIME, "chunk": _CHUNK}
    rows = session.execute(text(_DUE.format(only=only)), given).all()
    if not rows:
        return 0
    refused = set(session.scalars(_OPTED_OUT, {"ids": [row.id for row in rows], "now": now}).all())
    ready = _ready(session, [row for row in rows if row.id not in refused], day, now)
    _keep_words(session, {one.row.id: one.filled.words for one in ready})
    deadline = closes(now, quiet)
    outbox.add_many(session, [_draft(one, day, now, deadline) for one in ready])
    return len(rows)


def _waiting(
    session: Session, day: date, contact_ids: Sequence[int] | None, after: int
) -> Sequence[Row[*tuple[Any, ...]]]:
    only, given = _only(contact_ids)
    given |= {"day": day, "after": after, "chunk": _CHUNK}
    return session.execute(text(_WAITING.format(only=only)), given).all()


def _templates(
    session: Session, rows: Sequence[Row[*tuple[Any, ...]]]
) -> dict[int, ChannelTemplate]:
    """The template of each task that has one in use."""
    chosen = {row.id: int(row.template_ids.get(row.kind) or 0) for row in rows}
    wanted = set(chosen.values())
    found = session.scalars(
        select(ChannelTemplate).where(ChannelTemplate.id.in_(wanted), ChannelTemplate.is_active)
    )
    known = {template.id: template for template in found}
    return {task_id: known[one] for task_id, one in chosen.items() if one in known}


def _filled(
    session: Session,
    rows: Sequence[Row[*tuple[Any, ...]]],
    templates: Mapping[int, ChannelTemplate],
    day: date,
) -> dict[int, Filled]:
    facts = placeholders.load_facts(
        session, sorted({(row.contact_id, row.guide_id) for row in rows}, key=str), day
    )
    return {
        row.id: channel_templates.fill(templates[row.id], facts[row.contact_id, row.guide_id])
        for row in rows
        if row.id in templates
    }


def _ready(
    session: Session, rows: Sequence[Row[*tuple[Any, ...]]], day: date, now: datetime
) -> list[_Ready]:
    """What can leave; tasks without a template or an address end here."""
    templates = _templates(session, rows)
    filled = _filled(session, rows, templates, day)
    found = session.execute(_ADDRESSES, {"contact_ids": sorted({row.contact_id for row in rows})})
    addresses = {row.contact_id: row for row in found}
    ready: list[_Ready] = []
    lost: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        address = addresses[row.contact_id]
        is_sms = row.kind == Channel.SMS
        if row.id not in filled:
            lost[_NO_TEMPLATE].append(row.id)
        elif (address.mobile_sealed if is_sms else address.openid) is None:
            lost[f"{NOTHING_REACHES}：{NO_ADDRESS[row.kind]}"].append(row.id)
        else:
            one = _Ready(
                row, templates[row.id], filled[row.id], address.mobile_sealed, address.openid
            )
            ready.append(one)
    for reason, ids in lost.items():
        if ids:
            send_results.end(session, ids, reason, now)
    return ready


def _draft(one: _Ready, day: date, now: datetime, deadline: datetime) -> outbox.Draft:
    task_id, template, kind = one.row.id, one.template, Channel(one.row.kind)
    if kind == Channel.SMS:
        api = sms.API
        body = sms.message_body(
            f"t{task_id}",
            one.mobile_sealed or b"",
            template.signature or "",
            template.code,
            one.filled.values,
            one.filled.words,
        )
    else:
        api = official_account.API
        body = official_account.template_body(
            one.openid or "", template.code, one.filled.values, one.filled.url
        )
    return outbox.Draft(
        kind=kind,
        api=api,
        body=body,
        dedupe_key=f"task:{task_id}:{day}:{kind}",
        not_before=now,
        deadline=deadline,
        # One after the other for one customer, as her telephone shows them.
        order_key=f"contact:{one.row.contact_id}",
        subject={"task_id": task_id, "contact_id": one.row.contact_id},
    )


def _keep_words(session: Session, words: Mapping[int, str]) -> None:
    if words:
        session.execute(_KEEP_WORDS, {"ids": list(words), "words": list(words.values())})


def _only(contact_ids: Sequence[int] | None) -> tuple[str, dict[str, Any]]:
    if contact_ids is None:
        return "", {}
    return "AND t.contact_id = ANY(:contact_ids)", {"contact_ids": list(contact_ids)}
