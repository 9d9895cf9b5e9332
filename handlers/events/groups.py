"""Customer groups change (客户群变更): kept, counted (wx_events) and said in the log.

Nothing in the customer book hangs on a group, so there is nothing to read again.
"""

from __future__ import annotations

import logging

from bot.bot import Bot
from bot.wecom.events import GroupChatChanged

log = logging.getLogger(__name__)


def group_changed(bot: Bot, event: GroupChatChanged) -> None:
    """Say that a group was created, changed or dismissed."""
    log.info("group change=%s chat=%s", event.change, event.chat_id)
