"""What callbacks say (事件): one frozen class per kind of event, and an honest UnknownEvent.

Fields are those of developer.work.weixin.qq.com/document/path/92130 (customers), 90240 (the app)
and 94670 (微信客服). To support another event, add its class here and its row in `reading.READERS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Event:
    """What all have in common; `to_user` is the corp id."""

    created_at: datetime
    to_user: str


@dataclass(frozen=True, kw_only=True)
class ContactAdded(Event):
    """A guide has a new customer. No code: somebody else welcomes, or the chat has begun."""

    userid: str
    external_userid: str
    state: str | None
    welcome_code: str | None


@dataclass(frozen=True, kw_only=True)
class ContactHalfAdded(Event):
    """A customer added a guide who need not confirm, and who has not confirmed yet."""

    userid: str
    external_userid: str
    state: str | None
    welcome_code: str | None


@dataclass(frozen=True, kw_only=True)
class ConsentGiven(Event):
    """The customer agreed to archiving (msg_audit_approved); the code comes only now."""

    userid: str
    external_userid: str
    welcome_code: str | None


@dataclass(frozen=True, kw_only=True)
class ContactEdited(Event):
    """A guide changed remark, mobile or tags by hand."""

    userid: str
    external_userid: str


@dataclass(frozen=True, kw_only=True)
class ContactRemoved(Event):
    """The guide deleted the customer; `source` tells a handover (DELETE_BY_TRANSFER)."""

    userid: str
    external_userid: str
    source: str | None


@dataclass(frozen=True, kw_only=True)
class GuideRemoved(Event):
    """The customer deleted the guide."""

    userid: str
    external_userid: str


@dataclass(frozen=True, kw_only=True)
class TransferFailed(Event):
    """A handover to `userid` failed: customer_refused or customer_limit_exceed."""

    userid: str
    external_userid: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class CorpTagChanged(Event):
    """A corp tag or group: create, update, delete, shuffle (then `id` may be empty: all groups)."""

    change: str
    id: str
    tag_type: str


@dataclass(frozen=True, kw_only=True)
class GroupChatChanged(Event):
    """A customer group: create, update or dismiss. `detail` holds the documented extras."""

    change: str
    chat_id: str
    detail: dict[str, str | list[str]]


@dataclass(frozen=True, kw_only=True)
class GuideMessage(Event):
    """A guide wrote to the app."""

    userid: str
    text: str
    msg_id: str


@dataclass(frozen=True, kw_only=True)
class CardClicked(Event):
    """A guide pressed a button of a card; `selected` maps a question to the chosen options."""

    userid: str
    task_id: str
    key: str
    response_code: str
    selected: dict[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class AppEntered(Event):
    """A guide opened the app."""

    userid: str


@dataclass(frozen=True, kw_only=True)
class GuideSubscribed(Event):
    """A member came into the app's visible range."""

    userid: str


@dataclass(frozen=True, kw_only=True)
class GuideUnsubscribed(Event):
    """A member left the app's visible range, or the corp."""

    userid: str


@dataclass(frozen=True, kw_only=True)
class KfArrived(Event):
    """Something new waits in a 微信客服 account; `token` lets sync_msg fetch it (10 minutes)."""

    open_kfid: str
    token: str


@dataclass(frozen=True, kw_only=True)
class UnknownEvent(Event):
    """Rightly signed, readable, and not (yet) known here."""

    msg_type: str
    event: str
    change_type: str

    @property
    def kind(self) -> tuple[str, str]:
        """(event, change_type), the key under which it would be added to `reading.READERS`."""
        return (self.event, self.change_type)
