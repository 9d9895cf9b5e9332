"""From decrypted XML to an event: which fields each kind has, in one table."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from bot.errors import CallbackError
from bot.wecom import envelope, events

_SECONDS = re.compile(r"[0-9]{1,10}")
# No documented field is longer than 1024 bytes but what a person wrote.
_LONGEST_FIELD = 4096
_LONGEST_TEXT = 32 * 1024
# These hold other fields; every other field with children belongs to events we do not read.
_LISTS = {"SelectedItems", "MemChangeList"}


class Fields:
    """The fields of one message: each once, each of a sane length."""

    def __init__(self, root: Element) -> None:
        self._texts: dict[str, str] = {}
        self._lists: dict[str, Element] = {}
        for child in root:
            self._take(child)

    def _take(self, child: Element) -> None:
        name = child.tag
        if name in self._lists or (name in self._texts and not name.startswith("Auth")):
            raise _unreadable(f"{name[:40]} stands there twice")
        if name in _LISTS:
            self._lists[name] = child
            return
        text = "" if len(child) else (child.text or "")
        if len(text) > (_LONGEST_TEXT if name == "Content" else _LONGEST_FIELD):
            raise _unreadable(f"{name[:40]} is too long")
        self._texts[name] = text

    def get(self, name: str) -> str:
        """The text of a field; missing and empty are the same, as WeCom's documents leave it."""
        return self._texts.get(name, "")

    def maybe(self, name: str) -> str | None:
        """The text of a field, or None."""
        return self.get(name) or None

    def need(self, name: str, longest: int = 256) -> str:
        """The text of a field that the kind cannot be without."""
        text = self.get(name)
        if not text or len(text) > longest:
            raise _unreadable(f"{name} is missing or too long")
        return text

    def moment(self) -> datetime:
        """CreateTime, Unix seconds."""
        seconds = self.need("CreateTime")
        if not _SECONDS.fullmatch(seconds):
            raise _unreadable("CreateTime is not in seconds")
        return datetime.fromtimestamp(int(seconds), UTC)

    def items(self, name: str) -> list[Element]:
        """The members of a documented list: none, one or many."""
        found = self._lists.get(name)
        return [] if found is None else list(found)


def _unreadable(reason: str) -> CallbackError:
    return CallbackError("unreadable", reason)


def read_fields(plaintext: bytes) -> Fields:
    """Parse decrypted XML. Raises CallbackError("unreadable")."""
    return Fields(envelope.read_root(plaintext, kind="unreadable"))


def parse(plaintext: bytes) -> events.Event:
    """Read decrypted XML; a known kind without its fields is CallbackError("unreadable")."""
    return _event(read_fields(plaintext))


def parse_and_weigh(plaintext: bytes) -> tuple[events.Event, bool]:
    """`parse` and `is_urgent` of one reading: the callback door pays for the parser once."""
    fields = read_fields(plaintext)
    return _event(fields), _is_urgent(fields)


def _event(fields: Fields) -> events.Event:
    at, to = fields.moment(), fields.need("ToUserName")
    msg_type = fields.need("MsgType")
    event, change = fields.get("Event"), fields.get("ChangeType")
    if msg_type == "text":
        return _guide_message(fields, at, to)
    if msg_type == "event":
        # Tag and group events differ only in the change they name.
        reader = READERS.get((event, change)) or READERS.get((event, "*"))
        if reader is not None:
            return reader(fields, at, to)
    return events.UnknownEvent(
        created_at=at, to_user=to, msg_type=msg_type, event=event, change_type=change
    )


def is_urgent(plaintext: bytes) -> bool:
    """Whether a 20 s clock runs: it carries a welcome code, or a customer wrote to 微信客服."""
    try:
        return _is_urgent(read_fields(plaintext))
    except CallbackError:
        return False


def _is_urgent(fields: Fields) -> bool:
    if fields.get("MsgType") != "event":
        return False
    return bool(fields.get("WelcomeCode")) or fields.get("Event") == "kf_msg_or_event"


def _contact_added(f: Fields, at: datetime, to: str) -> events.Event:
    return events.ContactAdded(
        created_at=at,
        to_user=to,
        userid=f.need("UserID"),
        external_userid=f.need("ExternalUserID"),
        state=f.maybe("State"),
        welcome_code=f.maybe("WelcomeCode"),
    )


def _contact_half_added(f: Fields, at: datetime, to: str) -> events.Event:
    return events.ContactHalfAdded(
        created_at=at,
        to_user=to,
        userid=f.need("UserID"),
        external_userid=f.need("ExternalUserID"),
        state=f.maybe("State"),
        welcome_code=f.maybe("WelcomeCode"),
    )


def _consent_given(f: Fields, at: datetime, to: str) -> events.Event:
    return events.ConsentGiven(
        created_at=at,
        to_user=to,
        userid=f.need("UserID"),
        external_userid=f.need("ExternalUserID"),
        welcome_code=f.maybe("WelcomeCode"),
    )


