"""What became of what machines sent (发送结果): tasks that are done, ended, or told of later.

Everything may be said twice: an answer that is written again changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm import channel_misses, opt_outs, timeline
from bot.crm.models import OptOutChannel
from bot.outbox import CallState, Delivery
from bot.sms import Code
from bot.wecom import official_account
from content_library.channel_templates import Channel
from sop import fallbacks, step_kinds, writing

_REASONS: dict[tuple[str, int], str] = {
    (Channel.SMS, Code.UNKNOWN_TEMPLATE): "短信平台没有这个模板",
    (Channel.SMS, Code.WRONG_MOBILE): "手机号不正确",
    (Channel.SMS, Code.REFUSED_BY_RECEIVER): "客户已拒收短信",
    (Channel.TEMPLATE_MESSAGE, 40003): "客户不是这个公众号的用户",
    (Channel.TEMPLATE_MESSAGE, 40037): "公众号没有这个模板",
    (Channel.TEMPLATE_MESSAGE, 47003): "模板变量不符合要求",
    **{
        (Channel.TEMPLATE_MESSAGE, code): "客户没有关注公众号"
        for code in official_account.NOT_SUBSCRIBED
    },
    **{
        (Channel.TEMPLATE_MESSAGE, code): "客户已拒收公众号消息"
        for code in official_account.REFUSED
    },
}
#: Errcodes that are a refusal of the whole channel, by kind.
REFUSALS: dict[str, frozenset[int]] = {
    Channel.SMS: frozenset({int(Code.REFUSED_BY_RECEIVER)}),
    Channel.TEMPLATE_MESSAGE: official_account.REFUSED,
}
#: Errcodes by which the channel does not reach this customer now. Not to follow the account is no
#: refusal: who follows it tomorrow can be written to again.
MISSES: dict[str, frozenset[int]] = {
    Channel.SMS: frozenset({int(Code.WRONG_MOBILE)}),
    Channel.TEMPLATE_MESSAGE: official_account.NOT_SUBSCRIBED | official_account.UNKNOWN_OPENID,
}
_NOT_DELIVERED = "短信没有送达"

_END = text(
    """
    WITH ended AS (
        UPDATE task SET state = 'expired', state_reason = :reason, ended_at = :at, held_by = NULL
        WHERE id = ANY(:ids) AND state IN ('open', 'deferred')
        RETURNING id
    )
    DELETE FROM touch_ledger AS l USING ended WHERE l.task_id = ended.id AND NOT :keeps_claim
    """
)
_DONE = text(
    """
    UPDATE task SET state = 'done', sent_at = :at, ended_at = :at, state_reason = NULL,
        held_by = NULL
    WHERE id = :id AND state IN ('open', 'deferred')
    """
)
# She got it, whatever became of her task meanwhile: that is the day she was written to.
_TOUCH = text(
    """
    INSERT INTO touch_ledger (contact_id, touched_on, channel, task_id)
    SELECT contact_id, :day, kind, id FROM task
    WHERE id = :id AND COALESCE(outcome, '') NOT LIKE :lost
    ON CONFLICT (task_id) DO UPDATE SET touched_on = excluded.touched_on
    """
)
_TOLD = text("SELECT contact_id, guide_id, why ->> 'step' AS title FROM task WHERE id = :id")
# The operator may be quicker with its report than we are with writing that it was sent.
_REPORT = text(
    """
    UPDATE task SET outcome = :outcome
    WHERE id = :id AND kind = 'sms' AND outcome IS DISTINCT FROM :outcome
    RETURNING contact_id, guide_id, why ->> 'step' AS title
    """
)


def sent(session: Session, delivery: Delivery) -> None:
    """The carrier took the message: the task is done, and the customer was written to."""
    task_id, at = int(delivery.subject["task_id"]), delivery.not_before
    session.execute(_DONE, {"id": task_id, "at": at})
    channel_misses.clear(session, [(int(delivery.subject["contact_id"]), delivery.kind, at)])
    given = {"id": task_id, "day": business_day(at), "lost": f"{_NOT_DELIVERED}%"}
    session.execute(_TOUCH, given)
    row = session.execute(_TOLD, {"id": task_id}).one_or_none()
    if row is not None:
        label = step_kinds.KINDS[delivery.kind]
        _tell(session, row, task_id, f"{label}发出了「{row.title or label}」", at, "done")


def failed(session: Session, delivery: Delivery) -> None:
    """The message was not sent, or nobody knows: its task goes on, ends, or waits for the night.

    What only its day overtook may be planned again while it makes sense. Whom the channel does not
    reach is tried by the next way of the step's chain; that is remembered, a refusal for good.
    Where the carrier may have sent it, the claim on the customer stays.
    """
    is_late = delivery.state is CallState.EXPIRED
    task_id, kind = int(delivery.subject["task_id"]), delivery.kind
    if (is_late and not delivery.ambiguous) or fallbacks.has_gone_on(session, task_id, kind):
        return
    code, at = delivery.last_errcode, delivery.not_before
    why = _REASONS.get((kind, code or 0)) or delivery.last_error or "没有回应"
    if _does_not_reach(session, delivery) and fallbacks.go_on(session, task_id, kind, why, at):
        return
    is_unknown = is_late or delivery.state is CallState.UNKNOWN
    said = "不确定是否已经发出，没有重发" if is_unknown else f"没有发出：{why}"
    reason = f"{step_kinds.KINDS[kind]}{said}"[:300]
    end(session, [task_id], reason, at, keeps_claim=is_unknown)


def _does_not_reach(session: Session, delivery: Delivery) -> bool:
    """Whether this customer is the reason; then it is remembered, for some days or as a refusal."""
    kind, code, at = delivery.kind, delivery.last_errcode, delivery.not_before
    if code is None or delivery.state is CallState.UNKNOWN:
        return False
    contact_id = int(delivery.subject["contact_id"])
    if code in MISSES[kind]:
        channel_misses.note(session, contact_id, kind, at)
        return True
    if code in REFUSALS[kind]:
        opt_outs.refuse(
            session,
            contact_id,
            OptOutChannel(kind),
            source="operator" if kind == Channel.SMS else "official_account",
            at=at,
            event_key=f"outbox:{delivery.dedupe_key}",
        )
        return True
    return False


def reported(
    session: Session, task_id: int, *, is_delivered: bool, error: str, at: datetime
) -> bool:
    """The operator says what became of an SMS; False: nothing new. What never arrived is no
    touch, so the customer may be written to again."""
    why = error.strip()[:60] or "原因不明"
    outcome = "短信已送达" if is_delivered else f"{_NOT_DELIVERED}：{why}"
    row = session.execute(_REPORT, {"id": task_id, "outcome": outcome}).one_or_none()
    if row is None:
        return False
    if not is_delivered:
        session.execute(text("DELETE FROM touch_ledger WHERE task_id = :id"), {"id": task_id})
        _tell(session, row, task_id, f"「{row.title or '短信'}」{outcome}", at, "report")
    return True


def end(
    session: Session,
    task_ids: Sequence[int],
    reason: str,
    at: datetime,
    *,
    keeps_claim: bool = False,
) -> int:
    """End tasks whose message cannot be sent; the claim on the customer is free again, or kept."""
    given = {"ids": list(task_ids), "reason": reason, "at": at, "keeps_claim": keeps_claim}
    return writing.rows(session, _END, given)


def _tell(
    session: Session,
    row: Row[*tuple[Any, ...]],
    task_id: int,
    words: str,
    at: datetime,
    key: str,
) -> None:
    timeline.record(
        session,
        row.contact_id,
        "task",
        words,
        at,
        guide_id=row.guide_id,
        detail={"task_id": task_id},
        dedupe_key=f"task:{task_id}:{key}",
    )
