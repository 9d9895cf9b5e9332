"""A customer could not be handed over (接替失败): her story says so, and people hear of it.

The customer stays with the guide who had her; the guide who was to take over and the managers of
that guide's store must know, because nobody else will greet this customer.
"""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from bot.bot import Bot
from bot.clock import SHANGHAI
from bot.crm import roster, timeline
from bot.crm.models import Contact, Guide
from bot.db import transaction
from bot.wecom.events import TransferFailed
from content_library import notices

# document/path/92130: the reasons WeCom gives.
_REASONS = {
    "customer_refused": "客户拒绝了接替",
    "customer_limit_exceed": "接替成员的客户数已达上限",
}
_OTHER = "企业微信没有说明原因"


def transfer_failed(bot: Bot, event: TransferFailed) -> None:
    """One line in the customer's story and one alert to each who must know; each failure once."""
    why = _REASONS.get(event.reason, _OTHER)
    seconds = int(event.created_at.timestamp())
    key = f"handover:{event.userid.lower()}:{event.external_userid}:{seconds}"
    with transaction(bot.sessions) as session:
        # Whoever is not in the book yet gets a page in it: the event may be the first we hear.
        roster.guide_ids(session, {event.userid})
        roster.lock_contacts(session, [event.external_userid])
        guide = session.scalars(select(Guide).where(roster.same_guide(event.userid))).one()
        contact = session.scalars(
            select(Contact).where(Contact.external_userid == event.external_userid)
        ).one()
        timeline.record(
            session,
            contact.id,
            "transfer_failed",
            f"没能交接给 {guide.name}：{why}",
            event.created_at,
            guide_id=guide.id,
            detail={"reason": event.reason[:100]},
            dedupe_key=key,
        )
        moment = event.created_at.astimezone(SHANGHAI)
        words = (
            f"客户交接没有成功：{contact.name or '一位客户'} → {guide.name}\n"
            f"原因：{why}\n时间：{moment:%m月%d日 %H:%M:%S}"
        )
        for told in _to_tell(session, guide):
            notices.add(
                session,
                kind="alert",
                agent_id=bot.settings.wecom.agent_id,
                userid=told.userid,
                text=words,
                dedupe_key=f"alert:{key}:{told.id}",
                subject={"contact_id": contact.id},
            )


def _to_tell(session: Session, guide: Guide) -> list[Guide]:
    managers = (Guide.store_id == guide.store_id) & Guide.is_manager
    wanted = select(Guide).where(Guide.is_active, or_(Guide.id == guide.id, managers))
    return list(session.scalars(wanted.order_by(Guide.id)))