def _contact_edited(f: Fields, at: datetime, to: str) -> events.Event:
    return events.ContactEdited(
        created_at=at,
        to_user=to,
        userid=f.need("UserID"),
        external_userid=f.need("ExternalUserID"),
    )


def _contact_removed(f: Fields, at: datetime, to: str) -> events.Event:
    return events.ContactRemoved(
        created_at=at,
        to_user=to,
        userid=f.need("UserID"),
        external_userid=f.need("ExternalUserID"),
        source=f.maybe("Source"),
    )


def _guide_removed(f: Fields, at: datetime, to: str) -> events.Event:
    return events.GuideRemoved(
        created_at=at,
        to_user=to,
        userid=f.need("UserID"),
        external_userid=f.need("ExternalUserID"),
    )


def _transfer_failed(f: Fields, at: datetime, to: str) -> events.Event:
    return events.TransferFailed(
        created_at=at,
        to_user=to,
        userid=f.need("UserID"),
        external_userid=f.need("ExternalUserID"),
        reason=f.get("FailReason"),
    )


def _corp_tag_changed(f: Fields, at: datetime, to: str) -> events.Event:
    return events.CorpTagChanged(
        created_at=at,
        to_user=to,
        change=f.need("ChangeType"),
        id=f.get("Id"),
        tag_type=f.get("TagType"),
    )


_CHAT_DETAIL = (
    "UpdateDetail",
    "JoinScene",
    "QuitScene",
    "MemChangeCnt",
    "LastMemVer",
    "CurMemVer",
)


def _group_chat_changed(f: Fields, at: datetime, to: str) -> events.Event:
    detail: dict[str, str | list[str]] = {}
    for name in _CHAT_DETAIL:
        if f.get(name):
            detail[name] = f.get(name)
    members = [item.text or "" for item in f.items("MemChangeList") if item.tag == "Item"]
    if members:
        detail["MemChangeList"] = members
    return events.GroupChatChanged(
        created_at=at,
        to_user=to,
        change=f.need("ChangeType"),
        chat_id=f.need("ChatId"),
        detail=detail,
    )


def _guide_message(f: Fields, at: datetime, to: str) -> events.Event:
    return events.GuideMessage(
        created_at=at,
        to_user=to,
        userid=f.need("FromUserName"),
        text=f.get("Content"),
        msg_id=f.need("MsgId"),
    )


def _card_clicked(f: Fields, at: datetime, to: str) -> events.Event:
    selected: dict[str, tuple[str, ...]] = {}
    for item in f.items("SelectedItems"):
        question = item.findtext("QuestionKey") or ""
        if question in selected:
            raise _unreadable("a question is answered twice")
        selected[question] = tuple(option.text or "" for option in item.iterfind("OptionIds/*"))
    return events.CardClicked(
        created_at=at,
        to_user=to,
        userid=f.need("FromUserName"),
        task_id=f.need("TaskId"),
        key=f.need("EventKey", longest=1024),
        response_code=f.get("ResponseCode"),
        selected=selected,
    )


def _app_entered(f: Fields, at: datetime, to: str) -> events.Event:
    return events.AppEntered(created_at=at, to_user=to, userid=f.need("FromUserName"))


def _subscribed(f: Fields, at: datetime, to: str) -> events.Event:
    return events.GuideSubscribed(created_at=at, to_user=to, userid=f.need("FromUserName"))


def _unsubscribed(f: Fields, at: datetime, to: str) -> events.Event:
    return events.GuideUnsubscribed(created_at=at, to_user=to, userid=f.need("FromUserName"))


def _kf_arrived(f: Fields, at: datetime, to: str) -> events.Event:
    return events.KfArrived(
        created_at=at, to_user=to, open_kfid=f.need("OpenKfId"), token=f.get("Token")
    )


READERS: dict[tuple[str, str], Callable[[Fields, datetime, str], events.Event]] = {
    ("change_external_contact", "add_external_contact"): _contact_added,
    ("change_external_contact", "add_half_external_contact"): _contact_half_added,
    ("change_external_contact", "edit_external_contact"): _contact_edited,
    ("change_external_contact", "del_external_contact"): _contact_removed,
    ("change_external_contact", "del_follow_user"): _guide_removed,
    ("change_external_contact", "transfer_fail"): _transfer_failed,
    ("change_external_contact", "msg_audit_approved"): _consent_given,
    ("change_external_tag", "*"): _corp_tag_changed,
    ("change_external_chat", "*"): _group_chat_changed,
    ("template_card_event", ""): _card_clicked,
    ("enter_agent", ""): _app_entered,
    ("subscribe", ""): _subscribed,
    ("unsubscribe", ""): _unsubscribed,
    ("kf_msg_or_event", ""): _kf_arrived,
}
