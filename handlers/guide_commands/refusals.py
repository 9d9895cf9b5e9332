"""Customers who want no messages (退订), as a guide reports it: 「退订 王女士」."""

from __future__ import annotations

from sqlalchemy.orm import Session

from bot.crm import opt_outs
from bot.crm.models import OptOutChannel
from bot.errors import UserError
from handlers.guide_commands.asker import Asker, one_customer
from handlers.guide_commands.parsing import Command


def refuse(session: Session, asker: Asker, command: Command) -> str:
    """No more mass messages, SMS and template messages; her guide may still write."""
    if not command.rest:
        raise UserError("哪位客户不想再收消息？例如「退订 王女士」。")
    hit = one_customer(session, asker, command.rest, "退订")
    opt_outs.refuse_messages(
        session,
        hit.contact_id,
        source="guide",
        at=asker.now,
        event_key=f"guide:{asker.guide.id}:{asker.now.isoformat()}",
        actor=asker.actor,
    )
    return f"好的，不再给{hit.name}发群发、短信和公众号消息，您仍可以一对一联系。"


def allow(session: Session, asker: Asker, command: Command) -> str:
    """Take back what a guide reported; what the customer said herself only she can take back."""
    if not command.rest:
        raise UserError("恢复哪位客户？例如「恢复 王女士」。")
    hit = one_customer(session, asker, command.rest, "恢复")
    refused = opt_outs.of(session, hit.contact_id)
    if not refused:
        return f"{hit.name}没有退订，不用恢复。"
    if any(one.source != "guide" for one in refused):
        raise UserError(f"{hit.name}是自己退订的，要由她本人提出恢复。")
    opt_outs.allow(
        session,
        hit.contact_id,
        OptOutChannel.ALL,
        source="guide",
        at=asker.now,
        event_key=f"guide:{asker.guide.id}:{asker.now.isoformat()}",
        actor=asker.actor,
    )
    return f"好的，{hit.name}可以重新收到消息了。"
