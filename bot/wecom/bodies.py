"""Request bodies (请求正文), built once and frozen: a repeated call sends the very same bytes.

The same bytes matter: the platform's duplicate check compares requests, and the outbox promises
that a retry says what the first try said.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bot.errors import UserError
from bot.wecom import messages
from bot.wecom.messages import Attachment

# At most 4 hours by the platform's own rule.
DUPLICATE_CHECK_SECONDS = 4 * 3600
MOST_RECEIVERS = 1000
# remark and state of a contact way are cut there by the platform.
CONTACT_WAY_WORDS = 30


def freeze(body: dict[str, Any]) -> bytes:
    """JSON in UTF-8 without escapes (some APIs refuse \\uXXXX: 40033), keys in stable order."""
    text = json.dumps(
        body, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    # Half a surrogate pair from a broken nickname must not make a message unsendable for ever.
    return text.encode("utf-8", "replace")


def welcome_body(code: str, text: str, attachments: Sequence[Attachment] = ()) -> bytes:
    """externalcontact/send_welcome_msg: text, up to nine attachments, not both empty."""
    if not text and not attachments:
        raise UserError("欢迎语要有文字或附件。", field="text")
    if len(attachments) > messages.MOST_ATTACHMENTS:
        raise UserError(f"附件最多 {messages.MOST_ATTACHMENTS} 个。", field="attachments")
    body: dict[str, Any] = {"welcome_code": code}
    if text:
        body["text"] = {"content": messages.clip(text, messages.TEXT_LIMIT)}
    if attachments:
        body["attachments"] = [messages.as_attachment(one) for one in attachments]
    return freeze(body)


def app_message_body(
    agent_id: int,
    userids: Sequence[str],
    message: dict[str, Any],
    duplicate_check_seconds: int = DUPLICATE_CHECK_SECONDS,
) -> bytes:
    """message/send of any kind; `message` holds `msgtype` and its object."""
    if not 1 <= len(userids) <= MOST_RECEIVERS:
        raise UserError(f"一次要发给 1 到 {MOST_RECEIVERS} 人。", field="userids")
    # "@all" and "|" are syntax of this field; a userid never contains them.
    if any(not one or "|" in one or one == "@all" for one in userids):
        raise UserError("成员账号不正确。", field="userids")
    body: dict[str, Any] = {"touser": "|".join(userids), "agentid": agent_id, **message}
    if duplicate_check_seconds > 0:
        body["enable_duplicate_check"] = 1
        body["duplicate_check_interval"] = min(duplicate_check_seconds, DUPLICATE_CHECK_SECONDS)
    return freeze(body)


def app_text_body(agent_id: int, userids: Sequence[str], text: str) -> bytes:
    """message/send with words; longer ones are cut at 2048 bytes, between two characters."""
    return app_message_body(
        agent_id,
        userids,
        {"msgtype": "text", "text": {"content": messages.clip(text, messages.APP_TEXT_LIMIT)}},
    )


def app_card_body(
    agent_id: int,
    userids: Sequence[str],
    card: dict[str, Any],
    duplicate_check_seconds: int = DUPLICATE_CHECK_SECONDS,
) -> bytes:
    """message/send with a template card of `bot.wecom.cards`."""
    message = {"msgtype": "template_card", "template_card": card}
    return app_message_body(agent_id, userids, message, duplicate_check_seconds)


def update_card_body(
    agent_id: int,
    response_code: str,
    userids: Sequence[str],
    *,
    button_text: str = "",
    card: dict[str, Any] | None = None,
) -> bytes:
    """message/update_template_card: gray the buttons with a text, or put another card there."""
    body: dict[str, Any] = {
        "agentid": agent_id,
        "response_code": response_code,
        "userids": list(userids),
    }
    if card is not None:
        body["template_card"] = card
    elif button_text:
        body["button"] = {"replace_name": button_text}
    else:
        raise UserError("请给出新的按钮文字或新的卡片。", field="button_text")
    return freeze(body)


def mark_tag_body(
    userid: str, external_userid: str, add: Sequence[str], remove: Sequence[str]
) -> bytes:
    """externalcontact/mark_tag; both lists hold tag ids, and not both are empty."""
    if not add and not remove:
        raise UserError("没有要改的标签。", field="add")
    body: dict[str, Any] = {"userid": userid, "external_userid": external_userid}
    if add:
        body["add_tag"] = list(add)
    if remove:
        body["remove_tag"] = list(remove)
    return freeze(body)


def contact_way_body(
    *,
    userids: Sequence[str],
    state: str,
    remark: str = "",
    skip_verify: bool = True,
    department_ids: Sequence[int] = (),
) -> bytes:
    """externalcontact/add_contact_way for a QR code; one guide is type 1, several are type 2."""
    single = len(userids) == 1 and not department_ids
    body = _contact_way_fields(userids, state, remark, skip_verify, department_ids)
    return freeze({"type": 1 if single else 2, "scene": 2, **body})


def update_contact_way_body(
    config_id: str,
    *,
    userids: Sequence[str],
    state: str,
    remark: str = "",
    skip_verify: bool = True,
    department_ids: Sequence[int] = (),
) -> bytes:
    """externalcontact/update_contact_way; guides are replaced as a whole."""
    body = _contact_way_fields(userids, state, remark, skip_verify, department_ids)
    return freeze({"config_id": config_id, **body})


def _contact_way_fields(
    userids: Sequence[str],
    state: str,
    remark: str,
    skip_verify: bool,
    department_ids: Sequence[int],
) -> dict[str, Any]:
    if not userids and not department_ids:
        raise UserError("渠道码至少要有一位导购。", field="userids")
    if len(userids) > 100:
        raise UserError("一个渠道码最多 100 位导购。", field="userids")
    if len(state) > CONTACT_WAY_WORDS:
        raise UserError(f"渠道码的标识最多 {CONTACT_WAY_WORDS} 个字。", field="state")
    fields: dict[str, Any] = {
        "state": state,
        "remark": remark[:CONTACT_WAY_WORDS],
        "skip_verify": skip_verify,
        "user": list(userids),
    }
    if department_ids:
        fields["party"] = list(department_ids)
    return fields


def kf_text(text: str) -> dict[str, Any]:
    """Words for 微信客服, cut at 2048 bytes."""
    return {
        "msgtype": "text",
        "text": {"content": messages.clip(text, messages.APP_TEXT_LIMIT)},
    }


def kf_menu(head: str, choices: Sequence[tuple[str, str]], tail: str = "") -> dict[str, Any]:
    """A menu for 微信客服: (id, text) pairs; a touch makes the customer say that text."""
    if not 1 <= len(choices) <= 10:
        raise UserError("菜单要有 1 到 10 项。", field="choices")
    items = [
        {"type": "click", "click": {"id": one, "content": messages.clip(text, 128)}}
        for one, text in choices
    ]
    menu: dict[str, Any] = {"head_content": messages.clip(head, 1024), "list": items}
    if tail:
        menu["tail_content"] = messages.clip(tail, 1024)
    return {"msgtype": "msgmenu", "msgmenu": menu}


def kf_send_body(
    open_kfid: str, external_userid: str, message: dict[str, Any], *, msgid: str = ""
) -> bytes:
    """kf/send_msg; a `msgid` of our own (32 of [0-9a-zA-Z_-]) keeps a repeat from doubling."""
    body: dict[str, Any] = {"touser": external_userid, "open_kfid": open_kfid, **message}
    if msgid:
        body["msgid"] = msgid
    return freeze(body)


def kf_send_on_event_body(code: str, message: dict[str, Any], *, msgid: str = "") -> bytes:
    """kf/send_msg_on_event; the code is good for one message."""
    body: dict[str, Any] = {"code": code, **message}
    if msgid:
        body["msgid"] = msgid
    return freeze(body)


def kf_transfer_body(
    open_kfid: str, external_userid: str, state: int, servicer_userid: str = ""
) -> bytes:
    """kf/service_state/trans: 1 bot, 2 queue, 3 a person (needs the servicer), 4 ended."""
    body: dict[str, Any] = {
        "open_kfid": open_kfid,
        "external_userid": external_userid,
        "service_state": state,
    }
    if servicer_userid:
        body["servicer_userid"] = servicer_userid
    return freeze(body)
