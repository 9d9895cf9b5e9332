"""Mass messages on their way (群发的去向): made at WeCom when due, confirmed there by guides.

A mass message is made once, and what became of each customer is written to her task: sent is done;
who is no friend any more, or had her month's share, is skipped and keeps her claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time
from typing import Any

from sqlalchemy import Row, select, text, update
from sqlalchemy.orm import Session

from bot import outbox
from bot.clock import business_day
from bot.crm import brand
from bot.errors import UserError
from bot.outbox import CallState, Delivery
from bot.wecom import mass
from content_library import materials
from content_library.models import Material
from sop import writing
from sop.models import MassSend, MassState
from sop.quiet import QuietHours, moment_of

# Bodies of 10,000 ids are some hundred kilobytes each.
_CHUNK = 50
_REFUSED = "企业微信不能群发给这位客户"

_DUE = text(
    """
    SELECT m.id, m.guide_id, m.words, g.userid, s.material_ids
    FROM mass_send AS m
    JOIN sop_step AS s ON s.id = m.step_id
    JOIN sop_version AS v ON v.id = s.version_id
    JOIN sop AS p ON p.id = v.sop_id
    JOIN guide AS g ON g.id = m.guide_id
    WHERE m.planned_on = :day AND m.state = 'waiting' AND m.due_at <= :now
      AND g.is_active AND NOT p.is_paused
    ORDER BY m.id LIMIT :chunk
    FOR UPDATE OF m SKIP LOCKED
    """
)
# The last moment before it leaves: who refused mass messages since the plan was made is left out.
_OPTED_OUT = text(
    """
    WITH ended AS (
        UPDATE task AS t
        SET state = 'withdrawn', state_reason = '客户已退订群发', ended_at = :now
        WHERE t.mass_send_id = ANY(:ids) AND t.state = 'open'
          AND EXISTS (SELECT FROM opt_out AS o WHERE o.contact_id = t.contact_id AND o.is_out
                      AND o.channel IN ('all', 'mass_message'))
        RETURNING t.id
    )
    DELETE FROM touch_ledger AS l USING ended WHERE l.task_id = ended.id
    """
)
_RECEIVERS = text(
    """
    SELECT t.mass_send_id AS id, array_agg(c.external_userid ORDER BY t.id) AS people
    FROM task AS t
    JOIN mass_send AS m ON m.id = t.mass_send_id
    JOIN contact AS c ON c.id = t.contact_id
    JOIN follow_relation AS r
        ON r.contact_id = t.contact_id AND r.guide_id = m.guide_id AND r.state <> 'ended'
    WHERE t.mass_send_id = ANY(:ids) AND t.state = 'open' AND c.external_userid IS NOT NULL
    GROUP BY t.mass_send_id
    """
)
_SKIP = text(
    """
    WITH ended AS (
        UPDATE task AS t SET state = 'skipped', state_reason = :reason, ended_at = :now
        FROM contact AS c
        WHERE t.mass_send_id = :id AND t.state = 'open' AND c.id = t.contact_id
          AND (:everyone OR c.external_userid = ANY(:people))
        RETURNING t.id
    )
    DELETE FROM touch_ledger AS l USING ended WHERE l.task_id = ended.id
    """
)
_END = text(
    """
    WITH ended AS (
        UPDATE task SET state = 'expired', state_reason = :reason, ended_at = :now
        WHERE mass_send_id = :id AND state = 'open'
        RETURNING id
    )
    DELETE FROM touch_ledger AS l USING ended WHERE l.task_id = ended.id
    """
)


def queue_due(session: Session, now: datetime) -> int:
    """Ask WeCom for the mass messages that are due; returns how many were asked for.

    Only on their own day and outside quiet hours: a late one is planned anew. One transaction of
    the caller takes a few; call it until it returns 0.
    """
    day, quiet = business_day(now), QuietHours.parse(brand.settings(session).quiet_hours)
    if quiet.covers_moment(now):
        return 0
    rows = session.execute(_DUE, {"day": day, "now": now, "chunk": _CHUNK}).all()
    if not rows:
        return 0
    ids = [row.id for row in rows]
    session.execute(_OPTED_OUT, {"ids": ids, "now": now})
    people = {row.id: row.people for row in session.execute(_RECEIVERS, {"ids": ids})}
    known = _materials(session, rows)
    drafts = [
        draft
        for row in rows
        if (draft := _draft(session, row, people.get(row.id, []), known, now, closes(now, quiet)))
    ]
    outbox.add_many(session, drafts)
    return len(rows)


def closes(now: datetime, quiet: QuietHours) -> datetime:
    """Until when today customers may read what leaves now: where quiet hours begin next."""
    day = business_day(now)
    begins = moment_of(day, quiet.start)
    is_ahead = quiet.start != quiet.end and begins > now
    return begins if is_ahead else moment_of(day, time(23, 59))


def _materials(session: Session, rows: Sequence[Row[*tuple[Any, ...]]]) -> dict[int, Material]:
    wanted = {material_id for row in rows for material_id in row.material_ids}
    found = session.scalars(select(Material).where(Material.id.in_(wanted)))
    return {material.id: material for material in found}


def _draft(
    session: Session,
    row: Row[*tuple[Any, ...]],
    people: Sequence[str],
    known: Mapping[int, Material],
    now: datetime,
    deadline: datetime,
) -> outbox.Draft | None:
    attachments, left_out = materials.ready_messages(
        [known[one] for one in row.material_ids if one in known], now
    )
    try:
        body = mass.mass_message_body(row.userid, people, row.words, attachments)
    except UserError as error:
        reason = "没有可以群发的客户" if not people else error.message_zh
        set_values(session, row.id, MassState.FAILED, error=reason, contact_count=len(people))
        skip(session, row.id, None, reason, now)
        return None
    note = f"素材「{'、'.join(left_out)}」还没有上传，没有带上" if left_out else None
    set_values(session, row.id, MassState.QUEUED, error=note, contact_count=len(people))
    return outbox.Draft(
        kind="mass_message",
        api=mass.API,
        body=body,
        dedupe_key=f"mass_message:{row.id}",
        not_before=now,
        deadline=deadline,
        # One after the other for one guide: then an answer that was lost can be found again.
        order_key=f"mass:{row.guide_id}",
        subject={
            "mass_send_id": row.id,
            "userid": row.userid,
            "words": mass.clipped(row.words),
        },
    )


def created(session: Session, delivery: Delivery) -> None:
    """WeCom has the message; whom it refuses is told, the rest wait for the guide."""
    made = mass.read_created(delivery.result or {})
    send_id = int(delivery.subject["mass_send_id"])
    set_values(session, send_id, MassState.CREATED, msgid=made.msgid)
    if made.refused:
        skip(session, send_id, made.refused, _REFUSED, delivery.not_before)


def failed(session: Session, delivery: Delivery) -> None:
    """The message was not made (or nobody knows): its tasks wait for the night, or end.

    What its deadline overtook may be planned again while it makes sense; what WeCom refuses would
    be refused again. Where WeCom may have it, the customers must not get it twice.
    """
    send_id = int(delivery.subject["mass_send_id"])
    reason = f"群发没有发出：{delivery.last_error or '没有回应'}"[:300]
    set_values(session, send_id, MassState.FAILED, error=reason)
    if delivery.state is CallState.EXPIRED:
        session.execute(text("UPDATE task SET mass_send_id = NULL WHERE mass_send_id = :id AND "
                             "state = 'open'"), {"id": send_id})  # fmt: skip
    elif delivery.state is CallState.CANCELLED:
        skip(session, send_id, None, _REFUSED, delivery.not_before)
    elif delivery.state is CallState.DEAD:
        session.execute(_END, {"id": send_id, "reason": reason, "now": delivery.not_before})


def known_msgids(session: Session, msgids: Sequence[str]) -> set[str]:
    """Which of WeCom's ids belong to mass messages we know already."""
    found = session.scalars(select(MassSend.msgid).where(MassSend.msgid.in_(msgids)))
    return {msgid for msgid in found if msgid is not None}


def skip(
    session: Session, send_id: int, people: Sequence[str] | None, reason: str, now: datetime
) -> int:
    """End the open tasks of a mass message as skipped, of `people` or (None) of everybody, and
    free their claims; returns how many."""
    return writing.rows(
        session,
        _SKIP,
        {
            "id": send_id,
            "everyone": people is None,
            "people": list(people or []),
            "reason": reason,
            "now": now,
        },
    )


def set_values(session: Session, send_id: int, state: MassState | None, **values: Any) -> None:
    """Write to a mass message; `state` None leaves its state as it is."""
    if state is not None:
        values["state"] = state
    session.execute(
        update(MassSend)
        .where(MassSend.id == send_id)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
