"""Leads (线索): raised by what customers do, scored, given to a guide, and ended with an outcome.

A contact has at most one lead that is alive; whatever else she does counts towards it. Everything
here may run any number of times: a signal has its own key, and a change of state happens once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm import brand, changes
from bot.errors import UserError
from content_library import words
from sop import lead_assignment, lead_signals, lead_views, writing
from sop.lead_signals import BEHAVIORS, INTENTS, LIVE
from sop.lead_views import LeadView
from sop.models import LeadState

_NOTE_LENGTH = 200
_ASKS = tuple(key for key, one in BEHAVIORS.items() if one.is_hot)
_SAYINGS = [key for key, one in BEHAVIORS.items() if one.select is None]
_MONEY = lead_signals.MONEY.format(fen="b.fen")

# Whoever was merged into another takes the lead along; of two the older one goes on.
_ADOPT = """
    WITH RECURSIVE kept (gone_id, contact_id) AS (
        SELECT c.id, c.merged_into_id FROM contact c
        WHERE c.merged_into_id IS NOT NULL
          AND c.id IN (SELECT l.contact_id FROM lead l WHERE l.state IN {live}) {only}
        UNION ALL
        SELECT k.gone_id, c.merged_into_id FROM kept k JOIN contact c ON c.id = k.contact_id
        WHERE c.merged_into_id IS NOT NULL
    ),
    moving AS (
        SELECT l.id, k.contact_id,
               row_number() OVER (PARTITION BY k.contact_id ORDER BY l.raised_at, l.id) > 1
               OR EXISTS (SELECT FROM lead o
                          WHERE o.contact_id = k.contact_id AND o.state IN {live}) AS is_second
        FROM kept k
        JOIN contact c ON c.id = k.contact_id AND c.merged_into_id IS NULL
        JOIN lead l ON l.contact_id = k.gone_id AND l.state IN {live}
    )
    UPDATE lead l
    SET contact_id = m.contact_id,
        state = CASE WHEN m.is_second THEN 'lost' ELSE l.state END,
        ended_at = CASE WHEN m.is_second THEN CAST(:now AS timestamptz) END,
        outcome = CASE WHEN m.is_second THEN '客户资料合并' END
    FROM moving m WHERE l.id = m.id
"""
_ADOPT_APPOINTMENTS = """
    UPDATE appointment a SET contact_id = c.merged_into_id, updated_at = :now
    FROM contact c WHERE c.id = a.contact_id AND c.merged_into_id IS NOT NULL
      AND a.state IN ('invited', 'booked') {only}
"""
# A lead that has become hot is told of like a new one, and waits from now on.
_RESCORE = """
    UPDATE lead l SET score = s.total, is_hot = s.is_hot,
        alerted_at = CASE WHEN {again} THEN NULL ELSE l.alerted_at END,
        escalated_at = CASE WHEN {again} THEN NULL ELSE l.escalated_at END,
        assigned_at = CASE WHEN {again} THEN :now ELSE l.assigned_at END
    FROM (
        SELECT v.id, sum(x.score) AS total,
               sum(x.score) >= :hot OR bool_or(x.behavior = ANY(:asks)) AS is_hot
        FROM lead v JOIN lead_signal x ON x.lead_id = v.id
        WHERE v.state IN {live} {only}
        GROUP BY v.id
    ) s
    WHERE l.id = s.id AND (l.score, l.is_hot) IS DISTINCT FROM (s.total, s.is_hot)
"""
_BECAME_HOT = "l.state = 'assigned' AND s.is_hot AND NOT l.is_hot"
# Whoever was spoken to, or asks for something she had not asked for, wants to hear from a person.
_WAIT_AGAIN = text(
    """
    UPDATE lead l SET state = 'assigned', assigned_at = :now, alerted_at = NULL,
        escalated_at = NULL
    WHERE l.contact_id = :contact_id AND l.state IN ('assigned', 'touched')
      AND l.guide_id IS DISTINCT FROM CAST(:heard_by AS bigint)
      AND (l.state = 'touched' OR (
          SELECT count(*) FROM lead_signal x
          WHERE x.lead_id = l.id AND x.behavior = :behavior) = 1)
    """
)
# The guide who told us of it needs no alert.
_KNOWN_TO_HER = text(
    """
    UPDATE lead SET alerted_at = :now
    WHERE contact_id = :contact_id AND guide_id = :heard_by AND state IN ('assigned', 'touched')
      AND alerted_at IS NULL
    """
)
_TELL_RAISED = """
    INSERT INTO timeline_entry (contact_id, guide_id, kind, occurred_at, text, dedupe_key)
    SELECT v.contact_id, v.guide_id, 'lead', v.raised_at, '成为线索：' || first.text,
           'lead:' || v.id || '\\:raised'
    FROM lead v
    CROSS JOIN LATERAL (
        SELECT x.text FROM lead_signal x WHERE x.lead_id = v.id
        ORDER BY x.score DESC, x.seen_at, x.id LIMIT 1
    ) first
    WHERE v.state IN {live} AND v.raised_on = :day {only}
    ORDER BY v.id ON CONFLICT (dedupe_key) DO NOTHING
