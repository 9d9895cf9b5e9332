"""What the bot does on each event (事件): one table, read by the worker and by the tests.

A function is `(bot, event) -> None`, opens its own transactions and may run any number of times
for one event: a failure of one does not stop the others, and all of them run again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.bot import Bot
from bot.errors import CallbackError
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

log = logging.getLogger(__name__)

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
_REMOVED: tuple[Handler, ...] = (
    follow.end_follow,
    welcome.note_overtaken,
    follow.alert_lost,
    follow.alert_deletions,
)

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


#: Functions that do the same for many events of a moment in a few statements, instead of those for
#: each: a campaign's hundred adds a second are then a few transactions a second.
TOGETHER: dict[Handler, Callable[[Bot, Sequence[Any]], None]] = {
    follow.start_follow: follow.start_follows,
    welcome.send_welcome: welcome.send_welcomes,
    follow.tag_by_channel: follow.tag_all_by_channel,
    tags.mark_for_guide: tags.mark_for_guides,
    follow.enroll: follow.enroll_all,
    follow.alert_new_friend: follow.alert_new_friends,
    roster_refresh.ask_again: roster_refresh.ask_all_again,
    chat.app_entered: chat.greet_all,
}


def gathered() -> set[str]:
    """The kinds of messages that gain by being handled together; of any other kind a slow one
    would only hold up the next."""
    return {
        kind.__name__
        for kind, functions in HANDLERS.items()
        if functions and all(function in TOGETHER for function in functions)
    }


@dataclass
class Handling:
    """How the handling of one message went."""

    handled: bool = False
    failures: list[Exception] = field(default_factory=list)


def handle(bot: Bot, plaintexts: Sequence[bytes]) -> list[Handling]:
    """Run what the table says for stored messages, in their order; a Handling for each.

    `handled` is False where nobody handles the kind. A failure of one function or one message
    leaves the others alone.
    """
    ends = [Handling() for _ in plaintexts]
    groups: dict[tuple[Handler, ...], list[tuple[Event, Handling]]] = {}
    for plaintext, end in zip(plaintexts, ends, strict=True):
        try:
            event = callback.parse(plaintext)
        except CallbackError as error:
            end.failures.append(error)
            continue
        functions = HANDLERS.get(type(event), ())
        end.handled = bool(functions)
        groups.setdefault(functions, []).append((event, end))
    for functions, group in groups.items():
        for function in functions:
            _run(bot, function, group)
    return ends


def _run(bot: Bot, function: Handler, group: Sequence[tuple[Event, Handling]]) -> None:
    together = TOGETHER.get(function)
    if together is not None and len(group) > 1:
        try:
            together(bot, [event for event, _ in group])
            return
        except Exception as error:  # whose fault it was shows when each has its own turn
            log.info("%s together failed reason=%s", function.__name__, type(error).__name__)
    for event, end in group:
        try:
            function(bot, event)
        except Exception as error:  # each function stands alone; the caller sees all failures
            end.failures.append(error)
