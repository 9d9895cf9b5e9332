"""What the bot does on each event (事件): one table, read by the worker and by the tests.

A function is `(bot, event) -> None`, opens its own transactions and may run any number of times
for one event: a failure of one does not stop the others, and all of them run again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.bot import Bot
from bot.wecom import callback
from bot.wecom.events import (
    AppEntered,
    CardClicked,
    ConsentGiven,
    ContactAdded,
    ContactEdited,
    ContactHalfAdded,
    ContactRemoved,
    CorpTagChanged,
    Event,
    GroupChatChanged,
    GuideMessage,
    GuideRemoved,
    GuideSubscribed,
    GuideUnsubscribed,
    KfArrived,
    TransferFailed,
    UnknownEvent,
)
from handlers.events import (
    chat,
    follow,
    groups,
    handover,
    kf,
    roster_refresh,
    staff,
    tags,
    welcome,
)

#: The second argument is the class of event under which the function stands in the table.
Handler = Callable[[Bot, Any], None]

# After the book, the welcome comes before everything else: its code lives 20 seconds.
_ADDED: tuple[Handler, ...] = (
    follow.start_follow,
    welcome.send_welcome,
    follow.tag_by_channel,
    tags.mark_for_guide,
    follow.enroll,
    follow.alert_new_friend,
)
_REMOVED: tuple[Handler, ...] = (follow.end_follow, follow.alert_lost)

#: Every class of event has its row, also those for which there is nothing to do.
HANDLERS: dict[type[Event], tuple[Handler, ...]] = {
    ContactAdded: _ADDED,
    ContactHalfAdded: _ADDED,
    ConsentGiven: (welcome.send_welcome,),
    ContactEdited: (roster_refresh.ask_again,),
    ContactRemoved: _REMOVED,
    GuideRemoved: _REMOVED,
    TransferFailed: (handover.transfer_failed,),
    CorpTagChanged: (tags.adopt_list,),
    GroupChatChanged: (groups.group_changed,),
    GuideMessage: (chat.guide_wrote,),
    CardClicked: (chat.card_clicked,),
    AppEntered: (chat.app_entered,),
    GuideSubscribed: (staff.guide_came,),
    GuideUnsubscribed: (staff.guide_left,),
    KfArrived: (kf.kf_arrived,),
    # Kept as ignored, counted, and said in the log with its name.
    UnknownEvent: (),
}


def handle(bot: Bot, plaintext: bytes) -> bool:
    """Run what the table says for one stored message; False: nobody handles this kind.

    Raises an ExceptionGroup of all that failed, or CallbackError for what cannot be read.
    """
    event = callback.parse(plaintext)
    functions = HANDLERS.get(type(event), ())
    failures: list[Exception] = []
    for function in functions:
        try:
            function(bot, event)
        except Exception as error:  # each function stands alone; all failures are raised below
            failures.append(error)
    if failures:
        raise ExceptionGroup(f"{type(event).__name__} failed", failures)
    return bool(functions)
