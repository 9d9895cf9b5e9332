"""What a guide does in her WeCom client: writes to the app, presses cards, edits tags."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bot.errors import UserError
from bot.sandbox import callbacks, cards, codes, corp_tags
from bot.sandbox.actors import guide, relation
from bot.sandbox.refusal import Refusal
from bot.sandbox.town import Town, dump, new_id


def write_to_app(town: Town, userid: str, text: str) -> str:
    """A text message to the app; returns its MsgId."""
    if not text:
        raise UserError("还没有写内容。", field="text")
    with town.write() as db:
        member = guide(db, userid)
        db.execute(
            "INSERT INTO app_delivery (msgid, userid, sender, msgtype, content, state, at) "
            "VALUES (?, ?, 'member', 'text', ?, 'delivered', ?)",
            (new_id("u", 64), member["userid"], dump({"content": text}), town.now()),
        )
        return callbacks.member_text(town, db, member["userid"], text)


def enter_app(town: Town, userid: str) -> None:
    """enter_agent: the guide opens the app's chat."""
    with town.write() as db:
        callbacks.app_event(town, db, "enter_agent", guide(db, userid)["userid"])


def subscribe(town: Town, userid: str, *, joins: bool = True) -> None:
    """The member enters (or leaves) the app's visible range."""
    with town.write() as db:
        member = guide(db, userid)
        db.execute("UPDATE member SET is_visible = ? WHERE userid = ?", (joins, member["userid"]))
        event = "subscribe" if joins else "unsubscribe"
        callbacks.app_event(town, db, event, member["userid"])


def click_card(
    town: Town,
    userid: str,
    msgid: str,
    key: str,
    selected: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Press a button of a card; returns the response_code the event carries."""
    with town.write() as db:
        row = db.execute(
            "SELECT * FROM app_delivery WHERE msgid = ? AND userid = ? AND state = 'delivered' "
            "AND msgtype = 'template_card'",
            (msgid, userid),
        ).fetchone()
        if row is None:
            raise UserError("聊天里没有这张卡片。", field="msgid")
        card = json.loads(row["content"])
        if not cards.calls_back(card) or key not in _keys(card):
            raise UserError("这张卡片上没有这个按钮。", field="key")
        if row["replaced"]:
            raise UserError("这张卡片已经处理过了。")
        code = codes.issue(town, db, "card", msgid=msgid)
        callbacks.card_clicked(town, db, row["userid"], key, card, code, selected or {})
    return code


def _keys(card: Mapping[str, Any]) -> set[str]:
    buttons = [one for one in card.get("button_list", []) if one.get("type", 0) == 0]
    actions = card.get("action_menu", {}).get("action_list", [])
    submit = [card["submit_button"]] if card.get("submit_button") else []
    return {one["key"] for one in [*buttons, *actions, *submit]}


def edit_remark(
    town: Town, userid: str, external_userid: str, *, remark: str = "", description: str = ""
) -> None:
    """edit_external_contact: the guide renames a customer by hand."""
    with town.write() as db:
        row = relation(db, userid, external_userid)
        db.execute(
            "UPDATE relation SET remark = ?, description = ? WHERE id = ?",
            (remark, description, row["id"]),
        )
        callbacks.contact_changed(town, db, "edit_external_contact", row["userid"], external_userid)


def edit_tags(
    town: Town,
    userid: str,
    external_userid: str,
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    personal: Sequence[str] = (),
) -> None:
    """edit_external_contact: the guide tags a customer by hand (tag ids; personal tags by name)."""
    with town.write() as db:
        row = relation(db, userid, external_userid)
        for tag_id in [*add, *remove]:
            if not db.execute(
                "SELECT 1 FROM tag WHERE tag_id = ? AND NOT is_deleted", (tag_id,)
            ).fetchone():
                raise UserError("没有这个标签。", field="add")
        corp_tags.wear(town, db, row, list(add), list(remove))
        db.executemany(
            "INSERT OR IGNORE INTO personal_tag VALUES (?, ?)",
            [(row["id"], name) for name in personal],
        )
        callbacks.contact_changed(town, db, "edit_external_contact", row["userid"], external_userid)


def console_adds_tags(town: Town, group: str, names: Sequence[str]) -> dict[str, str]:
    """HQ makes tags in the WeCom console: not ours, and told by callback. Returns name -> id."""
    if not names:
        raise UserError("至少要有一个标签。", field="names")
    with town.write() as db:
        is_new = db.execute(
            "SELECT 1 FROM tag_group WHERE name = ? AND NOT is_deleted", (group,)
        ).fetchone()
        try:
            made = corp_tags.create(town, db, group, dict.fromkeys(names, 0), is_ours=False)
        except Refusal as refusal:
            raise UserError("标签重名或数量已到上限。", field="names") from refusal
        if is_new is None:
            callbacks.corp_tag_changed(town, db, "create", made["group_id"], "tag_group")
        for tag in made["tag"]:
            callbacks.corp_tag_changed(town, db, "create", tag["id"], "tag")
    return {tag["name"]: tag["id"] for tag in made["tag"]}


def console_renames_tag(town: Town, tag_id: str, name: str) -> None:
    """HQ renames a tag in the console: change_external_tag update."""
    with town.write() as db:
        row = db.execute(
            "SELECT * FROM tag WHERE tag_id = ? AND NOT is_deleted", (tag_id,)
        ).fetchone()
        if row is None:
            raise UserError("没有这个标签。", field="tag_id")
        try:
            corp_tags.rename(db, "tag", row, name)
        except Refusal as refusal:
            raise UserError("同组已有这个标签名。", field="name") from refusal
        callbacks.corp_tag_changed(town, db, "update", tag_id, "tag")


def console_deletes_tag(town: Town, *, tag_id: str = "", group_id: str = "") -> None:
    """HQ deletes a tag, or a whole group (then there is one event, for the group)."""
    with town.write() as db:
        if group_id:
            corp_tags.drop_group(db, group_id)
            callbacks.corp_tag_changed(town, db, "delete", group_id, "tag_group")
        else:
            corp_tags.drop_tag(db, tag_id)
            callbacks.corp_tag_changed(town, db, "delete", tag_id, "tag")