"""
_WON = """
    UPDATE lead l SET state = 'won', ended_at = :now, outcome = '成交 ¥' || {money}
    FROM (
        SELECT v.id, sum(p.amount_fen - p.refunded_fen) AS fen
        FROM lead v JOIN purchase p ON p.contact_id = v.contact_id
         AND p.purchased_at >= v.raised_at AND p.refunded_fen < p.amount_fen
        WHERE v.state IN {live} {only}
        GROUP BY v.id
    ) b
    WHERE l.id = b.id
"""
_EXPIRE = """
    UPDATE lead v SET state = 'expired', ended_at = :now,
        outcome = CASE v.state WHEN 'touched' THEN '联系后没有新动静' ELSE '一直没有跟进' END
    WHERE v.state IN {live} AND v.raised_at < :before {only}
      AND NOT EXISTS (SELECT FROM lead_signal x WHERE x.lead_id = v.id AND x.seen_at >= :before)
"""
# She refused to be spoken to, and asked for nothing herself.
_REFUSED = f"""
    UPDATE lead v SET state = 'lost', ended_at = :now, outcome = '客户不想被联系'
    WHERE v.state IN {{live}} {{only}}
      AND {lead_signals.IS_REFUSING.format(contact="v.contact_id")}
      AND NOT EXISTS (
          SELECT FROM lead_signal x WHERE x.lead_id = v.id AND x.behavior = ANY(:said))
"""
# Done with this customer, by her or for her, since she has the lead.
_TOUCH_BY_TASKS = """
    UPDATE lead v SET state = 'touched', touched_at = t.ended_at
    FROM task t
    WHERE v.state = 'assigned' {only}
      AND t.contact_id = v.contact_id AND t.guide_id = v.guide_id AND t.state = 'done'
      AND t.carrier = 'guide' AND t.ended_at >= v.assigned_at
"""
_CHANGED = """
    WITH changed AS ({update}
        RETURNING {alias}.id, {alias}.contact_id, {alias}.guide_id, {alias}.state, {alias}.outcome)
    INSERT INTO timeline_entry (contact_id, guide_id, kind, occurred_at, text, dedupe_key)
    SELECT contact_id, guide_id, 'lead', :now,
           CASE state WHEN 'won' THEN '线索' WHEN 'touched' THEN '线索已联系'
                WHEN 'expired' THEN '线索过期：' ELSE '线索结束：' END || COALESCE(outcome, ''),
           'lead:' || id || ':' || state
    FROM (SELECT DISTINCT ON (id) * FROM changed ORDER BY id) AS once
    ON CONFLICT (dedupe_key) DO NOTHING
"""


def raise_due(
    session: Session, day: date, now: datetime, contact_ids: Sequence[int] | None = None
) -> int:
    """Bring the leads up to date: new signals, scores, guides and ends; returns new signals.

    `contact_ids` limits it to these customers. The number of statements does not depend on theirs.
    """
    settings = brand.settings(session)
    adopt(session, now, contact_ids)
    touch_by_tasks(session, now, contact_ids)
    _change(session, _REFUSED, "v", now, contact_ids, values={"said": _SAYINGS})
    fresh = lead_signals.record_facts(session, day, now, settings, contact_ids)
    _change(session, _WON, "l", now, contact_ids, money=_MONEY)
    before = now - timedelta(days=settings.leads.expire_days)
    _change(session, _EXPIRE, "v", now, contact_ids, values={"before": before})
    _settle(session, day, now, settings.leads.hot, contact_ids)
    return fresh


def raise_intent(
    session: Session,
    contact_id: int,
    intent: str,
    said: str,
    now: datetime,
    *,
    dedupe_key: str,
    heard_by: int | None = None,
) -> int | None:
    """A customer asked for something that wants a person (定制, 结婚选款); her lead's id.

    None if this saying was told before. The guide is alerted by `handlers.lead_alerts`, also of a
    lead she was told of before; `heard_by` is a guide who heard it herself.
    """
    if intent not in INTENTS:
        raise UserError(f"意向只能是 {'、'.join(INTENTS)}。", field="intent")
    quoted = words.plain(said, 60)
    return _said(
        session,
        contact_id,
        INTENTS[intent],
        f"问到{intent}：「{quoted}」" if quoted else f"问到{intent}",
        now,
        dedupe_key,
        heard_by,
    )


def raise_strong(
    session: Session,
    contact_id: int,
    now: datetime,
    *,
    dedupe_key: str,
    heard_by: int | None = None,
) -> int | None:
    """A customer left the store with a strong wish to buy; her lead's id, None if told before."""
    return _said(session, contact_id, "intended", "到店后意向强", now, dedupe_key, heard_by)


def intent_of(said: str, intents: Mapping[str, Sequence[str]]) -> str | None:
    """The first of the brand's intentions whose words are in `said`."""
    for name, keywords in intents.items():
        if name in INTENTS and any(word in said for word in keywords):
            return name
    return None


