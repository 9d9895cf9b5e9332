"""Calls of mass messages (企业群发): made for one guide, who must confirm before anything is sent.

Limits and numbers: developer.work.weixin.qq.com/document/path/92135, 93338, 97610 and 97611. WeCom
calls nobody back when a guide has confirmed, so who got what is read page by page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

from bot.errors import UserError, WeComUnavailable
from bot.wecom import bodies, messages
from bot.wecom.details import moment_of, number_of, object_of, objects_of, text_of, texts_of
from bot.wecom.messages import Attachment
from bot.wecom.path import CallPath

#: The path that makes a mass message or a group message.
API = "externalcontact/add_msg_template"
CANCEL_API = "externalcontact/cancel_groupmsg_send"
REMIND_API = "externalcontact/remind_groupmsg_send"
#: Customers of one mass message.
MOST_CUSTOMERS = 10_000
_PAGE = 1000
_LIST_PAGE = 100
# A mass message has at most 10,000 customers; a page that never ends is a defect of the platform.
_MOST_PAGES = 50


class Sent(IntEnum):
    """How far a mass message has come with one customer, as get_groupmsg_send_result numbers it."""

    WAITING = 0
    SENT = 1
    NOT_FRIENDS = 2
    OVER_LIMIT = 3


@dataclass(frozen=True)
class Created:
    """A mass message that waits for its guide; `refused` are customers it cannot go to."""

    msgid: str
    refused: tuple[str, ...]


@dataclass(frozen=True)
class Listed:
    """A line of the list of mass messages; one made by an app has no creator."""

    msgid: str
    creator: str
    text: str
    created_at: datetime | None


@dataclass(frozen=True)
class SenderTask:
    """A guide's part in a mass message: whether she has confirmed it."""

    userid: str
    is_sent: bool
    sent_at: datetime | None


@dataclass(frozen=True)
class Outcome:
    """What became of a mass message for one customer (or one group, by its chat id)."""

    receiver: str
    userid: str
    status: int
    sent_at: datetime | None


def mass_message_body(
    userid: str,
    external_userids: Sequence[str],
    text: str,
    attachments: Sequence[Attachment] = (),
) -> bytes:
    """externalcontact/add_msg_template for customers of one guide, at most 10,000 of them."""
    if not 1 <= len(external_userids) <= MOST_CUSTOMERS:
        raise UserError(f"一次群发要有 1 到 {MOST_CUSTOMERS} 位客户。", field="external_userids")
    body = {"chat_type": "single", "external_userid": list(external_userids)}
    return _body(userid, text, attachments, body)


def group_message_body(userid: str, text: str, attachments: Sequence[Attachment] = ()) -> bytes:
    """externalcontact/add_msg_template for customer groups, which the guide picks herself."""
    return _body(userid, text, attachments, {"chat_type": "group"})


def clipped(text: str) -> str:
    """The words as WeCom gets them, and lists them afterwards."""
    return messages.clip(text, messages.TEXT_LIMIT)


def _body(userid: str, text: str, attachments: Sequence[Attachment], body: dict[str, Any]) -> bytes:
    if not userid:
        raise UserError("群发要有一位导购。", field="userid")
    if not text and not attachments:
        raise UserError("群发要有文字或附件。", field="text")
    if len(attachments) > messages.MOST_ATTACHMENTS:
        raise UserError(f"附件最多 {messages.MOST_ATTACHMENTS} 个。", field="attachments")
    body["sender"] = userid
    if text:
        body["text"] = {"content": clipped(text)}
    if attachments:
        body["attachments"] = [messages.as_attachment(one) for one in attachments]
    return bodies.freeze(body)


def cancel_body(msgid: str) -> bytes:
    """externalcontact/cancel_groupmsg_send: what has not been sent stays unsent."""
    return bodies.freeze({"msgid": msgid})


def remind_body(msgid: str) -> bytes:
    """externalcontact/remind_groupmsg_send: whoever has not confirmed is notified again."""
    return bodies.freeze({"msgid": msgid})


def read_created(reply: Mapping[str, Any]) -> Created:
    """What a reply to add_msg_template says; errcode 0 may still leave customers out."""
    return Created(text_of(reply, "msgid"), texts_of(reply, "fail_list"))


class MassCalls(CallPath):
    """The part of the gateway about mass messages."""

    def add_mass_message(
        self,
        userid: str,
        external_userids: Sequence[str],
        text: str,
        attachments: Sequence[Attachment] = (),
    ) -> Created:
        """Ask a guide to send words to customers; nothing leaves before she confirms."""
        return self._create(mass_message_body(userid, external_userids, text, attachments))

    def add_group_message(
        self, userid: str, text: str, attachments: Sequence[Attachment] = ()
    ) -> Created:
        """Ask a guide to send words to the customer groups she picks."""
        return self._create(group_message_body(userid, text, attachments))

    def _create(self, body: bytes) -> Created:
        created = read_created(self.call(API, body))
        if not created.msgid:
            raise WeComUnavailable(API, 0, "no msgid came back")
        return created

    def mass_messages(
        self, first: datetime, last: datetime, *, chat_type: str = "single"
    ) -> list[Listed]:
        """Mass messages that apps or HQ made between two moments, at most a month apart."""
        span = {"start_time": int(first.timestamp()), "end_time": int(last.timestamp())}
        asked = {"chat_type": chat_type, **span, "filter_type": 0}
        rows = self._pages(
            "externalcontact/get_groupmsg_list_v2", asked, "group_msg_list", _LIST_PAGE
        )
        return [
            Listed(
                text_of(row, "msgid"),
                text_of(row, "creator"),
                text_of(object_of(row, "text"), "content"),
                moment_of(row, "create_time"),
            )
            for row in rows
        ]

    def mass_message_tasks(self, msgid: str) -> list[SenderTask]:
        """The guides a mass message waits for, and who has confirmed. 41063 right after it was
        made: `RateLimited`."""
        rows = self._pages("externalcontact/get_groupmsg_task", {"msgid": msgid}, "task_list")
        return [
            SenderTask(
                text_of(row, "userid"), number_of(row, "status") == 2, moment_of(row, "send_time")
            )
            for row in rows
        ]

    def mass_message_outcomes(self, msgid: str, userid: str) -> list[Outcome]:
        """What became of a guide's part, customer by customer (of groups: only what was sent)."""
        asked = {"msgid": msgid, "userid": userid}
        rows = self._pages("externalcontact/get_groupmsg_send_result", asked, "send_list")
        return [
            Outcome(
                text_of(row, "external_userid") or text_of(row, "chat_id"),
                text_of(row, "userid"),
                number_of(row, "status"),
                moment_of(row, "send_time"),
            )
            for row in rows
        ]

    def remind_mass_message(self, msgid: str) -> None:
        """Notify the guides who have not confirmed; at most three times in 24 hours (41094)."""
        self.call(REMIND_API, remind_body(msgid))

    def cancel_mass_message(self, msgid: str) -> None:
        """Stop what has not been sent; what was delivered stays."""
        self.call(CANCEL_API, cancel_body(msgid))

    def _pages(
        self, api: str, asked: Mapping[str, Any], name: str, size: int = _PAGE
    ) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = []
        cursor = ""
        for _ in range(_MOST_PAGES):
            body = {**asked, "limit": size} | ({"cursor": cursor} if cursor else {})
            reply = self.call(api, bodies.freeze(body))
            rows += objects_of(reply, name)
            fresh = text_of(reply, "next_cursor")
            if not fresh or fresh == cursor:
                return rows
            cursor = fresh
        raise WeComUnavailable(api, 0, "the list does not end")
