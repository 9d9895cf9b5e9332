"""What WeCom tells us, as frozen values: each reads one object of a reply, whatever is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Object = Mapping[str, Any]


def text_of(source: Object, name: str) -> str:
    """A text field; missing or of another type is an empty text."""
    value = source.get(name)
    return value if isinstance(value, str) else ""


def number_of(source: Object, name: str) -> int:
    """An integer field, also where WeCom sends it as a text; else 0."""
    value = source.get(name)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isdecimal() and len(value) < 12:
        return int(value)
    return 0


def moment_of(source: Object, name: str) -> datetime | None:
    """A field in Unix seconds; 0 and nonsense are None."""
    seconds = number_of(source, name)
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 10**10 else None


def objects_of(source: Object, name: str) -> list[Object]:
    """A list of objects; members of another type are left out."""
    value = source.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def object_of(source: Object, name: str) -> Object:
    """One object, or an empty one."""
    value = source.get(name)
    return value if isinstance(value, dict) else {}


def texts_of(source: Object, name: str) -> tuple[str, ...]:
    """A list of texts; empty ones and other types are left out."""
    value = source.get(name)
    if not isinstance(value, list):
        return ()
    return tuple(one for one in value if isinstance(one, str) and one)


def numbers_of(source: Object, name: str) -> tuple[int, ...]:
    """A list of integers."""
    value = source.get(name)
    if not isinstance(value, list):
        return ()
    return tuple(one for one in value if isinstance(one, int) and not isinstance(one, bool))


def split_ids(source: Object, name: str) -> tuple[str, ...]:
    """Ids joined with `|`, as in `invaliduser`; WeCom returns them in lower case."""
    return tuple(one for one in text_of(source, name).split("|") if one)


@dataclass(frozen=True)
class TagRef:
    """A tag as it stands on a customer: type 1 corp, 2 personal (no id), 3 strategy."""

    tag_id: str | None
    name: str
    group_name: str
    type: int


@dataclass(frozen=True)
class FollowDetail:
    """How one guide follows one customer. `add_way` is WeCom's number, see 92114."""

    userid: str
    remark: str
    description: str
    created_at: datetime | None
    tags: tuple[TagRef, ...]
    tag_ids: tuple[str, ...]
    remark_mobiles: tuple[str, ...]
    add_way: int
    state: str | None
    oper_userid: str | None

    @classmethod
    def read(cls, row: Object) -> FollowDetail:
        """From `follow_user[]` (tags in full) or `follow_info` (tag ids only)."""
        tags = tuple(
            TagRef(
                text_of(tag, "tag_id") or None,
                text_of(tag, "tag_name"),
                text_of(tag, "group_name"),
                number_of(tag, "type"),
            )
            for tag in objects_of(row, "tags")
        )
        named = tuple(tag.tag_id for tag in tags if tag.tag_id)
        return cls(
            userid=text_of(row, "userid"),
            remark=text_of(row, "remark"),
            description=text_of(row, "description"),
            created_at=moment_of(row, "createtime"),
            tags=tags,
            tag_ids=named or texts_of(row, "tag_id"),
            remark_mobiles=texts_of(row, "remark_mobiles"),
            add_way=number_of(row, "add_way"),
            state=text_of(row, "state") or None,
            oper_userid=text_of(row, "oper_userid") or None,
        )


@dataclass(frozen=True)
class ContactDetail:
    """A customer and the guides who follow them. type 1 is WeChat, 2 WeCom; gender 0, 1, 2."""

    external_userid: str
    name: str
    avatar: str
    type: int
    gender: int
    unionid: str | None
    corp_name: str
    follows: tuple[FollowDetail, ...]

    @classmethod
    def read(cls, contact: Object, follows: Sequence[Object]) -> ContactDetail:
        """From `external_contact` and its followers."""
        return cls(
            external_userid=text_of(contact, "external_userid"),
            name=text_of(contact, "name"),
            avatar=text_of(contact, "avatar"),
            type=number_of(contact, "type"),
            gender=number_of(contact, "gender"),
            unionid=text_of(contact, "unionid") or None,
            corp_name=text_of(contact, "corp_name"),
            follows=tuple(FollowDetail.read(row) for row in follows),
        )


@dataclass(frozen=True)
class ContactPage:
    """One page of (guide, customer) pairs: each contact has exactly one entry in `follows`."""

    contacts: tuple[ContactDetail, ...]
    next_cursor: str


@dataclass(frozen=True)
class CorpTag:
    """A corp tag (企业标签)."""

    id: str
    name: str
    order: int