def adopt(session: Session, now: datetime, contact_ids: Sequence[int] | None = None) -> int:
    """Take leads and appointments of merged contacts to the contact that was kept."""
    only, given = _only(contact_ids, "AND c.id = ANY(:contacts)")
    moved = writing.rows(session, text(_ADOPT.format(live=LIVE, only=only)), {"now": now, **given})
    only, given = _only(contact_ids, "AND a.contact_id = ANY(:contacts)")
    statement = text(_ADOPT_APPOINTMENTS.format(only=only))
    return moved + writing.rows(session, statement, {"now": now, **given})


def touch_by_tasks(
    session: Session, now: datetime, contact_ids: Sequence[int] | None = None
) -> int:
    """A task done with the customer is a touch of her lead too."""
    return _change(session, _TOUCH_BY_TASKS, "v", now, contact_ids)


def touch(
    session: Session, lead_id: int, now: datetime, *, guide_id: int | None = None
) -> LeadView:
    """Somebody has been in touch; `guide_id` is the guide who says so of her own lead."""
    return _end(session, lead_id, LeadState.TOUCHED, None, now, guide_id)


def lose(
    session: Session, lead_id: int, reason: str, now: datetime, *, guide_id: int | None = None
) -> LeadView:
    """It came to nothing, and why."""
    why = words.plain(reason, _NOTE_LENGTH)
    if not why:
        raise UserError("请写上没成的原因，例如「已在别处买了」。", field="reason")
    return _end(session, lead_id, LeadState.LOST, why, now, guide_id)


def _said(
    session: Session,
    contact_id: int,
    behavior: str,
    line: str,
    now: datetime,
    dedupe_key: str,
    heard_by: int | None,
) -> int | None:
    settings, day = brand.settings(session), business_day(now)
    # Triggers read leads. Marked before a lead is locked, for the refresher goes the same way.
    changes.mark(session, [contact_id])
    is_new = lead_signals.record_saying(
        session, contact_id, behavior, line, day, now, settings, dedupe_key=dedupe_key
    )
    if not is_new:
        return None
    given = {"contact_id": contact_id, "behavior": behavior, "now": now, "heard_by": heard_by}
    session.execute(_WAIT_AGAIN, given)
    _settle(session, day, now, settings.leads.hot, [contact_id])
    session.execute(_KNOWN_TO_HER, given)
    found = text(f"SELECT id FROM lead WHERE contact_id = :id AND state IN {LIVE}")
    lead_id: int | None = session.scalar(found, {"id": contact_id})
    return lead_id


def _settle(
    session: Session, day: date, now: datetime, hot: int, contact_ids: Sequence[int] | None
) -> None:
    only, given = _only(contact_ids)
    given |= {"hot": hot, "asks": list(_ASKS), "day": day, "now": now}
    rescore = _RESCORE.format(live=LIVE, only=only, again=_BECAME_HOT)
    writing.rows(session, text(rescore), given)
    lead_assignment.assign(session, day, now, contact_ids)
    writing.rows(session, text(_TELL_RAISED.format(live=LIVE, only=only)), given)


def _end(
    session: Session,
    lead_id: int,
    state: LeadState,
    outcome: str | None,
    now: datetime,
    guide_id: int | None,
) -> LeadView:
    is_end = state != LeadState.TOUCHED
    if is_end:
        # What was planned for the lead is looked at again. Marked before the lead is locked.
        whose = text("SELECT contact_id FROM lead WHERE id = :id")
        changes.mark(session, session.scalars(whose, {"id": lead_id}).all())
    locked = text("SELECT state, guide_id FROM lead WHERE id = :id FOR UPDATE")
    row = session.execute(locked, {"id": lead_id}).one_or_none()
    if row is None or (guide_id is not None and row.guide_id != guide_id):
        raise UserError("没有找到这条线索。")
    if row.state == state:
        return lead_views.view(session, lead_id)
    if row.state not in (LeadState.OPEN, LeadState.ASSIGNED, LeadState.TOUCHED):
        raise UserError("这条线索已经结束了。")
    update = f"""
        UPDATE lead v SET state = :state, outcome = :outcome,
            {"ended_at" if is_end else "touched_at"} = :now
        WHERE v.id = :id"""
    values = {"id": lead_id, "state": state.value, "outcome": outcome}
    _change(session, update, "v", now, None, values=values)
    return lead_views.view(session, lead_id)


def _change(
    session: Session,
    update: str,
    alias: str,
    now: datetime,
    contact_ids: Sequence[int] | None,
    *,
    values: dict[str, Any] | None = None,
    money: str = "",
) -> int:
    only, given = _only(contact_ids)
    made = _CHANGED.format(update=update.format(live=LIVE, only=only, money=money), alias=alias)
    return writing.rows(session, text(made), {"now": now, **given, **(values or {})})


def _only(
    contact_ids: Sequence[int] | None, condition: str = "AND v.contact_id = ANY(:contacts)"
) -> tuple[str, dict[str, Any]]:
    return ("", {}) if contact_ids is None else (condition, {"contacts": list(contact_ids)})
