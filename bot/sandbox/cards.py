"""Template cards (模板卡片): what each kind must carry, and changing one later."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

from bot.sandbox import codes, fields
from bot.sandbox.fields import Ask, Body
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town, dump

INTERACTIVE = ("button_interaction", "vote_interaction", "multiple_interaction")
CARD_TYPES = ("text_notice", "news_notice", *INTERACTIVE)
_TASK_ID = re.compile(r"[0-9A-Za-z_\-@]{1,128}")
_KEY_OCTETS = 1024


def calls_back(card: Body) -> bool:
    """Whether a press on the card comes back to the app (so it can be updated as well)."""
    return card.get("card_type") in INTERACTIVE or bool(card.get("action_menu"))


def check(card: Body, *, has_callback: bool, is_update: bool = False) -> None:
    """Refuse a card with a wrong field: 42027 to 42051 where the platform has a number for it."""
    kind = card.get("card_type")
    if kind not in CARD_TYPES:
        raise Refusal(42031, "invalid card_type")
    if calls_back(card) and not has_callback:
        raise Refusal(43012, "no callback url")
    _task_id(card, needed=calls_back(card) and not is_update)
    _shared(card)
    if kind in ("text_notice", "news_notice"):
        _notice(card)
    elif kind == "button_interaction":
        _buttons(card)
    elif kind == "vote_interaction":
        _vote(card)
    else:
        _selections(card)


def _task_id(card: Body, *, needed: bool) -> None:
    task_id = card.get("task_id")
    if task_id is None and not needed:
        return
    if not isinstance(task_id, str) or not _TASK_ID.fullmatch(task_id):
        raise Refusal(42014, "invalid task_id")


def _title(card: Body) -> str:
    return fields.text(fields.mapping(card, "main_title", missing=None), "title", missing=None)


def _shared(card: Body) -> None:
    for row in fields.mappings(card, "horizontal_content_list", most=6, over=42035):
        fields.text(row, "keyname")
        if row.get("type") == 1:
            fields.text(row, "url")
        if row.get("type") == 3:
            fields.text(row, "userid", missing=42050)
    for jump in fields.mappings(card, "jump_list", most=3, over=42042):
        fields.text(jump, "title")
        if jump.get("type") == 1:
            fields.text(jump, "url")
    _action_menu(card)
    action = fields.mapping(card, "card_action", missing=None)
    if action:
        if action.get("type") not in (1, 2):
            raise Refusal(42045, "invalid card_action")
        fields.text(action, "url" if action["type"] == 1 else "appid", missing=42045)


def _action_menu(card: Body) -> None:
    menu = fields.mapping(card, "action_menu", missing=None)
    if not menu:
        return
    actions = fields.mappings(menu, "action_list", most=3)
    if not actions:
        raise Refusal(40058, "action_list missing")
    keys = [fields.text(one, "key", octets=_KEY_OCTETS) for one in actions]
    for one in actions:
        fields.text(one, "text")
    if len(set(keys)) != len(keys):
        raise Refusal(42051, "duplicate action key")


def _notice(card: Body) -> None:
    if not fields.mapping(card, "card_action", missing=None):
        raise Refusal(42045, "card_action missing")
    if card["card_type"] == "text_notice":
        if not _title(card) and not card.get("sub_title_text"):
            raise Refusal(40058, "main_title and sub_title_text missing")
        return
    if not _title(card):
        raise Refusal(40058, "main_title missing")
    image = fields.mapping(card, "card_image", missing=None)
    area = fields.mapping(card, "image_text_area", missing=None)
    if image:
        fields.text(image, "url", missing=42044)
    elif area:
        fields.text(area, "image_url", missing=42044)
    else:
        raise Refusal(42044, "card_image missing")
    for row in fields.mappings(card, "vertical_content_list", most=4, over=42036):
        fields.text(row, "title")


def _buttons(card: Body) -> None:
    if not _title(card):
        raise Refusal(40058, "main_title missing")
    buttons = fields.mappings(card, "button_list", most=6)
    if not buttons:
        raise Refusal(40058, "button_list missing")
    for button in buttons:
        fields.text(button, "text", missing=42038)
        if button.get("type", 0) == 1:
            fields.text(button, "url")
        else:
            fields.text(button, "key", missing=42039, octets=_KEY_OCTETS, over=42039)
    selection = fields.mapping(card, "button_selection", missing=None)
    if selection:
        _options(selection, 10)


def _options(question: Body, most: int) -> None:
    fields.text(question, "question_key", missing=42043, octets=_KEY_OCTETS, over=42043)
    options = fields.mappings(question, "option_list", most=most, over=42037)
    if not options:
        raise Refusal(42037, "option_list missing")
    ids = [fields.text(one, "id", missing=42040, octets=128, over=42040) for one in options]
    for one in options:
        fields.text(one, "text", missing=42041)
    if len(set(ids)) != len(ids):
        raise Refusal(42040, "duplicate option id")


def _submit(card: Body) -> None:
    button = fields.mapping(card, "submit_button", missing=42046)
    fields.text(button, "key", missing=42046, octets=_KEY_OCTETS, over=42046)
    fields.text(button, "text", missing=42049)


def _vote(card: Body) -> None:
    if not _title(card):
        raise Refusal(40058, "main_title missing")
    _options(fields.mapping(card, "checkbox"), 20)
    _submit(card)


def _selections(card: Body) -> None:
    if not _title(card):
        raise Refusal(40058, "main_title missing")
    selections = fields.mappings(card, "select_list", most=3, over=42047)
    if not selections:
        raise Refusal(42047, "select_list missing")
    for one in selections:
        _options(one, 10)
    _submit(card)


def update(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    """update_template_card: with a live response_code, for those who received the card."""
    body = ask.body
    agent_id = fields.number(body, "agentid", wrong=40056)
    if agent_id != town.config.agent_id:
        raise Refusal(301002, "no permission on this agentid")
    code = fields.text(body, "response_code", missing=60140)
    subject = codes.look(town, db, code, "card", unknown=60140, used=60140)
    msgid = str(subject["msgid"])
    userids = _targets(db, body, msgid)
    button = fields.mapping(body, "button", missing=None)
    card = fields.mapping(body, "template_card", missing=None)
    if bool(button) == bool(card):
        raise Refusal(40058, "either button or template_card")
    replaced = fields.text(button, "replace_name") if button else ""
    if card:
        check(card, has_callback=bool(town.config.callback_url), is_update=True)
        replaced = fields.text(card, "replace_text", missing=None)
    codes.use(town, db, code)
    for userid in userids:
        replace(town, db, msgid, userid, replaced, dict(card) or None)
    return {"invaliduser": ""}


def _targets(db: sqlite3.Connection, body: Body, msgid: str) -> list[str]:
    received = [
        row["userid"]
        for row in db.execute(
            "SELECT userid FROM app_delivery WHERE msgid = ? AND state = 'delivered'", (msgid,)
        )
    ]
    if body.get("atall") == 1:
        return received
    asked = fields.strings(body, "userids", most=1000)
    if not asked:
        raise Refusal(82101, "nobody targeted")
    known = {userid.lower() for userid in received}
    found = [userid for userid in asked if userid.lower() in known]
    if not found:
        raise Refusal(82102, "user not in message")
    return found


def replace(
    town: Town,
    db: sqlite3.Connection,
    msgid: str,
    userid: str,
    replaced: str,
    card: dict[str, Any] | None,
) -> None:
    """The card in one member's chat changes: a greyed button, or another card."""
    row = db.execute(
        "SELECT * FROM app_delivery WHERE msgid = ? AND userid = ?", (msgid, userid)
    ).fetchone()
    if row is None:
        raise Refusal(82102, "user not in message")
    shown = json.loads(row["content"])
    if card is not None:
        shown = {"task_id": shown.get("task_id", "")} | card
    db.execute(
        "UPDATE app_delivery SET content = ?, replaced = ? WHERE id = ?",
        (dump(shown), replaced, row["id"]),
    )
    town.record(db, "card_updated", row["userid"], msgid=msgid, button=replaced, card=card)