@dataclass(frozen=True)
class CorpTagGroup:
    """A group of corp tags."""

    id: str
    name: str
    order: int
    tags: tuple[CorpTag, ...]

    @classmethod
    def read(cls, row: Object) -> CorpTagGroup:
        """From `tag_group`."""
        return cls(
            text_of(row, "group_id"),
            text_of(row, "group_name"),
            number_of(row, "order"),
            tuple(
                CorpTag(text_of(tag, "id"), text_of(tag, "name"), number_of(tag, "order"))
                for tag in objects_of(row, "tag")
                if not tag.get("deleted")
            ),
        )


@dataclass(frozen=True)
class ContactWay:
    """A contact way (联系我) behind a channel code; `qr_code` is the address of its picture."""

    config_id: str
    qr_code: str
    state: str = ""
    remark: str = ""
    skip_verify: bool = True
    userids: tuple[str, ...] = ()
    department_ids: tuple[int, ...] = ()

    @classmethod
    def read(cls, row: Object) -> ContactWay:
        """From `contact_way`."""
        return cls(
            config_id=text_of(row, "config_id"),
            qr_code=text_of(row, "qr_code"),
            state=text_of(row, "state"),
            remark=text_of(row, "remark"),
            skip_verify=bool(row.get("skip_verify", True)),
            userids=texts_of(row, "user"),
            department_ids=numbers_of(row, "party"),
        )


@dataclass(frozen=True)
class ContactWayPage:
    """One page of contact ways; only their ids are listed."""

    config_ids: tuple[str, ...]
    next_cursor: str


@dataclass(frozen=True)
class SendResult:
    """What message/send did: who was not reached (lower case), and the code to update a card."""

    msgid: str
    response_code: str | None
    invalid_users: tuple[str, ...]


@dataclass(frozen=True)
class Department:
    """A department (部门); the root is 1."""

    id: int
    name: str
    parent_id: int
    order: int
    leaders: tuple[str, ...]


@dataclass(frozen=True)
class Member:
    """A member as the app sees them. status 1 active, 2 disabled, 4 not activated, 5 left."""

    userid: str
    name: str
    department_ids: tuple[int, ...]
    main_department: int
    leads: tuple[int, ...]
    position: str
    status: int

    @classmethod
    def read(cls, row: Object) -> Member:
        """From user/get or a row of user/list."""
        departments = numbers_of(row, "department")
        flags = numbers_of(row, "is_leader_in_dept")
        return cls(
            userid=text_of(row, "userid"),
            name=text_of(row, "name"),
            department_ids=departments,
            main_department=number_of(row, "main_department") or (departments or (0,))[0],
            # The flags stand in the order of the departments.
            leads=tuple(d for d, flag in zip(departments, flags, strict=False) if flag == 1),
            position=text_of(row, "position"),
            status=number_of(row, "status"),
        )


@dataclass(frozen=True)
class KfAccount:
    """A 微信客服 account."""

    open_kfid: str
    name: str
    avatar: str
    is_managed: bool


@dataclass(frozen=True)
class KfMessage:
    """One entry of a 微信客服 history.

    `origin` is 3 customer, 4 system event, 5 servicer. For an event (`kind` "event") the ids are
    those inside it, and `event` is its object; for a text, `text` and `menu_id` are set.
    """

    msgid: str
    open_kfid: str
    external_userid: str
    sent_at: datetime | None
    origin: int
    kind: str
    text: str
    menu_id: str
    event: Object

    @classmethod
    def read(cls, row: Object) -> KfMessage:
        """From a row of `msg_list`."""
        event = object_of(row, "event")
        words = object_of(row, "text")
        return cls(
            msgid=text_of(row, "msgid"),
            open_kfid=text_of(row, "open_kfid") or text_of(event, "open_kfid"),
            external_userid=text_of(row, "external_userid") or text_of(event, "external_userid"),
            sent_at=moment_of(row, "send_time"),
            origin=number_of(row, "origin"),
            kind=text_of(row, "msgtype"),
            text=text_of(words, "content"),
            menu_id=text_of(words, "menu_id"),
            event=event,
        )


@dataclass(frozen=True)
class KfPage:
    """Messages after a cursor. Loop while `has_more`, even where `messages` is empty."""

    messages: tuple[KfMessage, ...]
    next_cursor: str
    has_more: bool


@dataclass(frozen=True)
class KfState:
    """Who talks with a customer: 0 nobody yet, 1 bot, 2 queue, 3 a person, 4 ended."""

    state: int
    servicer_userid: str | None


@dataclass(frozen=True)
class KfCustomer:
    """A customer of 微信客服."""

    external_userid: str
    nickname: str
    avatar: str
    unionid: str | None
