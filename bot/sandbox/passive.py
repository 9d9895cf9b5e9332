"""Passive replies (被动回复): what the app answers inside a callback."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import fromstring

from bot.sandbox import app_messages, cards, fields
from bot.sandbox.town import Town, new_id

# Elements of a TemplateCard that may stand several times and mean a list.
_LISTS = {
    "HorizontalContentList", "VerticalContentList", "JumpList", "ButtonList", "OptionList",
    "SelectList", "ActionList",
}  # fmt: skip
_NUMBERS = {"Type", "Style", "DescColor", "Mode", "AspectRatio"}


def apply(town: Town, asked: bytes, reply: bytes) -> None:
    """Let a reply take effect for the member who wrote or clicked, and for nobody else."""
    question, answer = fromstring(asked.decode()), fromstring(reply.decode())
    userid = question.findtext("FromUserName", "")
    kind = answer.findtext("MsgType", "")
    with town.write() as db:
        if kind == "text":
            content = {"content": fields.cut(answer.findtext("Content", ""), 2048)}
            msgid = new_id("m", 64)
            app_messages.deliver(town, db, msgid, userid, "text", content)
        elif kind == "update_button":
            name = answer.findtext("Button/ReplaceName", "")
            cards.replace(town, db, _message(db, question), userid, name, None)
        elif kind == "update_template_card":
            found = answer.find("TemplateCard")
            card = _convert(found) if found is not None else {}
            cards.check(card, has_callback=True, is_update=True)
            name = str(card.get("replace_text", ""))
            cards.replace(town, db, _message(db, question), userid, name, card)


def _message(db: sqlite3.Connection, question: Element) -> str:
    """Which message a click was about, by the response code its event carried."""
    row = db.execute(
        "SELECT subject FROM one_time_code WHERE code = ?",
        (question.findtext("ResponseCode", ""),),
    ).fetchone()
    return str(json.loads(row["subject"])["msgid"]) if row else ""


def _convert(element: Element) -> dict[str, Any]:
    """CamelCase XML to the snake_case object the API would take."""
    card: dict[str, Any] = {}
    for child in element:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", child.tag).lower()
        value: Any = _convert(child) if len(child) else (child.text or "")
        if child.tag in _NUMBERS and isinstance(value, str) and value.isdecimal():
            value = int(value)
        if child.tag in _LISTS:
            card.setdefault(name, []).append(value)
        else:
            card[name] = value
    return card
