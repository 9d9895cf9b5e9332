"""What the platform tells the app (回调): the inner XML of each event, queued for the postman."""

from __future__ import annotations

import random
import re
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from bot.sandbox import knobs
from bot.sandbox.town import Town

# Characters that XML 1.0 cannot carry at all; the platform never sends them either.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def inner_xml(fields: Sequence[tuple[str, Any]]) -> bytes:
    """The decrypted message: numbers bare, texts as CDATA, tuples of fields nested."""
    return f"<xml>{_elements(fields)}</xml>".encode()


def _elements(fields: Sequence[tuple[str, Any]]) -> str:
    return "".join(f"<{name}>{_value(value)}</{name}>" for name, value in fields)


def _value(value: Any) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return _elements(value)
    clean = _ILLEGAL.sub("", str(value)).replace("]]>", "]]]]><![CDATA[>")
    return f"<![CDATA[{clean}]]>"


def queue(
    town: Town, db: sqlite3.Connection, kind: str, plaintext: bytes, agent_id: int | None = None
) -> None:
    """Hand one message to the postman, in the transaction of what caused it.

    The line's knobs decide here: a lost callback is kept as `lost`, a doubled one is two rows.
    """
    if not town.config.callback_url:
        return
    settings = knobs.every(db)
    now = town.now()
    lost = random.random() < settings["callback_loss"]
    copies = 2 if random.random() < settings["callback_duplicate"] else 1
    for _ in range(copies):
        wait = settings["callback_delay"] + random.random() * settings["callback_reorder"]
        put(db, "wecom", kind, plaintext, now, now + wait, agent_id, "lost" if lost else "queued")


def put(
    db: sqlite3.Connection,
    channel: str,
    kind: str,
    plaintext: bytes,
    now: float,
    due_at: float,
    agent_id: int | None = None,
    state: str = "queued",
) -> None:
    """One letter for the postman; `channel` is `wecom` or `till`."""
    db.execute(
        "INSERT INTO callback (channel, kind, plaintext, agent_id, created_at, due_at, state) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (channel, kind, plaintext, agent_id, now, due_at, state),
    )


def _head(town: Town, from_user: str, msg_type: str) -> list[tuple[str, Any]]:
    return [
        ("ToUserName", town.config.corp_id),
        ("FromUserName", from_user),
        ("CreateTime", int(town.now())),
        ("MsgType", msg_type),
    ]


def contact_changed(
    town: Town,
    db: sqlite3.Connection,
    change_type: str,
    userid: str,
    external_userid: str,
    **extra: str,
) -> None:
    """`change_external_contact`; empty extras (State, WelcomeCode, Source) are left out."""
    fields = [
        *_head(town, "sys", "event"),
        ("Event", "change_external_contact"),
        ("ChangeType", change_type),
        ("UserID", userid),
        ("ExternalUserID", external_userid),
        *((name, value) for name, value in extra.items() if value),
    ]
    queue(town, db, f"change_external_contact/{change_type}", inner_xml(fields))


def corp_tag_changed(
    town: Town, db: sqlite3.Connection, change_type: str, changed_id: str, tag_type: str
) -> None:
    """`change_external_tag`, for changes made in the console only."""
    fields = [
        *_head(town, "sys", "event"),
        ("Event", "change_external_tag"),
        ("Id", changed_id),
        ("TagType", tag_type),
        ("ChangeType", change_type),
    ]
    queue(town, db, f"change_external_tag/{change_type}", inner_xml(fields))


def app_event(
    town: Town,
    db: sqlite3.Connection,
    event: str,
    userid: str,
    extra: Sequence[tuple[str, Any]] = (),
    key: str = "",
) -> None:
    """An event of the app itself (进入应用, 关注, 卡片点击); carries AgentID inside and outside."""
    agent_id = town.config.agent_id
    fields = [
        *_head(town, userid, "event"),
        ("Event", event),
        ("EventKey", key),
        *extra,
        ("AgentID", agent_id),
    ]
    queue(town, db, event, inner_xml(fields), agent_id)


def member_text(town: Town, db: sqlite3.Connection, userid: str, content: str) -> str:
    """A member writes to the app; returns the MsgId."""
    msg_id = str(secrets.randbits(62))
    agent_id = town.config.agent_id
    fields = [
        *_head(town, userid, "text"),
        ("Content", content),
        ("MsgId", int(msg_id)),
        ("AgentID", agent_id),
    ]
    queue(town, db, "text", inner_xml(fields), agent_id)
    return msg_id


def card_clicked(
    town: Town,
    db: sqlite3.Connection,
    userid: str,
    key: str,
    card: Mapping[str, Any],
    response_code: str,
    selected: Mapping[str, Sequence[str]],
) -> None:
    """`template_card_event`: a member pressed a button of a card."""
    items = [
        (
            "SelectedItem",
            [
                ("QuestionKey", question),
                ("OptionIds", [("OptionId", option) for option in options]),
            ],
        )
        for question, options in selected.items()
    ]
    extra: list[tuple[str, Any]] = [
        ("TaskId", card.get("task_id", "")),
        ("CardType", card["card_type"]),
        ("ResponseCode", response_code),
        ("SelectedItems", items),
    ]
    app_event(town, db, "template_card_event", userid, extra, key)


def kf_rings(town: Town, db: sqlite3.Connection, open_kfid: str, token: str) -> None:
    """`kf_msg_or_event`: something is waiting in sync_msg."""
    fields = [
        ("ToUserName", town.config.corp_id),
        ("CreateTime", int(town.now())),
        ("MsgType", "event"),
        ("Event", "kf_msg_or_event"),
        ("Token", token),
        ("OpenKfId", open_kfid),
    ]
    queue(town, db, "kf_msg_or_event", inner_xml(fields))
